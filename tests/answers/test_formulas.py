"""A formula with its numbers gives the number beside it."""

from __future__ import annotations

from fractions import Fraction
from math import prod

import pytest

from deepwide.answers.formulas import formulas
from deepwide.answers.memory import memory


def worked_out(numbers: str) -> Fraction:
    """What the numbers of a formula come to: a product, divided by what stands behind each slash."""
    product, *divisors = numbers.replace(",", "").split(" / ")
    factors = [Fraction(sum(map(int, word.strip("()").split(" + ")))) for word in product.split(" · ")]
    return prod(factors, start=Fraction(1)) / prod(map(int, divisors))


@pytest.mark.parametrize("model", ["llama-3-8b", "gpt2", "gemma-2b"])
@pytest.mark.parametrize("name", ["weights_bytes", "kv_cache_bytes", "flops_per_token"])
def test_the_numbers_of_a_formula_come_to_its_value(model: str, name: str) -> None:
    told = formulas(model, context=2048, batch=3)[name]
    assert told.value == worked_out(told.numbers)


def test_the_values_are_those_of_memory() -> None:
    asked = memory("llama-3-8b", on="h100", weights="int4", devices=2)
    assert asked.weights_bytes == formulas("llama-3-8b", weights="int4", devices=2)["weights_bytes"].value


def test_what_a_formula_leaves_aside_is_said() -> None:
    assert "scales of groups" in formulas("llama-3-8b", weights="int4")["weights_bytes"].aside
    assert "windows" in formulas("mistral-7b-v0.1", context=16_384)["kv_cache_bytes"].aside
