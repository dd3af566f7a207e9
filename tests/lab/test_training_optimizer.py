"""Muon and AdamW on a real model: who gets which parameter, and states that come back exactly."""

from __future__ import annotations

import pytest
import torch

from deepwide.answers.models import find_model
from deepwide.errors import BadInput
from deepwide.lab import build
from deepwide.lab.network import Transformer
from deepwide.lab.training import Batch, Recipe, next_token
from deepwide.lab.training.muon import muon_step, orthogonalised, stacks
from deepwide.lab.training.objective import backward
from deepwide.lab.training.optimizer import Optimizer
from deepwide.lab.training.tensors import load_weights, weights

TINY = "like=llama,layers=2,hidden=16,heads=2,kv_heads=2,ffn=24,vocab=31,context=16"
CPU = torch.device("cpu")


def model_of(text: str = TINY, seed: int = 0) -> Transformer:
    architecture = find_model(text).architecture
    assert architecture is not None
    return build(architecture, seed=seed)


def batch_of_step(step: int) -> Batch:
    generator = torch.Generator().manual_seed(step)
    return next_token(torch.randint(0, 31, (4, 9), generator=generator))


def stepped(model: Transformer, optimizer: Optimizer, steps: range) -> None:
    for step in steps:
        optimizer.zero_grad()
        backward(model, batch_of_step(step), 1, CPU)
        optimizer.step(1.0)


@pytest.mark.parametrize("name", ["muon", "adamw"])
def test_every_parameter_is_trained_once(name: str) -> None:
    model = model_of(TINY + ",tied")
    optimizer = Optimizer(model, Recipe(steps=1, optimizer=name))
    assert {id(p) for p in model.parameters()} == {id(p) for p in optimizer.parameters}
    assert len(optimizer.parameters) == len(list(model.parameters()))


def test_muon_takes_the_matrices_of_blocks_and_no_others() -> None:
    optimizer = Optimizer(model_of(), Recipe(steps=1))
    assert all(".blocks." in name and "norm" not in name for name in optimizer.momenta)
    assert len(optimizer.momenta) == 2 * 7


def test_gains_and_biases_do_not_decay() -> None:
    decays = {g.role: g.weight_decay for g in Optimizer(model_of(), Recipe(steps=1, weight_decay=0.3)).groups}
    assert decays == {"matrix": 0.3, "head": 0.3, "embedding": 0.3, "vector": 0.0}


def test_an_orthogonalised_matrix_keeps_its_directions_with_sizes_near_one() -> None:
    x = torch.randn(3, 12, 20, generator=torch.Generator().manual_seed(0))
    left, _, right = torch.linalg.svd(x, full_matrices=False)
    sizes = left.mT @ orthogonalised(x, torch.float32) @ right.mT
    diagonal = sizes.diagonal(dim1=1, dim2=2)
    assert torch.allclose(sizes, torch.diag_embed(diagonal), atol=1e-4)
    assert 0.6 < float(diagonal.min())
    assert float(diagonal.max()) < 1.3


@pytest.mark.parametrize("shape", [(12, 20), (20, 12), (16, 16)])
def test_a_step_is_that_of_pytorch_in_bf16(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    ours = [torch.randn(shape, generator=generator) for _ in range(3)]
    theirs = [torch.nn.Parameter(x.clone()) for x in ours]
    momenta = [torch.zeros(shape) for _ in ours]
    reference = torch.optim.Muon(theirs, lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        gradients = [torch.randn(shape, generator=generator) for _ in ours]
        for p, gradient in zip(theirs, gradients, strict=True):
            p.grad = gradient
        reference.step()
        muon_step(ours, gradients, momenta, rate=0.01, weight_decay=0.1, momentum=0.95, dtype=torch.bfloat16)
    for own, their in zip(ours, theirs, strict=True):
        assert torch.allclose(own, their, atol=1e-3)


def test_a_stack_of_experts_steps_as_its_matrices_one_by_one() -> None:
    generator = torch.Generator().manual_seed(0)
    stack, gradient = (torch.randn(3, 8, 12, generator=generator) for _ in range(2))
    alone = [x.clone() for x in stack]
    options = {"rate": 0.01, "weight_decay": 0.1, "momentum": 0.95, "dtype": torch.float32}
    muon_step(alone, list(gradient), [torch.zeros(8, 12) for _ in alone], **options)  # type: ignore[arg-type]
    muon_step([stack], [gradient], [torch.zeros(3, 8, 12)], **options)  # type: ignore[arg-type]
    assert torch.allclose(stack, torch.stack(alone), atol=1e-6)


def test_matrices_go_together_by_shape_whether_they_lie_or_stand() -> None:
    assert stacks([(4, 8), (8, 4), (4, 4), (2, 8, 4)]) == [[0, 1, 3], [2]]
    assert stacks([(4096, 4096), (4096, 4096)]) == [[0], [1]]


@pytest.mark.parametrize("name", ["muon", "adamw"])
def test_states_come_back_exactly(name: str) -> None:
    recipe = Recipe(steps=9, optimizer=name)
    model, other = model_of(), model_of(seed=1)
    optimizer, copy = Optimizer(model, recipe), Optimizer(other, recipe)
    stepped(model, optimizer, range(3))
    load_weights(other, weights(model))
    copy.load({key: tensor.clone() for key, tensor in optimizer.state().items()})
    stepped(model, optimizer, range(3, 6))
    stepped(other, copy, range(3, 6))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(tensor, copy.state()[key]) for key, tensor in optimizer.state().items())


def test_states_of_another_model_are_refused() -> None:
    recipe = Recipe(steps=1)
    kept = Optimizer(model_of(TINY.replace("layers=2", "layers=3")), recipe).state()
    with pytest.raises(BadInput, match=r"have momentum\.decoder\.blocks\.2.* besides: it is of another model"):
        Optimizer(model_of(), recipe).load(kept)


def test_weights_of_another_width_are_refused() -> None:
    with pytest.raises(BadInput, match=r"have embedding\.tokens\.weight \[31, 32\], the model \[31, 16\]"):
        load_weights(model_of(), weights(model_of(TINY.replace("hidden=16", "hidden=32"))))


def test_a_tied_tensor_is_kept_once() -> None:
    assert "head.output.weight" in weights(model_of())
    assert "head.output.weight" not in weights(model_of(TINY + ",tied"))
