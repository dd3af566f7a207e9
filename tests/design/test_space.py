"""The space of shapes: each is there once, keeps to its bounds, and can be named for any other command."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from unittest.mock import patch

import numpy as np
import pytest

from deepwide.answers.models import find_model
from deepwide.architecture.ledger import lower
from deepwide.design import space as space_module
from deepwide.design.space import Kind, Mixture, Space, Template, blocks, kinds, searchable, spelled, template, uneven

SMALL = Space(
    layers=(3, 5),
    hidden=(200, 700),
    head_dims=(32, 128),
    sharing=(1, 2, 3),
    ffn_ratios=(2.0, 8 / 3, 2.7, 4.0),
    vocabs=(1000, 3000),
    mixtures=(Mixture(), Mixture(8, 2)),
)
SIZES = ("layers", "hidden", "heads", "kv_heads", "ffn")

Shape = tuple[int, int, int, int, int]


def shapes(space: Space) -> list[tuple[Kind, Shape]]:
    """Every shape that the blocks hold, in their order."""
    found = []
    for block in blocks(space):
        flat = block.flat(slice(None))
        columns = zip(flat.layers, flat.hidden, flat.heads, flat.kv_heads, flat.ffn, strict=True)
        found += [(flat.kind, tuple(int(size) for size in row)) for row in columns]
    return found


def enumerated(space: Space, kind: Kind) -> set[Shape]:
    """The same by plain loops over every width and every ratio."""
    found = set()
    for layers, hidden, ratio in product(
        range(space.layers[0], space.layers[1] + 1), range(space.hidden[0], space.hidden[1] + 1), space.ffn_ratios
    ):
        heads, filled = (
            hidden // kind.head_dim,
            space.multiple if space.tp == 1 else np.lcm(space.multiple, 64 * space.tp),
        )
        kv_heads = kind.kv_heads if kind.kv_heads is not None else heads // kind.sharing
        ffn = int(max(1, round(ratio * hidden / kind.mixture.active / filled)) * filled)
        aligned = hidden % space.multiple == 0 and hidden % kind.head_dim == 0
        shared = kv_heads > 0 and heads % kind.sharing == 0 and heads % kv_heads == 0
        whole = heads % space.tp == 0 and (kv_heads % space.tp == 0 or space.tp % kv_heads == 0)
        if aligned and shared and whole:
            found.add((layers, hidden, heads, kv_heads, ffn))
    return found


@pytest.mark.parametrize(
    "space",
    [
        SMALL,
        replace(SMALL, tp=2),
        replace(SMALL, tp=4, multiple=64),
        replace(SMALL, kv_heads=(1, 2, 5)),
        replace(SMALL, layers=(1, 1), hidden=(384, 384)),
        replace(SMALL, multiple=96, ffn_ratios=(0.01, 3.0)),
    ],
)
def test_the_blocks_hold_every_shape_that_plain_loops_find_and_each_once(space: Space) -> None:
    found = shapes(space)
    assert len(set(found)) == len(found)
    for kind in kinds(space):
        assert enumerated(space, kind) == {shape for its, shape in found if its == kind}


def test_there_is_a_kind_for_every_combination_of_what_is_no_range() -> None:
    assert 2 * 2 * 2 * 3 == len(set(kinds(SMALL)))
    assert 2 * 2 * 2 * 4 == len(set(kinds(replace(SMALL, kv_heads=(1, 2, 4, 8)))))


@pytest.mark.parametrize("at_once", [1, 7, 50, 32_768])
def test_however_many_fit_a_block_each_shape_is_there_once_and_numbers_run_on(at_once: int) -> None:
    whole = shapes(SMALL)
    with patch.object(space_module, "BLOCK", at_once):
        assert sorted(whole) == sorted(shapes(SMALL))
        numbers = [number for block in blocks(SMALL) for number in block.number.ravel()]
    assert list(range(len(whole))) == numbers


def test_a_block_is_no_larger_than_the_second_cache_holds_unless_its_layers_alone_are() -> None:
    wide = Space(hidden=(256, 65_536), sharing=(1,))
    assert all(block.size <= max(space_module.BLOCK, len(block.layers)) for block in blocks(wide))


@pytest.mark.parametrize(
    "space",
    [
        replace(SMALL, hidden=(257, 383)),  # no multiple of 128 between
        replace(SMALL, kv_heads=(4096,)),  # more than there are heads
        replace(SMALL, kv_heads=(13,)),  # divides nothing
        replace(SMALL, tp=64),  # fewer heads than devices
    ],
)
def test_ranges_without_a_shape_give_no_block(space: Space) -> None:
    assert [] == list(blocks(space))


def test_parts_and_single_shapes_of_a_block_keep_their_numbers_and_sizes() -> None:
    block = next(iter(blocks(SMALL)))
    part = block.part(np.array([True, False, True]), np.arange(block.hidden.shape[1]) > 0)
    one = block.flat([int(part.number[1, 0])])
    assert (2 * (block.hidden.shape[1] - 1), 1) == (part.size, one.size)
    assert [part.layers[1, 0], part.hidden[0, 0], part.ffn[0, 0]] == [one.layers[0], one.hidden[0], one.ffn[0]]
    assert part.number[1, 0] == one.number[0]


def test_all_active_experts_together_are_as_wide_as_one_dense_network() -> None:
    space = replace(SMALL, hidden=(512, 512), ffn_ratios=(4.0,))
    widths = {kind.mixture: shape[4] for kind, shape in shapes(space)}
    assert {Mixture(): 2048, Mixture(8, 2): 1024} == widths


@pytest.mark.parametrize(
    "own",
    [
        Template(),
        Template(family="qwen2", tied=True),
        Template(family="gpt2", context=1024),
        Template(family="olmo2", mixture_family="olmoe"),
    ],
)
def test_the_model_that_a_shape_is_spelled_as_has_its_parameters(own: Template) -> None:
    space = replace(SMALL, template=own, sharing=(1,) if own.family == "gpt2" else SMALL.sharing)
    for block in blocks(space):
        sizes = lower(template(space, block)).parameters()
        for index in (0, block.size - 1):
            one, kind = block.flat([index]), block.kind
            row = {name: int(getattr(one, name)[0]) for name in SIZES}
            row |= {"head_dim": kind.head_dim, "vocab": kind.vocab}
            row |= {"experts": kind.mixture.experts, "active_experts": kind.mixture.active}
            assert find_model(spelled(space, row)).ledger.parameters() == sizes.ravel()[index]


def test_layers_apart_are_the_same_shapes_a_depth_to_a_block() -> None:
    apart = replace(SMALL, apart=True)
    assert sorted(shapes(SMALL)) == sorted(shapes(apart))
    assert {1} == {len(block.layers) for block in blocks(apart)}
    assert list(range(len(shapes(SMALL)))) == [n for block in blocks(apart) for n in block.number.ravel()]


@pytest.mark.parametrize(
    ("family", "expected"),
    [("llama", False), ("gpt2", False), ("mixtral", False), ("gemma2", True), ("deepseek_v3", True), ("bamba", True)],
)
def test_a_family_is_uneven_where_its_layers_differ_by_their_place(family: str, expected: bool) -> None:
    assert uneven(family) == expected


@pytest.mark.parametrize(
    ("family", "expected"), [("qwen3", True), ("gemma2", True), ("gemma4", False), ("zamba2", False)]
)
def test_families_whose_widths_decide_how_layers_are_built_are_not_searchable(family: str, expected: bool) -> None:
    space = replace(SMALL, layers=(3, 30), hidden=(256, 1024), head_dims=(64,), sharing=(1,))
    assert searchable(replace(space, template=Template(family=family), apart=uneven(family))) == expected
