"""Kernel times: units, limits, and a measured decode."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pint
import pytest

from deepwide.answers.models import find_model
from deepwide.cost.kernels import Machine, decode_token_s, machine, roofline_s
from deepwide.facts.accelerators import accelerator, accelerators

H100 = machine(accelerator("h100"))


def test_the_roofline_of_quantities_comes_out_in_seconds() -> None:
    unit = pint.UnitRegistry()
    measured = replace(
        H100,
        peak_flops_per_s=unit.Quantity(H100.peak_flops_per_s, "count / s"),
        bandwidth_bytes_per_s=unit.Quantity(H100.bandwidth_bytes_per_s, "byte / s"),
    )
    time = roofline_s(unit.Quantity(1e12, "count"), unit.Quantity(1e9, "byte"), measured)
    assert roofline_s(1e12, 1e9, H100) == pytest.approx(time.m_as("s"))


def test_the_roofline_is_never_faster_than_either_limit() -> None:
    for flops, moved in ((1e9, 1e9), (1e12, 1e6), (1e6, 1e10)):
        bound = max(flops / H100.peak_flops_per_s, moved / H100.bandwidth_bytes_per_s)
        assert roofline_s(flops, moved, H100) > bound


def decode_s(model: str, on: Machine = H100, **how: float) -> float:
    return decode_token_s(find_model(model).ledger, on, context=how.pop("context", 1024), **how)


def test_llama_8b_on_an_h100_decodes_as_measured() -> None:
    # 6.18 ms in the silicon tables of ai-dynamo/aiconfigurator, vLLM, batch 1, 1,024 tokens.
    assert 6.18e-3 == pytest.approx(decode_s("llama-3.1-8b"), rel=0.1)


def test_depth_costs_time_at_equal_size() -> None:
    deep, wide = (f"like=llama,layers={n},hidden={d},vocab=32000" for n, d in ((128, 2048), (8, 8192)))
    assert decode_s(deep) > 1.3 * decode_s(wide)


def test_halving_the_bytes_of_weights_saves_time_but_not_half() -> None:
    assert 0.5 < decode_s("llama-3-8b", weight_bytes=1) / decode_s("llama-3-8b", weight_bytes=2) < 0.7


def test_a_longer_context_takes_longer() -> None:
    assert decode_s("llama-3-8b", context=32_768) > decode_s("llama-3-8b", context=1024)


def test_experts_that_sleep_cost_no_time() -> None:
    assert decode_s("mixtral-8x7b") < 0.5 * decode_s("like=llama,layers=32,hidden=4096,ffn=114688")


def test_every_accelerator_has_a_time_for_a_token() -> None:
    assert all(decode_s("gpt2", machine(a)) > 0 for a in accelerators())


def test_many_contexts_at_once_equal_each_alone() -> None:
    contexts = np.array([1.0, 1000.0, 50_000.0])
    at_once = decode_token_s(find_model("mistral-7b").ledger, H100, context=contexts)
    assert [decode_s("mistral-7b", context=int(n)) for n in contexts] == pytest.approx(list(at_once))
