"""What a table of losses says of shapes: a published-like sweep with a flat bottom, and tables made to be clear."""

from __future__ import annotations

import math

import pytest

from deepwide.answers.sweep.rates import bracket, next_powers
from deepwide.answers.sweep.statistics import correlation, optimum, spread

# Validation losses of 0.8M body parameters after 1M tokens, four seeds each, measured before this program was written.
LAYERS = (1, 2, 4, 8, 16, 32)
LOSSES = (
    (1.6374, 1.6428, 1.6668, 1.6328),
    (1.5683, 1.5656, 1.5805, 1.5720),
    (1.5336, 1.5434, 1.5400, 1.5451),
    (1.5449, 1.5316, 1.5453, 1.5603),
    (1.5780, 1.5859, 1.5730, 1.5739),
    (1.6336, 1.6269, 1.6075, 1.6281),
)
MEANS = [sum(row) / len(row) for row in LOSSES]


def test_the_pooled_deviation_is_that_of_all_seeds_within_their_shapes() -> None:
    found = spread(LOSSES)
    assert found is not None
    assert found.sd == pytest.approx(0.010, abs=5e-4)
    assert (18, 15) == (found.freedom, found.paired_freedom)


def test_four_and_eight_layers_are_not_separable_and_two_and_sixteen_are_worse() -> None:
    found = spread(LOSSES)
    assert found is not None
    worse = {n: mean - min(MEANS) > found.difference_reach for n, mean in zip(LAYERS, MEANS, strict=True)}
    assert {1: True, 2: True, 4: False, 8: False, 16: True, 32: True} == worse


def test_the_parabola_is_lowest_at_about_six_layers_and_its_interval_holds_it() -> None:
    found, noise = optimum(LAYERS, MEANS, 0.005), spread(LOSSES)
    assert found is not None
    assert found.at is not None
    assert noise is not None
    assert found.at == pytest.approx(6.0, abs=0.1)
    assert 4 < found.low < found.at < found.high < 8
    assert noise.shapes_p < 1e-6


def test_losses_that_rise_with_depth_have_no_lowest_point_inside() -> None:
    found = optimum((1, 2, 4, 8), (1.0, 1.1, 1.25, 1.45), 0.001)
    assert found is not None
    assert found.at is None
    assert 1.0 == found.low


def test_noise_that_is_the_same_for_all_shapes_of_a_seed_does_not_blur_their_difference() -> None:
    table = [
        [mean + seed + 0.001 * ((i * s) % 3) for s, seed in enumerate((0.0, 0.3, -0.2, 0.1))]
        for i, mean in enumerate((1.0, 1.05, 1.1))
    ]
    found = spread(table)
    assert found is not None
    assert found.paired_sd < 0.01 < found.sd
    assert found.difference_reach < 0.05


def test_shapes_that_are_all_alike_are_not_told_apart() -> None:
    found = spread([[1.0, 1.1, 1.2], [1.15, 1.05, 1.1], [1.1, 1.2, 1.0]])
    assert found is not None
    assert found.shapes_p > 0.5


@pytest.mark.parametrize("table", [[[1.0, 1.1]], [[1.0], [1.2]], []])
def test_one_seed_or_one_shape_says_nothing_of_the_noise(table: list[list[float]]) -> None:
    assert spread(table) is None


def test_orders_that_agree_correlate_by_one_and_noise_widens_the_interval() -> None:
    sharp, blurred = (correlation((3, 1, 2, 4), (0.3, 0.1, 0.2, 0.4), sd) for sd in (1e-6, 0.2))
    assert sharp is not None
    assert blurred is not None
    assert 1.0 == pytest.approx(sharp.rho) == pytest.approx(sharp.low)
    assert blurred.low < 0.5


def test_the_rates_go_on_toward_the_better_side_until_both_sides_are_worse() -> None:
    assert (-1, 0, 1) == next_powers({})
    assert (2,) == next_powers({-1: 3.0, 0: 2.0, 1: 1.0})
    assert (-2,) == next_powers({-1: 1.0, 0: 2.0, 1: 3.0})
    assert () == next_powers({-1: 3.0, 0: 2.0, 1: 1.0, 2: 1.5})


def test_after_two_more_the_search_ends_and_says_that_it_did_not_bracket() -> None:
    losses = {-1: 5.0, 0: 4.0, 1: 3.0, 2: 2.0, 3: 1.0}
    assert () == next_powers(losses)
    found = bracket(losses, 1e-3)
    assert (8e-3, False) == (found.rate, found.bracketed)


def test_the_rate_is_the_lowest_point_of_the_parabola_through_three() -> None:
    losses = {power: (power - 0.25) ** 2 for power in (-1, 0, 1)}
    found = bracket(losses, 4e-3)
    assert found.bracketed
    assert found.rate == pytest.approx(4e-3 * 2**0.25, rel=1e-2)


def test_a_rate_that_diverges_counts_as_worse_and_leaves_the_best_as_it_is() -> None:
    found = bracket({-1: 2.0, 0: 1.5, 1: math.inf}, 4e-3)
    assert (4e-3, True) == (found.rate, found.bracketed)
    assert (8e-3, None) == found.tried[-1]


def test_losses_that_differ_no_more_than_seeds_do_bracket_nothing_and_end_the_search() -> None:
    losses = {-1: 2.942, 0: 2.954, 1: 2.939}
    assert () == next_powers(losses)
    found = bracket(losses, 4e-3)
    assert (4e-3, False) == (found.rate, found.bracketed)


def test_losses_that_fall_again_beyond_a_worse_rate_bracket_nothing() -> None:
    found = bracket({-1: 2.4, 0: 2.6, 1: 2.3, 2: 2.35}, 4e-3)
    assert (8e-3, False) == (round(found.rate, 4), found.bracketed)
