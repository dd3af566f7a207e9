"""Runtimes: their rows are whole, have sources, and fall back in steps that the answer names."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from deepwide.errors import BadInput
from deepwide.facts.accelerators import accelerators
from deepwide.facts.runtimes import PHASES, find_runtime, profile, runtimes, weight_format

NAMES = [runtime.name for runtime in runtimes()]


@pytest.mark.parametrize("name", NAMES)
def test_every_runtime_has_sources_spreads_and_plausible_constants(name: str) -> None:
    runtime = find_runtime(name)
    assert runtime.source
    assert runtime.checked
    for where in ("h100-sxm", "rtx-4090", "a-device-of-my-own"):
        by = profile(name, where)
        assert all(1 <= by.spread[phase] < 8 for phase in PHASES)
        constants = asdict(by.constants)
        assert all(value < 0.1 for key, value in constants.items() if key.endswith("_s") and key != "request_s")
        assert all(0 < value < 4 for key, value in constants.items() if key.endswith("efficiency"))


def test_accelerators_of_the_rows_are_in_the_catalogue() -> None:
    from deepwide.facts.runtimes import _corrections

    named = {row.accelerator for row in _corrections()} - {""}
    assert named - {a.name for a in accelerators()} <= {"xeon-spr-48c"}


def test_a_pair_that_was_measured_has_a_narrower_range_than_one_that_was_not() -> None:
    known, unknown = profile("vllm", "h100-sxm"), profile("vllm", "rtx-3060-12gb")
    assert known.measured
    assert not unknown.measured
    assert known.spread["decode"] <= unknown.spread["decode"]


def test_the_basis_says_what_was_measured_and_what_was_not() -> None:
    assert "fitted on" in profile("vllm", "h100-sxm").basis
    assert "none of them on rtx-3060-12gb" in profile("vllm", "rtx-3060-12gb").basis
    assert "not fitted" in profile("default", "h100-sxm").basis


@pytest.mark.parametrize(("written", "name"), [("hf", "huggingface"), ("TRT-LLM", "tensorrt-llm"), ("vLLM", "vllm")])
def test_a_runtime_is_known_by_other_names(written: str, name: str) -> None:
    assert name == find_runtime(written).name


def test_a_misspelt_runtime_gets_a_suggestion() -> None:
    with pytest.raises(BadInput, match="did you mean vllm"):
        find_runtime("vlllm")


@pytest.mark.parametrize(
    ("weights", "kind"), [("bf16", ""), ("fp8", "fp8"), ("q8_0", "int8"), ("q4_k_m", "int4"), ("awq", "awq")]
)
def test_a_precision_belongs_to_a_kind_of_kernel(weights: str, kind: str) -> None:
    assert kind == weight_format(weights)
