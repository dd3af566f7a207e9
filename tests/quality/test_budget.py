"""What a budget buys along a shape: the numerical optimum is that of the closed form, and serving shrinks the model."""

from __future__ import annotations

import dataclasses

import pytest

from deepwide.facts.loss_laws import constants
from deepwide.quality.budget import best_for_compute, best_for_serving, doubled_body, doubled_tokens
from deepwide.quality.laws import law
from deepwide.quality.size import Coupled, compute_optimal, coupled
from deepwide.quality.trained import Trained

LAW = constants("besiroglu-2024", Coupled)


def headless(tokens: float = 1e11) -> Trained:
    """A model that is nothing but its body, so that parameters and FLOPs count the same."""
    body = 12 * 24 * 2048**2
    sizes = {"total": body, "body": body, "active": body, "attention": body / 3, "ffn": body * 2 / 3}
    return Trained(**sizes, head=0, layers=24, hidden=2048, vocab=1, tokens=tokens, unique_tokens=tokens)


def test_the_search_along_a_shape_finds_the_closed_form() -> None:
    point = best_for_compute(law("besiroglu-2024").loss, headless())
    assert point is not None
    size, tokens = compute_optimal(headless().flops, LAW)
    assert [size, tokens, coupled(size, tokens, LAW)] == [
        pytest.approx(point.body, rel=0.01),
        pytest.approx(point.tokens, rel=0.01),
        pytest.approx(point.loss, rel=1e-6),
    ]


def test_a_law_of_size_alone_has_no_optimum() -> None:
    assert best_for_compute(law("kaplan-2020-size").loss, headless()) is None


@pytest.mark.parametrize("name", ["shape", "besiroglu-2024", "gemstones-2025"])
def test_no_equal_compute_choice_beats_the_optimum(name: str) -> None:
    chosen = law(name)
    point = best_for_compute(chosen.loss, headless())
    assert point is not None
    assert point.loss <= chosen.loss(headless())
    assert point.flops == pytest.approx(headless().flops)


def test_serving_many_tokens_makes_the_model_smaller_at_the_same_loss() -> None:
    chosen = law("besiroglu-2024")
    few, many = (best_for_serving(chosen.loss, headless(), served) for served in (1e10, 1e14))
    assert few is not None
    assert many is not None
    assert (many.body < few.body, many.tokens > few.tokens) == (True, True)
    assert few.loss == many.loss == pytest.approx(float(chosen.loss(headless())))


def test_doublings_are_the_differences_they_say() -> None:
    chosen, base = law("besiroglu-2024"), headless()
    twice = dataclasses.replace(base, tokens=2e11, unique_tokens=2e11)
    assert doubled_tokens(chosen.loss, base) == pytest.approx(chosen.loss(twice) - chosen.loss(base))
    assert doubled_body(chosen.loss, base) == pytest.approx(
        coupled(2 * base.body, 1e11, LAW) - coupled(base.body, 1e11, LAW)
    )
