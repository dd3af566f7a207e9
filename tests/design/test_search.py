"""The search: it finds what pricing every shape one by one finds, in shards of any number and in any order."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepwide.answers.design.question import question
from deepwide.answers.design.wanted import Wanted
from deepwide.cost.inference.engine import driven
from deepwide.design import space as space_module
from deepwide.design.pricing import Cluster, Limit, Purpose, Serving, priced, within
from deepwide.design.search import Tally, deep_to_wide, merged, near, row, tally
from deepwide.design.space import Block, Mixture, Space, Template, blocks
from deepwide.facts.accelerators import accelerator

ENGINE = driven(accelerator("h100"))
SAME = 1e-11  # relative: sums over an axis may round their last digits otherwise
SIZES = ("layers", "hidden", "heads", "kv_heads", "ffn")
FAMILIES = ("llama", "qwen2", "gpt2", "mixtral")
Rows = list[dict[str, float]]


@cache
def cluster() -> Cluster:
    found = question("h100", Wanted(parameters=10**8, devices=8, tokens=10**10, vocab=(1000,))).purpose.cluster
    assert found is not None
    return found


def one_by_one(purpose: Purpose) -> Rows:
    """Every shape of the space priced alone, in whole numbers."""
    rows = []
    for block in blocks(purpose.space):
        flat = block.flat(slice(None))
        for i in range(flat.size):
            shape = Block(flat.kind, *(int(column[i]) for column in flat[1:]))
            columns = {name: float(value) for name, value in priced(purpose, shape).items()}
            sizes = {name: float(getattr(shape, name)) for name in SIZES}
            rows.append({**sizes, **columns, "number": float(shape.number)})
    return rows


def judged(rows: Rows, limits: tuple[Limit, ...]) -> Rows:
    return [{**each, "worst": float(within(limits, each))} for each in rows]


def beats(a: dict[str, float], b: dict[str, float], cost: str) -> bool:
    """Whether a is nowhere worse than b, and better somewhere by more than rounding."""
    ratios = a[cost] / b[cost] - 1, a["loss"] / b["loss"] - 1
    return max(ratios) <= SAME and min(ratios) < -SAME


def agree(found: Tally, purpose: Purpose, rows: Rows) -> None:
    """The tally is what the rows say: counts, the best, every front, and the nearest where there is none."""
    kept = [each for each in rows if each["worst"] <= 1]
    assert (len(rows), len(kept)) == (found.counted, found.feasible)
    by_number = {each["number"]: each for each in rows}
    assert bool(kept) == bool(found.best)
    if kept:
        best = row(found.best)
        assert by_number[best["number"]] == pytest.approx({n: best[n] for n in rows[0]}, rel=SAME)
        assert best["loss"] == pytest.approx(min(each["loss"] for each in kept), rel=SAME)
        for cost, front in found.fronts.items():
            agree_on_front([by_number[n] for n in front.rows["number"]], kept, cost)
    meant = [each for each in rows if purpose.filled is None or each["parameters"] >= purpose.filled]
    assert found.filling == any(each["worst"] <= 1 for each in meant)
    if meant and not found.filling:
        assert row(found.nearest)["worst"] == pytest.approx(min(each["worst"] for each in meant), rel=SAME)


def agree_on_front(front: Rows, kept: Rows, cost: str) -> None:
    assert all(each["worst"] <= 1 for each in front)
    assert not [(a, b) for b in front for a in kept if beats(a, b, cost)]
    unbeaten = [b for b in kept if not any(beats(a, b, cost) for a in kept)]
    points = {(f"{each[cost]:.9e}", f"{each['loss']:.9e}") for each in front}
    assert {(f"{each[cost]:.9e}", f"{each['loss']:.9e}") for each in unbeaten} == points


def told(found: Tally) -> dict[str, Any]:
    """All that a search has found, as values that compare to the last digit."""
    fronts = {cost: {n: list(c) for n, c in front.rows.items()} for cost, front in found.fronts.items()}
    best = {name: list(column) for name, column in found.best.items()}
    nearest = {} if found.filling else {name: list(column) for name, column in found.nearest.items()}
    counts = (found.counted, found.feasible, found.filling)
    return {"counts": counts, "best": best, "nearest": nearest, "fronts": fronts}


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    """Spaces of some dozens of shapes."""
    family = draw(st.sampled_from(FAMILIES))
    least, lowest = draw(st.integers(1, 5)), draw(st.sampled_from((128, 200, 256)))
    several = st.sampled_from(((64,), (32, 128)))
    grouped = draw(st.sampled_from(((), (1, 2))))
    return Space(
        template=Template(family=family, tied=draw(st.booleans())),
        layers=(least, least + draw(st.integers(0, 3))),
        hidden=(lowest, lowest + draw(st.integers(100, 260))),
        head_dims=draw(several),
        sharing=(1,) if family == "gpt2" else draw(st.sampled_from(((1,), (1, 2)))),
        kv_heads=() if family == "gpt2" else grouped,
        ffn_ratios=draw(st.sampled_from(((4.0,), (2.0, 8 / 3, 4.0)))),
        vocabs=draw(st.sampled_from(((1000,), (1000, 5000)))),
        mixtures=draw(st.sampled_from(((Mixture(),), (Mixture(), Mixture(8, 2))))),
        tp=draw(st.sampled_from((1, 1, 2))),
    )


@st.composite
def searches(draw: st.DrawFn) -> tuple[Purpose, Rows]:
    """A purpose with limits that some, all or none of the shapes keep, and all shapes priced one by one."""
    space = draw(spaces())
    budget = (Limit("flops", 10.0 ** draw(st.integers(14, 19))),) if draw(st.booleans()) else ()
    purpose = Purpose(
        space=space,
        serving=Serving(engine=ENGINE, tp=space.tp, context=draw(st.sampled_from((16, 4096)))),
        limits=budget,
        tokens=None if budget else 1e9,
        unique_tokens=draw(st.sampled_from((None, 1e8))),
        serve_tokens=draw(st.sampled_from((0.0, 1e10))) if budget else 0.0,
        cluster=cluster() if not budget and draw(st.booleans()) else None,
    )
    rows = one_by_one(purpose)
    limits = list(budget)
    timed = ("days", "usd", "kg_co2e", "train_memory_bytes") if purpose.cluster else ()
    for column in ("parameters", "decode_s", "memory_bytes", *timed):
        if rows and draw(st.booleans()):
            values = sorted(each[column] for each in rows)
            limits.append(
                Limit(column, values[draw(st.integers(0, len(values) - 1))] * draw(st.sampled_from((0.7, 1.0001))))
            )
    filled = draw(st.sampled_from((None, 1e6, 3e6)))
    return replace(purpose, limits=tuple(limits), filled=filled), judged(rows, tuple(limits))


@settings(max_examples=25)
@given(asked=searches())
def test_a_search_finds_what_pricing_every_shape_alone_finds(asked: tuple[Purpose, Rows]) -> None:
    purpose, rows = asked
    agree(tally(purpose), purpose, rows)


@pytest.mark.slow
@settings(max_examples=500)
@given(asked=searches())
def test_many_more_searches_find_what_pricing_every_shape_alone_finds(asked: tuple[Purpose, Rows]) -> None:
    purpose, rows = asked
    agree(tally(purpose), purpose, rows)


@settings(max_examples=25)
@given(
    space=spaces(),
    at_once=st.sampled_from((1, 12, 32_768)),
    shards=st.integers(1, 9),
    order=st.randoms(use_true_random=False),
    most=st.sampled_from((5e5, 3e6, 1e9)),
    filled=st.sampled_from((None, 1e6)),
)
def test_shards_merge_to_the_same_in_any_number_and_order(
    space: Space, at_once: int, shards: int, order: Any, most: float, filled: float | None
) -> None:
    limits = (Limit("parameters", most), Limit("decode_s", 3e-4))
    purpose = Purpose(
        space=space, serving=Serving(engine=ENGINE, tp=space.tp), limits=limits, tokens=1e9, filled=filled
    )
    with patch.object(space_module, "BLOCK", at_once):
        parts = [tally(purpose, shard, shards) for shard in range(shards)]
        order.shuffle(parts)
        assert told(tally(purpose)) == told(merged(parts))


SPACE = Space(
    layers=(2, 24), hidden=(256, 1536), head_dims=(64,), sharing=(1, 4), ffn_ratios=(2.5, 4.0), vocabs=(32_000,)
)
PURPOSE = Purpose(space=SPACE, serving=Serving(engine=ENGINE), limits=(), tokens=1e10)
PLANNED = replace(PURPOSE, cluster=cluster())
MOE = replace(PURPOSE, space=replace(SPACE, mixtures=(Mixture(), Mixture(8, 2), Mixture(64, 8))))
LEXICAL = replace(PURPOSE, space=replace(SPACE, vocabs=(32_000, 8_000, 128_000)))


def losses(purposes: list[Purpose]) -> list[float]:
    """Of what a search recommends; infinite where nothing keeps to the limits."""
    found = [tally(purpose).best for purpose in purposes]
    return [float(best["loss"][0]) if best else np.inf for best in found]


def limited(purpose: Purpose, column: str, most: float, **changes: Any) -> Purpose:
    others = tuple(limit for limit in purpose.limits if limit.column != column)
    return replace(purpose, limits=(*others, Limit(column, most)), **changes)


@pytest.mark.parametrize("purpose", [PURPOSE, MOE, LEXICAL], ids=["dense", "experts", "vocabularies"])
@pytest.mark.parametrize(
    ("column", "least", "most"),
    [
        ("parameters", 1e7, 2e9),
        ("decode_s", 2e-4, 1e-2),
        ("memory_bytes", 6e8, 4e9),
        ("kv_cache_bytes_per_token", 1e3, 1e5),
    ],
)
def test_more_of_what_a_model_may_take_never_makes_the_loss_worse(
    purpose: Purpose, column: str, least: float, most: float
) -> None:
    found = losses([limited(purpose, column, float(value)) for value in np.geomspace(least, most, 6)])
    assert sorted(found, reverse=True) == found
    assert found[0] > found[-1]


@pytest.mark.parametrize("purpose", [PURPOSE, MOE, LEXICAL], ids=["dense", "experts", "vocabularies"])
@pytest.mark.parametrize(
    "changes", [{}, {"unique_tokens": 1e9}, {"serve_tokens": 1e10}], ids=["", "repeated", "served"]
)
def test_more_compute_never_makes_the_loss_worse(purpose: Purpose, changes: dict[str, Any]) -> None:
    budgets = [float(value) for value in np.geomspace(1e18, 1e22, 6)]
    found = losses([limited(purpose, "flops", most, tokens=None, **changes) for most in budgets])
    assert sorted(found, reverse=True) == found
    assert found[0] > found[-1]


@pytest.mark.parametrize(("column", "least", "most"), [("days", 0.01, 3.0), ("usd", 5, 3000), ("kg_co2e", 1, 100)])
@pytest.mark.parametrize("tokens", [None, 1e10], ids=["as many tokens as it pays for", "fixed tokens"])
def test_more_time_money_or_carbon_never_makes_the_loss_worse(
    column: str, least: float, most: float, tokens: float | None
) -> None:
    values = [float(value) for value in np.geomspace(least, most, 5)]
    found = losses([limited(PLANNED, column, value, tokens=tokens) for value in values])
    assert sorted(found, reverse=True) == found
    assert found[0] > found[-1]


@pytest.mark.parametrize("purpose", [PURPOSE, MOE, LEXICAL], ids=["dense", "experts", "vocabularies"])
@pytest.mark.parametrize("name", ["tokens", "unique_tokens"])
def test_more_data_never_makes_the_loss_worse(purpose: Purpose, name: str) -> None:
    own = replace(purpose, limits=(Limit("parameters", 3e8),), tokens=1e12)
    found = losses([replace(own, **{name: float(value)}) for value in np.geomspace(1e7, 1e13, 6)])
    assert sorted(found, reverse=True) == found
    assert found[0] > found[-1]


def test_more_memory_to_train_in_never_makes_the_loss_worse() -> None:
    found = losses([limited(PLANNED, "train_memory_bytes", float(value)) for value in np.geomspace(1e9, 1e11, 7)])
    assert sorted(found, reverse=True) == found
    assert found[0] > found[-1]


def test_the_more_it_will_serve_the_smaller_the_best_shape() -> None:
    own = limited(PURPOSE, "flops", 1e20, tokens=None)
    found = [tally(replace(own, serve_tokens=float(n))).best for n in (0, 3e9, 1e10, 3e10, 1e11, 3e11)]
    sizes = [float(best["parameters"][0]) for best in found]
    assert sorted(sizes, reverse=True) == sizes
    assert sizes[-1] < sizes[0]


@pytest.mark.parametrize("layers", [(2, 10), (6, 6), (6, 10)])
def test_where_no_shape_as_large_as_meant_keeps_to_the_limits_the_nearest_is_found_among_all(
    layers: tuple[int, int],
) -> None:
    space = replace(SPACE, layers=layers, hidden=(512, 640), sharing=(1,), ffn_ratios=(4.0,))
    most = 0.99 * min(each["parameters"] for each in one_by_one(replace(PURPOSE, space=replace(space, layers=(6, 6)))))
    own = limited(replace(PURPOSE, space=space, filled=0.98 * most), "parameters", most)
    agree(tally(own), own, judged(one_by_one(own), own.limits))
    assert not tally(own).filling


def test_data_that_repeat_never_make_the_loss_better() -> None:
    own = limited(PURPOSE, "flops", 1e20, tokens=None)
    short, fresh = losses([replace(own, unique_tokens=1e9), own])
    assert short > fresh


def test_all_shapes_of_a_size_are_near_it_and_keep_to_the_limits() -> None:
    own = replace(PURPOSE, space=replace(SPACE, layers=(4, 6), sharing=(1,)), limits=(Limit("decode_s", 6e-4),))
    found = near(own, 1e8, 0.1)
    rows = judged(one_by_one(own), own.limits)
    expected = [each for each in rows if abs(each["parameters"] / 1e8 - 1) <= 0.1 and each["worst"] <= 1]
    assert 3 < len(expected)
    assert [each["number"] for each in expected] == sorted(found["number"])


def test_no_shape_of_a_size_leaves_nothing() -> None:
    assert {} == near(PURPOSE, 1e15, 0.1)
    assert not len(near(limited(PURPOSE, "decode_s", 1e-9), 1e8, 0.1)["loss"])


def test_a_table_goes_from_deep_to_wide_and_takes_the_lowest_loss_near_each_mark() -> None:
    layers = np.array([64.0, 64.0, 16.0, 4.0, 4.0])
    columns = {"layers": layers, "hidden": np.full(5, 1024.0), "loss": np.array([3.0, 2.9, 2.5, 2.8, 2.7])}
    assert [1, 2, 4] == deep_to_wide(columns, 3, best=1e9)
    assert [1, 4] == deep_to_wide(columns, 3, best=64.0)
