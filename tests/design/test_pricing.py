"""What a shape costs: a block of shapes gives each the numbers that it gets alone, and those of the other commands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from deepwide.answers.design.question import question
from deepwide.answers.design.wanted import Wanted
from deepwide.answers.load import Load
from deepwide.answers.memory import memory_parts
from deepwide.answers.models import find_model
from deepwide.architecture.ledger import lower
from deepwide.cost.inference.engine import driven
from deepwide.cost.training.plan import Job
from deepwide.cost.training.step import step_time
from deepwide.design.pricing import DAY_S, MOST_EPOCHS, Cluster, Limit, Purpose, Serving, priced, serving_bytes, within
from deepwide.design.space import Block, Kind, Mixture, Space, Template, blocks, spelled, template
from deepwide.facts.accelerators import accelerator
from deepwide.quality.vocabulary import vocabulary_effect

SPACE = Space(
    layers=(2, 5), hidden=(256, 640), head_dims=(64,), sharing=(1, 2), ffn_ratios=(2.5, 4.0), vocabs=(32_000,)
)
PURPOSE = Purpose(
    space=SPACE, serving=Serving(engine=driven(accelerator("h100"))), limits=(Limit("ttft_s", 1.0),), tokens=1e10
)
FAMILIES = ("llama", "qwen2", "qwen3", "gpt2", "olmo2", "bloom", "phi3", "mistral")
UNEVEN = ("gemma2", "olmo3", "deepseek_v3", "gpt_oss", "jamba")


@cache
def cluster() -> Cluster:
    found = question("h100", Wanted(parameters=10**9, devices=8, tokens=10**10)).purpose.cluster
    assert found is not None
    return found


def alone(block: Block) -> Iterator[Block]:
    """Every shape of a block as plain whole numbers."""
    flat = block.flat(slice(None))
    for i in range(flat.size):
        yield Block(flat.kind, *(int(column[i]) for column in flat[1:]))


def plain(columns: dict[str, Any]) -> dict[str, float]:
    """The columns of one shape as numbers."""
    return {name: float(value) for name, value in columns.items()}


def spread(block: Block, column: Any) -> Any:
    """A column with an entry for each shape of the block."""
    return np.broadcast_to(column, np.broadcast(block.layers, block.hidden).shape).ravel()


def shape(**sizes: Any) -> Block:
    """One shape of whole numbers: 24 layers of 2048, 16 heads, and what is given."""
    own = {"layers": 24, "hidden": 2048, "heads": 16, "kv_heads": 16, "ffn": 5504, **sizes}
    return Block(Kind(128, 1, None, 32_000, Mixture()), 0, **own)


def one(purpose: Purpose, **sizes: Any) -> dict[str, Any]:
    return priced(purpose, shape(**sizes))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("trained", [False, True], ids=["served", "trained too"])
def test_a_shape_in_a_block_has_the_numbers_that_it_has_alone(family: str, trained: bool) -> None:
    space = replace(SPACE, template=Template(family=family), sharing=(1,) if family in ("gpt2", "bloom") else (1, 2))
    purpose = replace(PURPOSE, space=space, cluster=cluster() if trained else None)
    for block in blocks(space):
        columns = {name: spread(block, column) for name, column in priced(purpose, block).items()}
        for i, each in enumerate(alone(block)):
            single = plain(priced(purpose, each))
            assert set(columns) == set(single)
            assert {n: c[i] for n, c in columns.items()} == pytest.approx(single, rel=1e-12)
            assert (columns["loss"][i], columns["decode_s"][i]) == (single["loss"], single["decode_s"])


@pytest.mark.parametrize("family", UNEVEN)
def test_so_it_has_where_layers_of_a_family_differ_by_their_place(family: str) -> None:
    purpose = replace(PURPOSE, space=replace(SPACE, template=Template(family=family), sharing=(1,), apart=True))
    for block in blocks(purpose.space):
        columns = {name: spread(block, column) for name, column in priced(purpose, block).items()}
        for i, each in enumerate(alone(block)):
            assert {n: c[i] for n, c in columns.items()} == pytest.approx(plain(priced(purpose, each)), rel=1e-12)


@pytest.mark.parametrize(
    "changed",
    [
        {"space": replace(SPACE, mixtures=(Mixture(), Mixture(8, 2), Mixture(64, 8)))},
        {"space": replace(SPACE, vocabs=(32_000, 8_000, 256_000))},
        {"space": replace(SPACE, tp=2), "serving": replace(PURPOSE.serving, tp=2, batch=16)},
        {"unique_tokens": 1e9},
        {"tokens": None, "limits": (Limit("flops", 1e20),)},
        {"tokens": None, "limits": (Limit("flops", 1e20),), "serve_tokens": 1e10, "unique_tokens": 1e7},
    ],
    ids=["experts", "vocabularies", "two devices", "repeated", "by compute", "by compute and serving"],
)
def test_so_it_has_in_every_mode(changed: dict[str, Any]) -> None:
    purpose = replace(PURPOSE, **changed)
    for block in blocks(purpose.space):
        columns = {name: spread(block, column) for name, column in priced(purpose, block).items()}
        for i, each in enumerate(alone(block)):
            assert {n: c[i] for n, c in columns.items()} == pytest.approx(plain(priced(purpose, each)), rel=1e-12)


def test_single_shapes_of_a_block_are_priced_as_in_the_block() -> None:
    for block in blocks(SPACE):
        flat = block.flat(slice(None))
        together, apart = priced(PURPOSE, block), priced(PURPOSE, flat)
        for name, column in together.items():
            assert np.broadcast_to(apart[name], flat.size) == pytest.approx(spread(block, column), rel=1e-12)


@pytest.mark.parametrize("name", ["llama-2-7b", "gpt2", "qwen2.5-0.5b"])
@pytest.mark.parametrize("tp", [1, 2])
def test_memory_to_serve_is_what_the_memory_command_says(name: str, tp: int) -> None:
    model = find_model(name)
    architecture = model.described()
    parts = memory_parts(model, Load(context=1024, batch=4, devices=tp))
    engine = driven(accelerator("h100"), devices=tp)
    found = serving_bytes(lower(architecture), Serving(engine=engine, tp=tp, batch=4, context=1024))
    assert float(found) == pytest.approx(sum(parts.values()), rel=1e-6)


def test_training_is_three_passes_over_the_model_and_its_attention() -> None:
    purpose = replace(PURPOSE, serving=replace(PURPOSE.serving, context=1), limits=())
    body = 24 * (4 * 2048**2 + 3 * 2048 * 5504) + 32_000 * 2048
    assert one(purpose)["flops"] == pytest.approx(6 * body * 1e10, rel=1e-3)


def test_tokens_to_serve_add_one_pass_each_as_those_of_training_add_three() -> None:
    extra = one(replace(PURPOSE, serve_tokens=3e12))["flops"] - one(PURPOSE)["flops"]
    assert float(extra) == pytest.approx(float(one(replace(PURPOSE, tokens=1e12))["flops"]), rel=1e-9)


@pytest.mark.parametrize(
    ("limits", "trained"),
    [
        ({"flops": 1e20}, False),
        ({"days": 3.0}, True),
        ({"usd": 2000.0}, True),
        ({"kg_co2e": 50.0}, True),
        ({"flops": 1e21, "days": 3.0, "usd": 500.0}, True),
    ],
)
def test_where_no_tokens_are_given_the_tightest_budget_is_used_up_to_the_last_token(
    limits: dict[str, float], trained: bool
) -> None:
    own = tuple(Limit(name, most) for name, most in limits.items())
    columns = one(replace(PURPOSE, tokens=None, limits=own, cluster=cluster() if trained else None))
    one_token = 1 / float(columns["tokens"])
    assert 1.0 - one_token <= float(within(own, columns)) <= 1.0 + 1e-12


def test_serving_is_paid_for_before_training() -> None:
    own = (Limit("flops", 1e20),)
    free, served = (one(replace(PURPOSE, tokens=None, limits=own, serve_tokens=n)) for n in (0.0, 1e10))
    assert served["tokens"] < free["tokens"]
    assert served["flops"] == pytest.approx(1e20, rel=1e-9)


def test_a_shape_whose_serving_alone_is_too_much_misses_the_limit() -> None:
    own = (Limit("flops", 1e20),)
    columns = one(replace(PURPOSE, tokens=None, limits=own, serve_tokens=1e15))
    assert (1.0, True) == (columns["tokens"], bool(within(own, columns) > 1))


def test_unique_tokens_are_repeated_no_more_often_than_the_law_has_seen() -> None:
    purpose = replace(PURPOSE, tokens=None, limits=(Limit("flops", 1e24),), unique_tokens=1e9)
    assert MOST_EPOCHS * 1e9 == one(purpose)["tokens"]


def test_repeated_tokens_are_worth_less_than_fresh_ones_and_more_than_none() -> None:
    once, fresh = (one(replace(PURPOSE, tokens=n))["loss"] for n in (1e9, 1e10))
    assert fresh < one(replace(PURPOSE, unique_tokens=1e9))["loss"] < once


def test_tokens_that_are_all_different_change_nothing() -> None:
    assert one(PURPOSE)["loss"] == one(replace(PURPOSE, unique_tokens=1e10))["loss"]


def test_the_step_is_that_of_the_fastest_plan_that_fits() -> None:
    of, ledger = replace(PURPOSE, cluster=cluster()), lower(template(SPACE, shape()))
    job = Job(ledger=ledger, layers=24, sequence=cluster().sequence, global_batch=cluster().global_batch)
    fitting = []
    for plan in cluster().plans:
        under = one(replace(of, cluster=replace(cluster(), plans=(plan,))))
        assert float(under["step_s"]) == float(step_time(job, plan, cluster().engine).step_s)
        fitting += [float(under["step_s"])] if under["train_memory_bytes"] <= cluster().room_bytes else []
    assert float(one(of)["step_s"]) == min(fitting)
    assert one(of)["train_memory_bytes"] <= cluster().room_bytes


def test_where_no_plan_fits_the_one_that_needs_least_is_told() -> None:
    tight = replace(cluster(), room_bytes=1.0)
    needs = [
        float(one(replace(PURPOSE, cluster=replace(tight, plans=(plan,))))["train_memory_bytes"])
        for plan in tight.plans
    ]
    assert min(needs) == float(one(replace(PURPOSE, cluster=tight))["train_memory_bytes"])


def test_days_are_the_steps_that_the_tokens_take() -> None:
    columns = one(replace(PURPOSE, cluster=cluster()))
    steps = 1e10 / (cluster().global_batch * cluster().sequence)
    assert float(columns["days"]) == pytest.approx(steps * columns["step_s"] / DAY_S)


def test_the_first_vocabulary_is_the_one_that_others_are_compared_with() -> None:
    space = replace(SPACE, vocabs=(32_000, 128_000))
    block = shape()
    other = block._replace(kind=block.kind._replace(vocab=128_000))
    purpose = replace(PURPOSE, space=space)
    own = replace(PURPOSE, space=replace(SPACE, vocabs=(128_000,)))
    moved = float(priced(purpose, other)["loss"] - priced(own, other)["loss"])
    body = 24 * (4 * 2048**2 + 3 * 2048 * 5504 + 2 * 2048) + 2048
    assert moved == pytest.approx(float(vocabulary_effect(body, 2048, 128_000, 32_000, 1e10)), rel=1e-6)
    assert priced(purpose, block)["loss"] == one(PURPOSE)["loss"]


def test_what_a_block_says_of_a_shape_is_what_is_said_of_its_model() -> None:
    row = {"layers": 24, "hidden": 2048, "heads": 16, "kv_heads": 16, "head_dim": 128, "ffn": 5504, "vocab": 32_000}
    model = find_model(spelled(SPACE, {**row, "experts": 1, "active_experts": 1}))
    assert model.ledger.parameters() == one(PURPOSE)["parameters"]


def test_the_worst_limit_is_told_as_a_share() -> None:
    columns = {"parameters": np.array([5.0, 20.0, 30.0]), "decode_s": np.array([1.0, 1.0, 4.0])}
    limits = (Limit("parameters", 20.0), Limit("decode_s", 2.0))
    assert [0.5, 1.0, 2.0] == list(within(limits, columns))
    assert [0.25, 0.5, 1.0] == list(within(limits, columns, relaxed=2.0))
