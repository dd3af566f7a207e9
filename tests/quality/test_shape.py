"""The shape law: its two members, its interval, and the weakness of shape."""

from __future__ import annotations

import math

import numpy as np
import pytest

from deepwide.facts.tables import shape_laws
from deepwide.quality.shape import TIE, shape_loss


def loss(layers: float, hidden: float, tokens: float = 2e10, vocab: int = 50_304) -> float:
    return float(shape_loss(12 * layers * hidden**2, vocab * hidden, layers, hidden, tokens).loss)


def by_hand(layers: int, hidden: int, tokens: float, vocab: int) -> float:
    """The formula of the module's docstring, written a second time."""
    values = []
    for m in shape_laws():
        size = 12 * layers * hidden**2 + (vocab * hidden if m.counts == "body and head" else 0)
        scale = math.log(size / 1e8)
        u = math.log(hidden / layers) - math.log(m.best_aspect) - m.aspect_drift * scale
        capacity = m.capacity * (size / 1e8) ** -m.capacity_power * math.exp(m.curvature * u**2)
        data = m.data * (tokens / 1e11) ** -m.data_power
        values.append(m.floor + (capacity ** (1 / m.coupling) + data ** (1 / m.coupling)) ** m.coupling)
    return sum(values) / len(values)


@pytest.mark.parametrize(("layers", "hidden"), [(8, 512), (16, 1024), (32, 2048), (4, 4096)])
def test_the_law_is_its_formula(layers: int, hidden: int) -> None:
    assert by_hand(layers, hidden, 2e10, 50_304) == pytest.approx(loss(layers, hidden))


def test_more_tokens_and_more_parameters_lower_the_loss() -> None:
    assert loss(16, 1024, 4e10) < loss(16, 1024, 2e10)
    assert loss(32, 1448) < loss(16, 1024)


def test_shape_is_a_weak_effect_a_factor_two_off_is_a_tie() -> None:
    # Equal body: layers * hidden^2 is kept, so a ratio twice as large takes 2^(1/3) the width.
    best = min((loss(n, (1e9 / 12 / n) ** 0.5), n) for n in range(4, 120))
    twice = loss(best[1] / 4 ** (1 / 3), (1e9 / 12 / (best[1] / 4 ** (1 / 3))) ** 0.5)
    assert 0 <= twice - best[0] < TIE / 2


def test_extreme_shapes_cost_more_than_a_tie() -> None:
    assert loss(2, (1e9 / 24) ** 0.5) - loss(24, (1e9 / 12 / 24) ** 0.5) > TIE


def test_many_shapes_at_once_equal_each_alone() -> None:
    layers, hidden = np.array([4.0, 16.0, 64.0]), np.array([4096.0, 1024.0, 512.0])
    at_once = shape_loss(12 * layers * hidden**2, 50_304 * hidden, layers, hidden, 2e10).loss
    assert [loss(n, d) for n, d in zip(layers, hidden, strict=True)] == pytest.approx(at_once.tolist(), rel=1e-12)


def test_outside_the_fitted_box_the_interval_widens_and_says_so() -> None:
    inside, outside = (shape_loss(12 * 16 * d**2, 50_304 * d, 16, d, 5e10) for d in (1024, 16_384))
    assert inside.outside == 0 < outside.outside
    assert inside.high - inside.low < outside.high - outside.low


def test_every_member_has_a_source() -> None:
    assert all(m.source and m.checked for m in shape_laws())
