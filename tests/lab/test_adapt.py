"""Adapters in the very model: as many parameters and products as are counted, merged into the same logits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from deepwide.answers.models import find_model
from deepwide.architecture.adapters import lora_flops, lora_parameters, lora_targets
from deepwide.architecture.flops import Pass
from deepwide.errors import BadInput
from deepwide.lab.adapt import Adapter, adapt, adapter_names, measured, merge, write_adapter
from deepwide.lab.adapt.lora import quiet_peft
from deepwide.lab.kernels import Kernels, apply
from deepwide.lab.network import Transformer, build
from deepwide.lab.training import Alone, Batch, Learner, Recipe

FAMILIES = ("llama", "qwen2,kv_heads=1", "gpt2", "bert", "t5", "albert")
TARGETS = ("query,value", "attention", "ffn", "all")


@pytest.fixture(autouse=True, scope="module")
def peft_is_there() -> Iterator[None]:
    """Importing it takes seconds, which belong to no single test."""
    with quiet_peft():
        yield


def built(family: str) -> Transformer:
    return build(find_model(f"like={family},layers=3,hidden=32,heads=2,ffn=48,vocab=64,context=32").described(), seed=0)


def lora(targets: str = "all", rank: int = 3) -> Adapter:
    return Adapter(rank=rank, alpha=2.0 * rank, targets=lora_targets(targets))


def batch(model: Transformer) -> Batch:
    tokens = torch.arange(24).view(2, 12)
    return Batch(tokens=tokens, targets=tokens, sources=tokens if len(model.stack_names) > 1 else None)


def logits(model: nn.Module, of: Batch) -> Tensor:
    with torch.no_grad():
        scores: Tensor = model(of.tokens, **({} if of.sources is None else {"sources_BS": of.sources}))
    return scores


def trained(model: nn.Module) -> list[nn.Parameter]:
    return [tensor for tensor in model.parameters() if tensor.requires_grad]


def disturbed(model: nn.Module) -> None:
    """B is 0 at first; here the adapters have learned something."""
    torch.manual_seed(7)
    for name, tensor in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(tensor, std=0.1)


@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("family", FAMILIES)
def test_as_many_parameters_are_trained_as_the_formula_says(family: str, targets: str) -> None:
    model, adapter = built(family), lora(targets)
    adapt(model, adapter, seed=0)
    counted = lora_parameters(find_model(_text(family)).ledger, adapter.rank, adapter.targets)
    assert counted == sum(tensor.numel() for tensor in trained(model))
    assert len(adapter_names(model)) == len(trained(model))


def _text(family: str) -> str:
    return f"like={family},layers=3,hidden=32,heads=2,ffn=48,vocab=64,context=32"


@pytest.mark.parametrize("family", FAMILIES)
def test_merged_weights_give_the_same_logits(family: str) -> None:
    model = built(family)
    read = batch(model)
    before, flags = logits(model, read), {name: p.requires_grad for name, p in model.named_parameters()}
    adapt(model, lora(), seed=0)
    torch.testing.assert_close(logits(model, read), before, rtol=0, atol=1e-6)
    disturbed(model)
    wrapped = logits(model, read)
    assert (wrapped - before).abs().max() > 0.01
    merge(model)
    torch.testing.assert_close(logits(model, read), wrapped, rtol=0, atol=2e-6)
    assert flags == {name: p.requires_grad for name, p in model.named_parameters()}


@pytest.mark.parametrize("targets", [*TARGETS, "key", "output", "down", "up,output"])
@pytest.mark.parametrize("family", FAMILIES[:4])
def test_a_step_takes_the_products_that_are_counted(family: str, targets: str) -> None:
    model, adapter = built(family), lora(targets)
    adapt(model, adapter, seed=0)
    recipe = Recipe(steps=1, batch=2, context=12, optimizer="adamw")
    told = measured(Alone(Learner(model=model), recipe), batch(model))
    work = Pass(tokens=12, batch=2)
    ledger = find_model(_text(family)).ledger
    assert 24 * told.flops_per_token == lora_flops(ledger, 3, adapter.targets, work, "counter")


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_peft_itself_loads_what_was_written(family: str, tmp_path: Path) -> None:
    model, adapter = built(family), lora("query,value,down")
    read = batch(model)
    adapt(model, adapter, seed=0)
    disturbed(model)
    size = write_adapter(model, adapter, tmp_path / "adapter", "base")
    assert size == (tmp_path / "adapter" / "adapter_model.safetensors").stat().st_size
    with quiet_peft() as peft:
        loaded = peft.PeftModel.from_pretrained(built(family), str(tmp_path / "adapter"))
    assert torch.equal(logits(loaded, read), logits(model, read))


def test_bf16_goes_through_adapters_and_comes_out() -> None:
    model = built("llama")
    adapt(model, lora(), seed=0)
    disturbed(model)
    exact = logits(model, batch(model))
    apply(Kernels(dtype="bf16", attention="bmm"), model)
    torch.testing.assert_close(logits(model, batch(model)), exact, rtol=0, atol=0.05)
    assert {torch.float32} == {tensor.dtype for tensor in trained(model)}


def test_the_same_seed_draws_the_same_adapters_and_disturbs_no_others_draws() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    one, two = built("llama"), built("llama")
    for model in (one, two):
        adapt(model, lora(), seed=5)
    assert torch.equal(expected, torch.rand(4))
    assert all(torch.equal(a, b) for a, b in zip(trained(one), trained(two), strict=True))


def test_experts_that_lie_in_one_tensor_are_refused_and_their_attention_is_not() -> None:
    text = "like=mixtral,layers=2,hidden=32,heads=2,ffn=48,vocab=64,experts=4,active_experts=2"
    model = build(find_model(text).described())
    with pytest.raises(BadInput, match="experts' matrices are stacked in one tensor; give targets=attention"):
        adapt(model, lora("all"), seed=0)
    adapt(model, lora("attention"), seed=0)
    counted = lora_parameters(find_model(text).ledger, 3, lora_targets("attention"))
    assert counted == sum(tensor.numel() for tensor in trained(model))
