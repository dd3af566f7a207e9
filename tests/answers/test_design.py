"""`design`: what it recommends keeps its word, equals what other commands say, and explains itself."""

from __future__ import annotations

import json
import math
from functools import cache
from typing import Any

import numpy as np
import pytest

from deepwide.answers.design import Design, NoDesign, design
from deepwide.answers.design.limits import BINDS_NATS
from deepwide.answers.design.question import question
from deepwide.answers.design.wanted import Wanted
from deepwide.answers.loss import predict_loss, predicted
from deepwide.answers.models import find_model
from deepwide.answers.shape import shape_of
from deepwide.cost.inference.engine import driven
from deepwide.cost.inference.passes import Work, forward
from deepwide.design.engines import searched
from deepwide.errors import BadInput
from deepwide.facts.accelerators import accelerator

# A part of the space that holds the good shapes of up to a billion parameters, and is searched in a moment.
SMALL: dict[str, Any] = {
    "on": "h100",
    "layers": (4, 40),
    "hidden": (512, 2048),
    "ffn_ratios": (2.5, 3.0, 3.5, 4.0),
    "vocab": (32_000,),
    "kv_heads": (4, 8),
    "rows": 4,
}


@cache
def designed(**changes: Any) -> Design:
    return design(**{**SMALL, **changes})


def loss_of(**changes: Any) -> float:
    """Of what is recommended, straight from the search; infinite where nothing keeps to the limits."""
    wanted = {name: value for name, value in {**SMALL, **changes}.items() if name not in ("on", "rows")}
    best = searched(question(SMALL["on"], Wanted(**wanted)).purpose).best
    return float(best["loss"][0]) if best else math.inf


def rows_of(answer: Design) -> list[dict[str, Any]]:
    return [answer.recommended, *answer.table, *answer.front, *answer.alternatives.values()]


ASKED: dict[str, dict[str, Any]] = {
    "size": {"parameters": 10**9, "tokens": 2 * 10**10},
    "compute": {"flops": 1e20},
    "compute and serving": {"flops": 1e20, "serve_tokens": 10**11},
    "short data": {"flops": 1e21, "unique_tokens": 10**9},
    "days": {"days": 1.0, "devices": 16},
    "money": {"usd": 2000.0, "devices": 16},
    "carbon": {"kg_co2e": 100.0, "devices": 16},
    "two devices": {"parameters": 10**9, "serve_devices": 2, "batch": 8},
    "experts": {"parameters": 2 * 10**9, "experts": ((1, 1), (8, 2), (64, 8))},
    "vocabularies": {"parameters": 5 * 10**8, "vocab": (32_000, 8_000, 128_000)},
    "like": {"like": "qwen2.5-0.5b", "tokens": 10**12, "vocab": (), "kv_heads": ()},
    "windows in some layers": {"like": "gemma2", "parameters": 10**9, "tokens": 10**10, "layers": (18, 26)},
    "tied": {"parameters": 5 * 10**8, "tied": True, "ttft_s": 0.5},
}


@pytest.mark.parametrize("mode", ASKED)
def test_the_recommended_shape_keeps_to_every_limit_and_nothing_in_the_answer_is_lower_within_them(mode: str) -> None:
    answer = designed(**ASKED[mode])
    limits = {limit.limit: limit.most for limit in answer.limits}
    assert all(answer.recommended[name] <= most * (1 + 1e-12) for name, most in limits.items())
    keeping = [row for row in rows_of(answer) if all(row[name] <= most for name, most in limits.items())]
    assert answer.recommended["loss"] == min(row["loss"] for row in keeping)


@pytest.mark.parametrize("mode", ASKED)
def test_a_row_is_what_is_said_of_its_model_alone_to_the_last_digit(mode: str) -> None:
    asked, answer = ASKED[mode], designed(**ASKED[mode])
    first, tp = (asked.get("vocab") or (answer.recommended["vocab"],))[0], answer.serve_devices
    on, unique = driven(accelerator("h100"), devices=tp), asked.get("unique_tokens")
    work = Work(past=answer.context, batch=asked.get("batch", 1), tp=tp)
    for row in rows_of(answer):
        model = find_model(row["model"])
        quality, _ = predicted(model, row["tokens"], unique)
        assert quality is not None
        assert model.ledger.parameters() == row["parameters"]
        assert float(forward(model.ledger, work, on).total_s) == row["decode_s"]
        if row["vocab"] == first:  # losses are told in it
            assert (float(quality.loss), float(quality.low), float(quality.high)) == (
                row["loss"],
                row["low"],
                row["high"],
            )


def test_a_row_is_what_compare_and_predict_loss_say() -> None:
    answer = designed(**ASKED["size"])
    for row in rows_of(answer):
        model = find_model(row["model"])
        shape = shape_of(model, driven(accelerator("h100")), tokens=answer.tokens, context=answer.context)
        assert (row["loss"], row["decode_s"]) == (shape.loss, shape.decode_s)
        assert (row["parameters"], row["kv_cache_bytes_per_token"]) == (
            shape.parameters,
            shape.kv_cache_bytes_per_token,
        )
        assert row["loss"] == predict_loss(row["model"], 2 * 10**10).loss


@pytest.mark.parametrize("mode", ASKED)
def test_an_answer_is_json_and_its_table_goes_from_deep_to_wide(mode: str) -> None:
    answer = designed(**ASKED[mode])
    assert json.loads(json.dumps(answer.to_dict(), allow_nan=False))
    aspects = [row["aspect"] for row in answer.table]
    assert sorted(aspects) == aspects
    assert answer.recommended["model"] in [row["model"] for row in answer.table]


@pytest.mark.parametrize("mode", ["size", "days"])
def test_no_shape_of_the_front_is_beaten_in_everything(mode: str) -> None:
    answer = designed(**ASKED[mode])
    costs = ("loss", "decode_s", "memory_bytes", *(("step_s",) if answer.training else ()))
    points = np.array([[row[name] for name in costs] for row in answer.front])
    assert not any((points < mine).all(axis=1).any() for mine in points)
    assert {name for row in answer.front for name in row["front_of"]} == set(costs[1:])


# The budgets and the hardware that these were published with.
KNOWN: dict[str, dict[str, Any]] = {
    "llama-3-8b": {"on": "h100", "tokens": 15 * 10**12},
    "qwen2.5-7b": {"on": "h100", "tokens": 18 * 10**12},
    "olmo-2-7b": {"on": "h100", "tokens": 4 * 10**12},
    "gpt-3": {"on": "h100", "tokens": 300 * 10**9, "context": 2048},
    "gpt-3 on its own hardware": {"on": "v100-sxm2-32gb", "tokens": 300 * 10**9, "context": 2048},
    "like=llama,layers=28,hidden=1024,heads=8,kv_heads=4,ffn=4096,vocab=50304": {"on": "a100", "tokens": 350 * 10**9},
    "like=llama,layers=7,hidden=1792,heads=14,kv_heads=7,ffn=7168,vocab=50304": {"on": "a100", "tokens": 350 * 10**9},
    "like=llama,layers=80,hidden=256,heads=2,kv_heads=1,ffn=1024,vocab=50304": {"on": "a100", "tokens": 350 * 10**9},
}
QUICK = ("llama-3-8b", "like=llama,layers=7,hidden=1792,heads=14,kv_heads=7,ffn=7168,vocab=50304")


@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=() if each in QUICK else pytest.mark.slow) for each in KNOWN]
)
def test_no_published_shape_is_better_or_faster_than_what_is_recommended_in_its_place(name: str) -> None:
    asked, like = KNOWN[name], name.partition(" on ")[0]
    answer = design(like=like, **asked)
    best, known, model = answer.recommended, answer.known[0], find_model(like)
    engine = driven(accelerator(asked["on"]), devices=answer.serve_devices)
    work = Work(past=answer.context, batch=1, tp=answer.serve_devices)
    decode_s = float(forward(model.ledger, work, engine).total_s)
    loss = predict_loss(model, asked["tokens"]).loss
    assert loss is not None
    assert (model.name, decode_s, loss) == (known.model, known.decode_s, known.loss)
    assert best["loss"] <= loss
    assert best["decode_s"] <= decode_s
    assert best["parameters"] <= known.parameters
    sizes = ("layers", "hidden", "heads", "kv_heads", "ffn")
    if any(best[size] != getattr(known, size) for size in sizes):
        assert known.why not in ("", "the same shape", "the losses are a tie")


def test_a_shape_that_differs_in_its_heads_alone_is_told_by_its_heads() -> None:
    like = "like=llama,layers=12,hidden=768,heads=6,kv_heads=3,head_dim=128,ffn=3072,vocab=32000"
    answer = design(like=like, on="h100", tokens=10**10, layers=(12, 12), hidden=(768, 768), head_dims=(64,))
    assert answer.known[0].why == "heads 12 for 6; head_dim 64 for 128; kv_heads 6 for 3; the losses are a tie"


@pytest.mark.parametrize("mode", ASKED)
def test_what_a_limit_would_buy_is_a_model_with_that_loss_within_the_wider_limit(mode: str) -> None:
    answer = designed(**ASKED[mode])
    for limit in answer.limits:
        assert limit.saves_nats >= 0
        assert limit.binding == (limit.saves_nats >= BINDS_NATS) == (limit.buys is not None)
        assert limit.share == limit.value / limit.most
        if limit.buys:
            assert find_model(limit.buys).ledger.parameters() > 0
    assert answer.binding == tuple(limit.limit for limit in answer.limits if limit.binding)


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ({"parameters": 4 * 10**8, "tokens": 10**10, "any_speed": True}, "parameters"),
        ({"parameters": 10**9, "tokens": 10**10, "decode_s": 2e-3}, "decode_s"),
        ({"flops": 1e20}, "flops"),
        ({"days": 1.0, "devices": 16}, "days"),
    ],
)
def test_a_limit_that_binds_lowers_the_loss_when_it_is_widened_by_what_was_said(
    asked: dict[str, Any], name: str
) -> None:
    answer = designed(**asked)
    limit = next(each for each in answer.limits if each.limit == name)
    assert limit.binding
    if name not in ("days", "flops"):  # of which defaults follow, so that the question asked would be another one
        wider = designed(**{**asked, name: type(asked[name])(asked[name] * 1.1)})
        assert wider.recommended["loss"] == pytest.approx(answer.recommended["loss"] - limit.saves_nats, abs=2e-4)
    assert find_model(limit.buys or "").ledger.parameters() > 0


def test_a_limit_that_does_not_bind_changes_nothing_when_it_is_widened() -> None:
    asked = {"parameters": 4 * 10**8, "tokens": 10**10}
    near, far = (designed(**asked, ttft_s=most) for most in (10.0, 11.0))
    assert "ttft_s" not in near.binding
    assert near.recommended == far.recommended


@pytest.mark.parametrize(
    ("name", "values", "others"),
    [
        ("parameters", [2 * 10**8, 5 * 10**8, 10**9, 3 * 10**9], {"tokens": 10**10}),
        ("tokens", [10**8, 10**9, 10**10, 10**12], {"parameters": 5 * 10**8}),
        ("flops", [1e18, 1e19, 1e20, 1e21], {}),
        ("flops", [1e19, 1e20, 1e21], {"serve_tokens": 10**10}),
        ("flops", [1e19, 1e20, 1e21], {"unique_tokens": 10**9}),
        ("unique_tokens", [10**7, 10**8, 10**9, 10**10], {"flops": 1e20}),
        ("days", [0.25, 1.0, 4.0], {"devices": 16}),
        ("usd", [100.0, 1000.0, 10_000.0], {"devices": 16}),
        ("kg_co2e", [10.0, 100.0, 1000.0], {"devices": 16}),
        ("devices", [8, 32, 128], {"days": 0.5}),
        ("decode_s", [6e-4, 1e-3, 2e-3, 1e-2], {"parameters": 10**9, "tokens": 10**10}),
        ("ttft_s", [0.01, 0.02, 1.0], {"parameters": 10**9, "tokens": 10**10}),
    ],
)
def test_more_of_a_resource_never_makes_the_recommended_loss_worse(
    name: str, values: list[Any], others: dict[str, Any]
) -> None:
    losses = [loss_of(**{name: value}, **others) for value in values]
    assert sorted(losses, reverse=True) == losses
    assert losses[-1] < losses[0]


def test_compute_that_is_given_without_tokens_is_used_up_by_them() -> None:
    best = designed(**ASKED["compute"]).recommended
    assert 0.99e20 <= best["flops"] <= 1e20
    assert best["tokens"] > 1e9


def test_the_more_will_be_served_the_smaller_the_recommended_shape() -> None:
    served = [designed(flops=1e20, serve_tokens=n).recommended for n in (0, 10**10, 10**11)]
    sizes = [best["parameters"] for best in served]
    assert sorted(sizes, reverse=True) == sizes
    assert sizes[-1] < sizes[0]
    assert all(best["flops"] <= 1e20 for best in served)


def test_data_that_repeat_never_help_and_do_so_forty_times_at_most() -> None:
    short, fresh = (designed(flops=1e21, unique_tokens=n).recommended for n in (10**9, 10**15))
    assert short["loss"] > fresh["loss"]
    assert short["tokens"] <= 40 * 10**9


@pytest.mark.parametrize("name", ["days", "usd", "kg_co2e"])
def test_a_training_run_takes_no_more_than_was_allowed(name: str) -> None:
    asked = ASKED[{"days": "days", "usd": "money", "kg_co2e": "carbon"}[name]]
    answer = designed(**asked)
    assert answer.training is not None
    assert 0.99 * asked[name] <= answer.recommended[name] <= asked[name]
    assert answer.training[name] <= 1.01 * asked[name]
    assert answer.training["fits"]


def test_experts_are_taken_where_they_pay() -> None:
    of = {"tokens": 10**10, "any_speed": True}
    free, dense = (designed(parameters=2 * 10**9, experts=e, **of) for e in (((1, 1), (8, 2), (64, 8)), ((1, 1),)))
    assert {row["experts"] for row in rows_of(dense)} == {1}
    assert free.recommended["loss"] <= dense.recommended["loss"]
    assert free.recommended["active"] <= free.recommended["parameters"]


def test_of_several_vocabularies_the_first_is_what_losses_are_told_in() -> None:
    several, alone = (designed(parameters=5 * 10**8, tokens=10**10, vocab=v) for v in ((32_000, 8_000), (32_000,)))
    assert several.recommended["loss"] <= alone.recommended["loss"]
    assert several.recommended["vocab"] in (32_000, 8_000)


def test_a_name_of_a_family_is_enough() -> None:
    assert designed(like="qwen2", parameters=10**9).recommended["model"].startswith("like=qwen2,")


@pytest.mark.parametrize(
    "asked",
    [
        {"parameters": 10**9, "decode_s": 1e-5},
        {"parameters": 10**9, "decode_s": 5e-4},
        {"parameters": 10**9, "ttft_s": 1e-4},
        {"parameters": 10**7},
        {
            "parameters": 3 * 10**11,
            "on": "rtx-3060-12gb",
            "serve_devices": 1,
            "layers": (40, 80),
            "hidden": (8192, 16384),
        },
        {"flops": 1e18, "serve_tokens": 10**15},
        {"days": 1e-6, "devices": 8, "tokens": 10**12},
        {"usd": 1.0, "devices": 8, "tokens": 10**10},
    ],
)
def test_what_cannot_be_is_answered_with_what_stands_in_the_way_and_what_is_nearest(asked: dict[str, Any]) -> None:
    with pytest.raises(NoDesign) as refused:
        design(**{**SMALL, **asked})
    answer = refused.value
    assert answer.missed
    assert all(each.times > 1 and each.needs == pytest.approx(each.times * each.most) for each in answer.missed)
    assert [each.times for each in answer.missed] == sorted((each.times for each in answer.missed), reverse=True)
    assert "\n" not in str(answer)
    assert answer.missed[0].words in str(answer)
    said = json.loads(json.dumps(answer.to_dict(), allow_nan=False))
    assert (None, [], len(answer.missed)) == (said["recommended"], said["front"], len(said["missed"]))
    assert find_model(said["nearest"]["model"]).ledger.parameters() == said["nearest"]["parameters"]


@pytest.mark.parametrize("asked", [{"decode_s": 5e-4}, {"ttft_s": 0.01, "layers": (20, 40)}])
def test_a_nearest_design_that_is_feasible_keeps_to_every_limit(asked: dict[str, Any]) -> None:
    with pytest.raises(NoDesign) as refused:
        designed(parameters=10**9, tokens=10**10, **asked)
    assert refused.value.feasible
    nearest = refused.value.nearest
    limits = {**asked, "parameters": 10**9}
    assert all(nearest[name] <= most for name, most in limits.items() if name != "layers")
    again = designed(tokens=10**10, **{**asked, "parameters": int(nearest["parameters"])})
    assert again.recommended["loss"] <= nearest["loss"]


NAN = float("nan")
NONSENSE: list[tuple[dict[str, Any], str]] = [
    *[({"parameters": value}, "parameters=") for value in (-1, 0, NAN, 1.5, "1B", 10**30)],
    *[({name: v}, f"{name}=") for name in ("flops", "decode_s", "ttft_s") for v in (-1, 0, NAN, math.inf, "x", 1e-300)],
    *[({name: v, "devices": 8}, f"{name}=") for name in ("days", "usd", "kg_co2e") for v in (-1, NAN, 10**400)],
    *[({name: 10}, f"{name} is a limit on training") for name in ("days", "usd", "kg_co2e")],
    *[
        ({name: v}, f"{name}=")
        for name in ("tokens", "unique_tokens", "context", "batch", "devices")
        for v in (0, 10**30)
    ],
    *[({"serve_devices": value}, "serve_devices=") for value in (0, 65, 1.5)],
    *[({"layers": value}, "layers=") for value in ((4, 2), (0, 5), (-3, 5), (1, 10**9), 5, (), (1, 2, 3), "ab")],
    *[({"hidden": value}, "hidden=") for value in ((512, 256), (0, 5), (256, 10**9), 512)],
    *[({"hidden": value}, "the ranges leave no shape") for value in ((1, 127), (513, 639))],
    *[({"kv_heads": value}, "the ranges leave no shape") for value in ((4096,), (37,))],
    *[
        ({name: v}, f"{name}=")
        for name in ("head_dims", "kv_heads", "vocab")
        for v in ((0,), (-1,), (10**30,), ("x",), 5)
    ],
    *[({"ffn_ratios": value}, "ffn_ratios=") for value in ((0,), (NAN,), (100,), ("x",), 5, "4")],
    *[({"experts": value}, "experts=") for value in ((8,), "8", ((8, 2, 1),), ((8, 9),), ((0, 0),), ((8, 0),), 8)],
    *[({"like": value}, "no model called") for value in ("nonsense", "\x00", "vit")],
    *[({"like": value}, "like=") for value in ("bert-base", "t5-small", "bert", "t5", "whisper", "zamba2", 5)],
    ({"like": "linear=3x4"}, "unknown family"),
    ({"like": "like=llama,layers=0"}, "layers=0"),
    ({"like": "gpt-4"}, "not public"),
    ({"on": "nope"}, "no accelerator called"),
    ({"runtime": "nope", "devices": 8}, "runtime="),
    ({"grid": "nope", "devices": 8}, "grid="),
    ({"usd_per_hour": -1, "devices": 8}, "usd_per_hour="),
    *[({"rows": value}, "rows=") for value in (0, 51, NAN)],
    *[({"tolerance": value}, "tolerance=") for value in (0, -1, NAN, math.inf)],
    *[({"workers": value}, "workers=") for value in (0, 257)],
    *[({"engine": value}, "engine=") for value in ("rya", "", None)],
    ({"parameters": None}, "give a budget"),
    ({"nonsense": 3}, "nonsense is nothing a design can be asked"),
]


@pytest.mark.parametrize(("wrong", "said"), NONSENSE, ids=[f"{str(wrong)[:60]}" for wrong, _ in NONSENSE])
def test_nonsense_is_refused_in_one_line_that_names_it(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput) as refused:
        design(**{**SMALL, "parameters": 10**9, **wrong})
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
