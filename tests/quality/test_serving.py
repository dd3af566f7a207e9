"""The cheapest model for a loss and for the tokens it will serve."""

from __future__ import annotations

import numpy as np
import pytest

from deepwide.facts.loss_laws import constants
from deepwide.quality.serving import cheapest, lifetime_flops, tokens_for, tokens_left
from deepwide.quality.size import Coupled, compute_optimal, coupled

LAW = constants("besiroglu-2024", Coupled)
SIZES = np.geomspace(1e8, 1e12, 8001)


def after(tokens):
    return coupled(SIZES, tokens, LAW)


def test_without_serving_the_cheapest_is_compute_optimal() -> None:
    size, tokens = compute_optimal(1e22, LAW)
    found = cheapest(after, SIZES, coupled(size, tokens, LAW), 0.0)
    assert [1e22, size] == [pytest.approx(float(found.flops), rel=1e-4), pytest.approx(float(found.size), rel=0.02)]


def test_the_more_is_served_the_smaller_and_longer_trained_the_model() -> None:
    found = cheapest(after, SIZES, np.full(4, 2.1), np.array([0, 1e12, 1e13, 1e14]))
    assert [-1, 1, 1] == [
        np.sign(np.diff(column)).mean() for column in (found.size, found.tokens, found.tokens / found.size)
    ]


def test_many_targets_at_once_equal_each_alone() -> None:
    targets = np.array([2.5, 2.2, 2.0])
    many = cheapest(after, SIZES, targets, 1e12)
    assert [float(cheapest(after, SIZES, t, 1e12).flops) for t in targets] == pytest.approx(many.flops.tolist())


def test_a_target_below_the_floor_is_never_reached() -> None:
    assert np.inf == cheapest(after, SIZES, 1.5, 1e12).flops


def test_the_search_for_tokens_agrees_with_the_closed_form() -> None:
    sizes = np.geomspace(1e9, 1e11, 7)
    searched = tokens_for(lambda tokens: coupled(sizes, tokens, LAW), 2.2)
    left = (2.2 - LAW.floor) ** (1 / LAW.coupling) - (LAW.capacity * sizes**-LAW.capacity_power) ** (1 / LAW.coupling)
    exact = (LAW.data / left**LAW.coupling) ** (1 / LAW.data_power)
    assert exact.tolist() == pytest.approx(searched.tolist(), rel=1e-6)


def test_a_budget_leaves_what_serving_does_not_take() -> None:
    left = tokens_left(1e22, np.array([1e9, 4e9, 1e12]), 1e12)
    assert lifetime_flops(np.array([1e9, 4e9]), left[:2], 1e12).tolist() == pytest.approx([1e22, 1e22])
    assert left[2] == 0
