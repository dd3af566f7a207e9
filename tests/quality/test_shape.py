"""The shape law: its two members, its interval, the weakness of shape, and that one shape alone equals its row."""

from __future__ import annotations

import math

import numpy as np
import pytest

from deepwide.facts.shape_law import RECIPE, recipes, shape_law_draws, shape_laws
from deepwide.quality.shape import (
    DIFFERENCE_SD,
    TIE,
    best_aspect,
    difference_sd,
    expected_loss,
    shape_loss,
)

VOCAB = 50_304


def sizes(layers: float, hidden: float, vocab: int = VOCAB) -> tuple[float, float, float, float]:
    return 12 * layers * hidden**2, vocab * hidden, layers, hidden


def loss(layers: float, hidden: float, tokens: float = 2e10) -> float:
    return float(expected_loss(*sizes(layers, hidden), tokens))


def by_hand(layers: int, hidden: int, tokens: float, recipe: str) -> float:
    """The formula of the module's docstring, written a second time."""
    values = []
    for law in shape_laws(recipe):
        m = law.constants
        size = 12 * layers * hidden**2 + (VOCAB * hidden if law.counts == "body and head" else 0)
        u = math.log(hidden / layers / m.best_aspect) - m.aspect_drift * math.log(size / 1e8)
        capacity = m.capacity * (size / 1e8) ** -m.capacity_power * math.exp(m.curvature * u**2)
        data = m.data * (tokens / 1e11) ** -m.data_power * math.exp(m.data_curvature * u**2)
        values.append(m.floor + (capacity ** (1 / m.coupling) + data ** (1 / m.coupling)) ** m.coupling)
    return sum(values) / len(values)


@pytest.mark.parametrize("recipe", [RECIPE, "morph/train_ema_dclm/cosine/dclm-baseline"])
@pytest.mark.parametrize(("layers", "hidden"), [(8, 512), (16, 1024), (32, 2048), (4, 4096), (80, 256)])
def test_the_law_is_its_formula(layers: int, hidden: int, recipe: str) -> None:
    said = expected_loss(*sizes(layers, hidden), 2e10, trained=recipe)
    assert by_hand(layers, hidden, 2e10, recipe) == pytest.approx(float(said))


def test_the_loss_with_its_interval_is_the_expected_loss() -> None:
    full = shape_loss(*sizes(16, 1024), 2e10)
    assert loss(16, 1024) == full.loss
    assert full.low < full.loss < full.high


def test_more_tokens_and_more_parameters_lower_the_loss() -> None:
    aspect, body = np.geomspace(3, 320, 40)[:, None], np.geomspace(1e7, 1e12, 60)
    layers = (body / 12 / aspect**2) ** (1 / 3)
    grid = sizes(layers, aspect * layers)
    for ratio in (0.1, 1, 20, 1000):  # tokens per parameter
        losses = expected_loss(*grid, ratio * body[0])
        assert (np.diff(expected_loss(*grid, 1e11 * ratio), axis=1)[:, body[1:] < 1e12 * ratio] < 0).all()
        assert (expected_loss(*grid, 2 * ratio * body[0]) < losses).all()


def test_more_layers_lower_the_loss_wherever_there_are_data() -> None:
    hidden, layers = np.geomspace(256, 16_384, 13)[:, None], np.arange(1.0, 201.0)
    losses = expected_loss(*sizes(layers, hidden), 1e11)
    assert (np.diff(losses, axis=1) < 0).all()


def test_shape_is_a_weak_effect_a_factor_two_off_is_a_tie() -> None:
    # Equal body: layers * hidden^2 is kept, so a ratio twice as large takes 2^(1/3) the width.
    best = min((loss(n, (1e9 / 12 / n) ** 0.5), n) for n in range(4, 120))
    twice = loss(best[1] / 4 ** (1 / 3), (1e9 / 12 / (best[1] / 4 ** (1 / 3))) ** 0.5)
    assert 0 <= twice - best[0] < TIE / 2


def test_extreme_shapes_cost_more_than_a_tie() -> None:
    assert loss(2, (1e9 / 24) ** 0.5) - loss(24, (1e9 / 12 / 24) ** 0.5) > TIE


def test_the_best_aspect_at_a_billion_parameters_is_a_few_tens() -> None:
    assert 20 <= best_aspect(10**9, VOCAB * 2048) <= 45


def test_a_shape_at_its_best_aspect_loses_next_to_nothing_to_its_shape() -> None:
    aspect = float(best_aspect(10**9, VOCAB * 1300))
    layers = (1e9 / 12 / aspect**2) ** (1 / 3)
    assert 0 <= shape_loss(*sizes(layers, aspect * layers), 2e10).shape_effect < 0.005


def test_many_shapes_at_once_equal_each_alone_to_the_last_digit() -> None:
    order = np.random.default_rng(0)
    for count in (1, 2, 3, 7, 8, 9, 31, 257):
        layers, hidden = order.integers(2, 120, count).astype(float), 64.0 * order.integers(2, 200, count)
        at_once = expected_loss(*sizes(layers, hidden), 3e11)
        alone = [expected_loss(*sizes(int(n), int(d)), 300 * 10**9) for n, d in zip(layers, hidden, strict=True)]
        assert alone == at_once.tolist()


def test_a_grid_of_axes_equals_its_columns_to_the_last_digit() -> None:
    layers, hidden = np.arange(2.0, 40.0)[:, None], 64.0 * np.arange(2, 39)
    grid = expected_loss(*sizes(layers, hidden), 1e11)
    flat = [x.ravel() for x in np.broadcast_arrays(layers, hidden)]
    assert expected_loss(*sizes(*flat), 1e11).tolist() == grid.ravel().tolist()


@pytest.mark.parametrize("function", [np.exp, np.log])
def test_numpy_gives_the_same_bits_wherever_an_entry_stands(function: np.ufunc) -> None:
    values = np.random.default_rng(1).uniform(0.5, 30, 500)
    whole = function(values)
    for start in range(9):
        for count in (1, 2, 5, 8, 13, 64):
            assert (function(values[start : start + count]) == whole[start : start + count]).all()
    assert (function(values[::3]) == whole[::3]).all()
    assert [function(v) for v in values] == whole.tolist()


def test_outside_the_fitted_box_the_interval_widens_and_says_so() -> None:
    inside, outside = (shape_loss(*sizes(16, d), 5e10) for d in (1024, 16_384))
    assert inside.outside == 0 < outside.outside
    assert inside.high - inside.low < outside.high - outside.low


def test_the_recipe_of_the_fit_has_a_narrower_interval_than_another() -> None:
    same, other = (shape_loss(*sizes(16, 1024), 5e10, recipe=r) for r in ("same", "other"))
    assert same.loss == other.loss
    assert same.high - same.low < other.high - other.low


def test_a_difference_of_like_shapes_is_surer_than_one_of_unlike_shapes() -> None:
    like = difference_sd(sizes(16, 1024), sizes(17, 1024), 1e11)
    unlike = difference_sd(sizes(3, 2048), sizes(100, 256), 1e11)
    assert DIFFERENCE_SD <= like < unlike


def test_every_recipe_has_two_members_a_source_and_an_error_of_shapes_left_out() -> None:
    for members in recipes().values():
        assert ["body and head", "body"] == [m.counts for m in members]
        assert all(m.source and m.checked and m.held_out_nats > 0 for m in members)


def test_resampled_constants_lie_around_the_shipped_ones() -> None:
    middle = np.median([[m.floor for m in draw] for draw in shape_law_draws()], axis=0)
    assert [m.constants.floor for m in shape_laws()] == pytest.approx(middle.tolist(), rel=0.05)
