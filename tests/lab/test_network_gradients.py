"""Gradients against finite differences, in float64: whatever a model computes, it is what it learns by."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from deepwide.answers.models import find_model
from deepwide.lab.network import Transformer, build
from deepwide.lab.network.attend import KERNELS
from deepwide.lab.network.layers import LayerNorm, RMSNorm
from deepwide.lab.training.objective import IGNORED, Batch, summed_loss

TINY = "layers=1,hidden=4,heads=2,ffn=3,vocab=5,context=4"
MODELS = {
    "rotary, rms, SwiGLU": "like=llama",
    "grouped heads": "like=llama,kv_heads=1",
    "ALiBi, layer norm, embedding norm, tied": "like=bloom",
    "learned positions, biases": "like=gpt2",
    "relative positions, across": "like=t5",
    "both sides, transform": "like=bert",
    "after the sum, across": "like=bart",
    "experts": "like=mixtral,experts=3,active_experts=2",
    "shared experts": "like=qwen2_moe,experts=3,active_experts=1,shared_experts=1",
    "parallel": "like=gptj",
    "normed queries, window": "like=qwen3,window=2",
    "GeGLU, sandwich": "like=gemma2",
    "normed over the width": "like=olmo2",
    "one projection": "like=llama,shared_qkv",
    "no residuals, no norms": "like=llama,no_residual,no_norm",
    "squared ReLU": "like=llama,plain,activation=relu2",
}


def precise(text: str, kernel: str) -> Transformer:
    """A model in float64; gains, biases and the head are moved from where they start, so that all have a part."""
    model = build(find_model(f"{text},{TINY}").described(), seed=5).double()
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=draw, dtype=torch.float64), alpha=0.4)
    model.compute_dtype, model.attend = torch.float64, KERNELS[kernel]
    return model


def batch_of(model: Transformer) -> Batch:
    """Two sequences, one padded, with a target that does not count."""
    tokens = torch.tensor([[1, 4, 0], [3, 2, 2]])
    targets = torch.tensor([[4, 0, 2], [2, IGNORED, IGNORED]])
    kept = torch.tensor([[True, True, True], [True, True, False]])
    if len(model.stack_names) == 1:
        return Batch(tokens=tokens, targets=targets, kept=kept)
    sources = torch.tensor([[0, 3], [4, 1]])
    source_kept = torch.tensor([[True, True], [True, False]])
    return Batch(tokens=tokens, targets=targets, kept=kept, sources=sources, source_kept=source_kept)


class Loss(torch.nn.Module):
    """The loss of a model as a module, so that it can be called with other parameters."""

    def __init__(self, model: Transformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> Tensor:
        return summed_loss(self.model, batch)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("kind", MODELS)
def test_gradients_are_finite_differences(kind: str, kernel: str) -> None:
    model = precise(MODELS[kind], kernel)
    batch, whole = batch_of(model), Loss(model)
    named = {name: p for name, p in whole.named_parameters() if p.requires_grad}

    def loss(*values: Tensor) -> Tensor:
        found: Tensor = functional_call(whole, dict(zip(named, values, strict=True)), (batch,))
        return found

    assert loss(*named.values()).dtype == torch.float64
    assert torch.autograd.gradcheck(loss, tuple(named.values()), eps=1e-6, atol=1e-6, rtol=1e-5, fast_mode=True)


@pytest.mark.slow
@pytest.mark.parametrize("kind", MODELS)
def test_each_gradient_is_its_own_finite_difference(kind: str) -> None:
    """The first and the last four elements of each tensor, one by one."""
    model = precise(MODELS[kind], "bmm")
    batch, step = batch_of(model), 1e-6
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    gradients = torch.autograd.grad(summed_loss(model, batch), [p for _, p in named], allow_unused=True)
    with torch.no_grad():
        for (name, p), gradient in zip(named, gradients, strict=True):
            flat = p.view(-1)
            found = torch.zeros_like(flat) if gradient is None else gradient.reshape(-1)
            for i in {*range(min(4, len(flat))), *range(max(0, len(flat) - 4), len(flat))}:
                kept = flat[i].item()
                losses = []
                for value in (kept + step, kept - step, kept):
                    flat[i] = value
                    losses.append(float(summed_loss(model, batch)))
                difference = (losses[0] - losses[1]) / (2 * step)
                assert difference == pytest.approx(float(found[i]), rel=1e-5, abs=1e-7), f"{name}[{i}]"


@pytest.mark.parametrize("kind", MODELS)
def test_each_parameter_has_a_gradient(kind: str) -> None:
    """What is counted is used: no tensor stands aside. (Keys have no bias that would matter: softmax forgets it.)"""
    model = precise(MODELS[kind], "sdpa")
    summed_loss(model, batch_of(model)).backward()
    for name, p in model.named_parameters():
        if p.requires_grad and not name.endswith("key.bias"):
            assert p.grad is not None, name
            assert float(p.grad.abs().max()) > 1e-9, name


@pytest.mark.parametrize("kind", MODELS)
def test_both_kernels_give_the_same_gradients(kind: str) -> None:
    found = []
    for kernel in KERNELS:
        model = precise(MODELS[kind], kernel)
        summed_loss(model, batch_of(model)).backward()
        found.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    assert torch.allclose(*found, atol=1e-10)


def double(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).requires_grad_()


@pytest.mark.parametrize("norm", [RMSNorm(6, 1e-5), LayerNorm(6, 1e-5), RMSNorm(6, 1e-5, gain=False)])
def test_norms_have_the_gradients_of_finite_differences(norm: torch.nn.Module) -> None:
    assert torch.autograd.gradcheck(norm.double(), (double(3, 6),))


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("kv_heads", [4, 2, 1])
@pytest.mark.parametrize("kernel", KERNELS)
def test_attention_has_the_gradients_of_finite_differences(kernel: str, kv_heads: int, causal: bool) -> None:
    q, k, v = double(1, 4, 3, 2), double(1, kv_heads, 3, 2, seed=1), double(1, kv_heads, 3, 3, seed=2)
    bias = None if causal else double(1, 4, 3, 3, seed=3)
    given = (q, k, v) if bias is None else (q, k, v, bias)
    attend = KERNELS[kernel]
    assert torch.autograd.gradcheck(lambda *x: attend(x[0], x[1], x[2], x[3] if x[3:] else None, causal, 0.7), given)
