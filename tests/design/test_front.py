"""Fronts: what nothing beats, whatever the order in which it was seen."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from deepwide.design.front import FEW, Columns, Front

# A few distinct values, so that ties are common.
POINTS = st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), min_size=1, max_size=60)


def columns(points: list[tuple[int, int]], first: int = 0) -> Columns:
    """Cost and loss of each point, numbered."""
    cost, loss = (np.array(values, float) for values in zip(*points, strict=True))
    return {"decode_s": cost / 1000, "loss": loss, "number": np.arange(first, first + len(points), dtype=float)}


def unbeaten(points: list[tuple[int, int]]) -> list[int]:
    """By comparing every pair: those with nothing as good in both and better in one; of equal ones the first."""
    return [
        i
        for i, (cost, loss) in enumerate(points)
        if not any(
            c <= cost and x <= loss and (c < cost or x < loss or j < i) for j, (c, x) in enumerate(points) if j != i
        )
    ]


def numbers(front: Front) -> list[int]:
    return sorted(int(n) for n in front.rows["number"])


@given(points=POINTS)
def test_a_front_is_what_comparing_every_pair_leaves(points: list[tuple[int, int]]) -> None:
    front = Front("decode_s")
    front.add(columns(points))
    assert unbeaten(points) == numbers(front)


@given(points=POINTS, cuts=st.lists(st.integers(0, 60), max_size=4), backwards=st.booleans())
def test_a_front_does_not_depend_on_the_order_of_what_it_is_shown(
    points: list[tuple[int, int]], cuts: list[int], backwards: bool
) -> None:
    whole, front, at = columns(points), Front("decode_s"), [0, *sorted(cuts), len(points)]
    pieces = [{n: c[a:b] for n, c in whole.items()} for a, b in pairwise(at)]
    for piece in pieces[::-1] if backwards else pieces:
        front.add(piece)
    assert unbeaten(points) == numbers(front)


@given(points=POINTS, cut=st.integers(0, 60))
def test_what_is_turned_away_early_is_nothing_that_belongs_on_the_front(
    points: list[tuple[int, int]], cut: int
) -> None:
    front, whole = Front("decode_s"), columns(points)
    for a, b in ((0, cut), (cut, len(points))):
        piece = {name: column[a:b] for name, column in whole.items()}
        better = front.improving(piece["decode_s"], piece["loss"])
        front.add({name: column[better] for name, column in piece.items()})
    assert unbeaten(points) == numbers(front)


def test_many_shapes_leave_the_front_that_they_leave_one_by_one() -> None:
    draw = np.random.default_rng(3)
    cost, loss = np.exp(draw.normal(size=(2, 40 * FEW)))
    whole, kept = columns([(1, 1)] * len(cost)) | {"decode_s": cost, "loss": loss}, draw.random(len(cost)) < 0.5
    front = Front("decode_s")
    for block in np.array_split(np.arange(len(cost)), 8):
        piece = {name: column[block] for name, column in whole.items()}
        piece = {name: column[kept[block]] for name, column in piece.items()}
        better = front.improving(piece["decode_s"], piece["loss"])
        front.add({name: column[better] for name, column in piece.items()})
    order = np.flatnonzero(kept)[np.argsort(cost[kept])]
    falling = loss[order] < np.concatenate([[np.inf], np.minimum.accumulate(loss[order])[:-1]])
    assert list(order[falling]) == [int(n) for n in front.rows["number"]]


def test_costs_beyond_all_measure_are_still_compared() -> None:
    front = Front("decode_s")
    cost, loss = np.array([1e-300, 1e-200, 1e200, 1e300]), np.array([4.0, 3.0, 2.0, 2.0])
    better = front.improving(cost, loss)
    whole = {"decode_s": cost, "loss": loss, "number": np.arange(4.0)}
    front.add({name: column[better] for name, column in whole.items()})
    assert [0, 1, 2] == numbers(front)
