"""Low-rank adapters as the ledger counts them: published figures, and what the targets may be called."""

from __future__ import annotations

import pytest

from deepwide.answers.memory import memory
from deepwide.answers.models import find_model
from deepwide.architecture.adapters import LORA_TARGETS, lora_flops, lora_parameters, lora_targets
from deepwide.architecture.flops import Pass, backward_flops, forward_flops
from deepwide.errors import BadInput

WORK = Pass(tokens=128)


def test_gpt3_with_rank_4_on_query_and_value_has_the_papers_18_9_million() -> None:
    """96 layers of 2 matrices of 12288 x 12288: Hu et al. 2021, table 4, has 37.7M for rank 8."""
    ledger = find_model("like=gpt2,layers=96,hidden=12288,heads=96,vocab=50257").ledger
    assert 37_748_736 == lora_parameters(ledger, 8, ("query", "value"))


def test_each_expert_has_an_adapter_of_its_own() -> None:
    ledger = find_model("mixtral-8x7b").ledger
    assert 32 * 8 * 3 * 16 * (4096 + 14336) == lora_parameters(ledger, 16, lora_targets("ffn"))


def test_parameters_grow_with_the_rank_and_add_up_over_targets() -> None:
    ledger = find_model("llama-3-8b").ledger
    assert 2 * lora_parameters(ledger, 8) == lora_parameters(ledger, 16)
    assert lora_parameters(ledger, 8) == sum(lora_parameters(ledger, 8, (target,)) for target in LORA_TARGETS)


@pytest.mark.parametrize("targets", ["all", "attention", "ffn", "query,value"])
def test_memory_trains_the_same_parameters(targets: str) -> None:
    model = find_model("llama-3-8b")
    told = memory("llama-3-8b", on="h100", lora=8, targets=targets).trainable
    assert told == lora_parameters(model.ledger, 8, lora_targets(targets))


def test_frozen_matrices_save_a_third_of_the_work_at_most() -> None:
    ledger = find_model("llama-3-8b").ledger
    whole = forward_flops(ledger, WORK) + backward_flops(ledger, WORK)
    assert 2 / 3 < lora_flops(ledger, 8, LORA_TARGETS, WORK) / whole < 0.7


@pytest.mark.parametrize(
    ("text", "targets"),
    [("value, query", ("query", "value")), ("FFN", ("gate", "up", "down")), ("all", LORA_TARGETS)],
)
def test_targets_are_named_one_by_one_or_by_group(text: str, targets: tuple[str, ...]) -> None:
    assert targets == lora_targets(text)


@pytest.mark.parametrize(("text", "said"), [("qery", "did you mean query?"), ("", "known: attention, ffn, all")])
def test_an_unknown_target_is_refused_with_those_that_there_are(text: str, said: str) -> None:
    with pytest.raises(BadInput, match=said.replace("?", r"\?")):
        lora_targets(text)
