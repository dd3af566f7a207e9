"""Shapes at equal parameters: widths by whole heads, layers solved for, and what counts as a difference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepwide.design.counterfactual import (
    NEAR_SHARE,
    TIME_RESOLUTION,
    layers_for,
    loss_resolution,
    per_tenth,
    ratio_apart,
    scaled,
    widened,
)
from deepwide.quality.shape import DIFFERENCE_SD, TIE, Z

HEADS = st.sampled_from([(768, 12, 12), (4096, 32, 8), (3584, 28, 4), (4096, 32, 1), (8192, 64, 8), (64, 1, 1)])


@given(HEADS, st.floats(0.05, 20))
def test_a_width_keeps_its_heads_whole_and_as_wide(shape: tuple[int, int, int], ratio: float) -> None:
    hidden, heads, kv_heads = shape
    made = widened(hidden, heads, kv_heads, ratio)
    assert made.hidden * heads == hidden * made.heads
    assert made.heads % made.kv_heads == 0
    assert made.kv_heads == (made.heads if kv_heads == heads else kv_heads)


@given(HEADS, st.sampled_from([1, 2, 4, 8]), st.floats(0.3, 4))
def test_what_devices_share_they_still_share_where_that_is_near(
    shape: tuple[int, int, int], tp: int, ratio: float
) -> None:
    made, free = widened(*shape, ratio, tp), widened(*shape, ratio)
    assert made.heads % tp == 0 or made.heads == free.heads or abs(made.heads / (shape[1] * ratio) - 1) <= NEAR_SHARE


@given(HEADS)
def test_a_width_times_one_is_the_width(shape: tuple[int, int, int]) -> None:
    assert shape == tuple(widened(*shape, 1.0))


@given(st.integers(1, 500), st.integers(0, 10**9), st.integers(1, 10**9), st.integers(1, 9))
def test_layers_are_found_again_from_two_others(layers: int, beside: int, each: int, further: int) -> None:
    def parameters(n: int) -> int:
        return beside + n * each

    known = (3, parameters(3)), (3 + further, parameters(3 + further))
    assert layers == layers_for(parameters(layers), *known)


def test_one_shape_is_one_entry_of_many() -> None:
    wanted = np.array([100.0, 230.0, 1.0])
    assert [layers_for(w, (1, 30), (2, 40)) for w in wanted] == list(layers_for(wanted, (1, 30), (2, 40)))


def test_there_is_always_a_layer() -> None:
    assert 1 == layers_for(5, (1, 30), (2, 40))


def test_a_size_is_scaled_to_whole_tiles() -> None:
    assert [7168, 64, 15744] == [scaled(14336, 0.5), scaled(10, 0.1), scaled(14336, 1.1)]


def test_two_shapes_alike_are_told_apart_no_better_than_recipes() -> None:
    assert TIE == loss_resolution(DIFFERENCE_SD, (0.01, 0.01))


def test_shapes_far_apart_or_far_outside_are_told_apart_worse() -> None:
    near = loss_resolution(DIFFERENCE_SD, (0.0, 0.0))
    assert near < loss_resolution(DIFFERENCE_SD, (0.1, 0.0)) < loss_resolution(DIFFERENCE_SD, (0.1, 0.0), (2.0, 0.0))
    assert pytest.approx(Z * 0.05, rel=1e-12) == loss_resolution(0.0, (0.1, 0.0))


def test_how_shapes_are_told_apart_asks_for_no_order() -> None:
    assert loss_resolution(0.01, (0.1, 0.02), (1, 3)) == loss_resolution(0.01, (0.02, 0.1), (3, 1))


def test_a_tenth_more_is_a_tenth_of_doubling_where_things_are_linear() -> None:
    assert pytest.approx(0.1) == per_tenth(7.0, 14.0, 8, 16) == per_tenth(7.0, 3.5, 8, 4)


def test_a_ratio_is_as_far_apart_either_way_round() -> None:
    assert ratio_apart(2.0, 3.0) == ratio_apart(3.0, 2.0) > 0 == ratio_apart(3.0, 3.0)
    assert [0.0, float("inf")] == [ratio_apart(0, 0), ratio_apart(0, 1)]


def test_times_resolve_no_better_than_pairs_of_models_were_measured() -> None:
    measured = {"step": 0.044, "decode": 0.049, "prefill": 0.15}
    assert all(measured[kind] <= share < 1.2 * measured[kind] for kind, share in TIME_RESOLUTION.items())
