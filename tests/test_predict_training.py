"""What training costs: the parts agree, what cannot run is refused in one line, and unknown stays unknown."""

from __future__ import annotations

import contextlib
import json
import math
import subprocess
import sys

import pytest
from click.testing import CliRunner
from hypothesis import example, given, settings
from hypothesis import strategies as st

import deepwide as dw
from deepwide.answers.training import Training, predict_training
from deepwide.answers.training.run import default_batch
from deepwide.cli.predict_training import command
from deepwide.errors import BadInput
from deepwide.facts.training import training_profile, training_runtimes
from deepwide.units import parse_bytes_per_s

KEYS = (
    "step_s tokens_per_s tokens_per_s_per_device mfu bubble plan memory_bytes fits days usd kwh kg_co2e low high "
    "model on runtime devices breakdown mfu_convention flops_per_step basis runners_up evaluated notes"
).split()
PLAN = "tp=2,pp=2,micro_batch=1,recompute=full"


def asked(model: str = "llama-3-8b", **changes) -> Training:
    question = {"on": "h100", "devices": 16, "global_batch": 64, "sequence": 4096, "plan": PLAN, "tokens": 10**12}
    return predict_training(model, **{**question, **changes})


def refusal(**changes) -> str:
    with pytest.raises(BadInput) as refused:
        asked(**changes)
    message = str(refused.value)
    assert "\n" not in message
    return message


def run(*arguments: str):
    return CliRunner().invoke(command, arguments, catch_exceptions=False)


def test_the_package_offers_the_question():
    assert dw.predict_training is predict_training


def test_the_answer_has_the_keys_that_others_rely_on():
    values = json.loads(json.dumps(asked().to_dict(), allow_nan=False))
    assert set(KEYS) <= set(values)
    assert {"tp", "pp", "dp", "cp", "ep", "micro_batch", "interleave", "recompute", "zero"} <= set(values["plan"])


def test_the_parts_of_a_step_add_up():
    answer = asked()
    assert math.fsum(answer.breakdown.values()) == pytest.approx(answer.step_s)


def test_the_parts_of_the_memory_add_up():
    answer = asked()
    assert sum(answer.memory.values()) == pytest.approx(answer.memory_bytes, abs=10)


def test_rates_days_and_mfu_follow_from_the_step():
    answer = asked()
    assert answer.tokens_per_s == pytest.approx(64 * 4096 / answer.step_s)
    assert answer.days == pytest.approx(1e12 / answer.tokens_per_s / 86_400)
    assert answer.mfu == pytest.approx(answer.flops_per_step / answer.step_s / (16 * 989.4e12), rel=1e-3)
    assert answer.mfu < answer.hfu < answer.mfu * 4 / 3
    assert "causal" in answer.mfu_convention


def test_every_low_end_is_below_its_middle_and_every_high_end_above():
    answer = asked().to_dict()
    for name, low in answer["low"].items():
        assert low < answer[name] < answer["high"][name], name


def test_the_range_of_a_step_is_that_of_its_profile():
    answer = asked(usd_per_hour=2.0, pue=1.1)
    factor = math.exp(answer.basis["spread"])
    assert answer.high["step_s"] == pytest.approx(answer.step_s * factor)
    assert answer.low["usd"] == pytest.approx(answer.usd / factor)


def test_money_is_device_hours_times_their_price():
    answer = asked(usd_per_hour=2.5)
    assert answer.usd == pytest.approx(answer.days * 24 * 16 * 2.5)


def test_without_tokens_there_is_no_bill_and_the_way_to_one_is_told():
    answer = asked(tokens=None)
    assert (None, None, None, None) == (answer.days, answer.usd, answer.kwh, answer.kg_co2e)
    assert any("--tokens" in note for note in answer.notes)


def test_a_grid_may_be_a_place_or_grams():
    assert asked(grid="50").kg_co2e == pytest.approx(asked(grid=50).kg_co2e)
    assert asked(grid="france").kg_co2e < asked(grid="world").kg_co2e


def test_a_device_without_a_price_has_no_money_but_a_time():
    answer = asked(on="rtx-3090", devices=16, precision="bf16", plan="tp=2,pp=4,recompute=full", network="100 Gb/s")
    assert answer.days
    assert answer.usd is None or answer.usd > 0


def test_what_is_not_given_is_assumed_and_said():
    answer = asked(sequence=None, global_batch=None, plan="auto")
    assert (8192, 512) == (answer.run.sequence, answer.run.global_batch)
    assert any(note.startswith("sequence=8192 assumed") for note in answer.notes)
    assert any(note.startswith("global_batch=512 assumed") for note in answer.notes)


def test_a_model_that_states_no_context_reads_4096_tokens():
    answer = asked("like=llama,layers=8,hidden=1024,heads=8,vocab=32000", sequence=None)
    assert any("sequence=" in note for note in answer.notes)


@given(st.integers(1, 10**6), st.integers(1, 10**5))
def test_the_default_batch_is_four_million_tokens_and_grows_with_many_devices(devices, sequence):
    tokens = default_batch(devices, sequence) * sequence
    expected = min(max(2**22, 1024 * devices), 2**26)
    assert expected / 1.5 <= tokens <= expected * 1.5


@pytest.mark.parametrize(("devices", "expected"), [(8, 512), (2048, 512), (4096, 512), (16_384, 2048)])
def test_the_default_batch_is_what_large_runs_took(devices, expected):
    assert expected == default_batch(devices, 8192)


@given(st.sampled_from([16, 32, 64]), st.sampled_from([2, 4]))
def test_more_devices_never_take_more_days_on_the_same_plan(devices, more):
    few, many = asked(devices=devices, global_batch=512), asked(devices=devices * more, global_batch=512)
    assert many.days <= few.days


def test_a_faster_network_is_never_slower():
    steps = [asked(network=rate, node_devices=4).step_s for rate in ("100 Gb/s", "200 Gb/s", "50 GB/s")]
    assert sorted(steps, reverse=True) == steps


def test_a_plan_found_and_the_same_plan_given_are_one_answer():
    found = asked(plan="auto", devices=64, global_batch=256)
    given_plan = ",".join(f"{k}={v}" for k, v in found.plan.items() if v is not None and not isinstance(v, bool))
    given_answer = asked(plan=given_plan, devices=64, global_batch=256)
    assert (found.plan, found.step_s, found.memory_bytes) == (
        given_answer.plan,
        given_answer.step_s,
        given_answer.memory_bytes,
    )


def test_each_runner_up_says_why_it_lost():
    answer = asked(plan="auto", devices=64, global_batch=256)
    assert answer.fits
    assert len(answer.runners_up) >= 3
    for each in answer.runners_up:
        assert each.why.startswith(("does not fit", "too tight")) or "slower" in each.why or "as fast" in each.why
        assert any(digit in each.why for digit in "0123456789")
        assert each.step_s >= answer.step_s or not each.fits or "tight" in each.why


def test_the_search_tells_how_many_plans_it_looked_at():
    answer = asked(plan="auto")
    assert answer.evaluated >= answer.valid >= answer.fitting > 0


def test_where_nothing_fits_the_nearest_plan_is_shown_with_what_would():
    answer = asked("llama-3-70b", plan="auto", devices=8)
    assert not answer.fits
    assert answer.memory_bytes > answer.capacity_bytes
    assert any(remedy.startswith("--devices") for remedy in answer.remedies)


def test_a_plan_that_does_not_fit_is_told_what_would_fit():
    answer = asked(plan="zero=0,micro_batch=4")
    assert not answer.fits
    assert any("zero=" in remedy or "--plan auto" in remedy for remedy in answer.remedies)


def fitting(remedy: str, question: dict) -> Training:
    """The answer to the question with that remedy."""
    question, text = dict(question), remedy
    if " in the plan (" in remedy:
        changed = dict(pair.split("=") for pair in remedy.partition(" in the plan")[0].split(","))
        kept = dict(pair.split("=") for pair in question["plan"].split(","))
        question["plan"] = ",".join(f"{k}={v}" for k, v in {**kept, **changed}.items())
    else:
        words = text.partition(":")[0].split()
        question |= {
            k.removeprefix("--"): int(v) if v.isdigit() else v for k, v in zip(*[iter(words)] * 2, strict=True)
        }
    return predict_training(question.pop("model"), **question)


SHORT = [
    {"model": "llama-3-8b", "devices": 16, "plan": "zero=0,micro_batch=4"},
    {"model": "llama-3-8b", "devices": 16, "plan": "tp=2,pp=2,interleave=4,micro_batch=8"},
    {"model": "llama-3-8b", "devices": 16, "plan": "shard=16,micro_batch=2", "runtime": "torchtitan"},
    {"model": "mixtral-8x7b", "devices": 16, "plan": "ep=8,zero=1"},
    {"model": "llama-3-70b", "devices": 16, "plan": "tp=8,recompute=full"},
    {"model": "llama-3-70b", "devices": 8, "plan": "auto"},
    {"model": "llama-2-7b", "devices": 1, "plan": "auto"},
    {"model": "llama-3-70b", "devices": 1, "plan": "auto", "on": "a100"},
]


@pytest.mark.parametrize("question", SHORT, ids=lambda q: f"{q['model']} {q['plan']}")
def test_every_remedy_that_is_named_fits_when_it_is_tried(question):
    question = {"on": "h100", **question}
    answer = fitting("", question)
    assert not answer.fits
    assert answer.remedies
    for remedy in answer.remedies:
        assert fitting(remedy, question).fits, remedy


def test_an_accelerator_without_bf16_trains_in_fp16_and_it_is_said():
    answer = asked(on="v100", devices=16)
    assert answer.run.precision == "fp16"
    assert "precision=fp16 assumed: v100-sxm-32gb has no bf16" in answer.notes


def test_where_nobody_measured_the_range_is_at_least_that_of_an_unknown_engine():
    assert training_profile("jax", "tpu-v5p", "bf16").spread < asked(on="tpu-v5p").basis["spread"]
    assert asked(on="tpu-v5p").basis["spread"] == training_profile("any", "tpu-v5p", "bf16").spread


def test_tensor_parallelism_stays_in_a_node_where_leaving_it_gains_little():
    answer = predict_training("llama-3.1-405b", on="h100", devices=16_384)
    assert answer.plan["tp"] <= 8
    assert all("beyond a node" in each.why for each in answer.runners_up if each.fits and each.step_s < answer.step_s)


def test_llama_3_405b_on_16384_h100_takes_the_step_that_was_published():
    """400 TFLOP/s on each of 16,384, 430 on each of 8,192: Grattafiori et al. 2024, arXiv:2407.21783, table 4."""
    for dp, published in ((128, 400e12), (64, 430e12)):
        plan = f"tp=8,pp=16,dp={dp},interleave=4"
        answer = predict_training("llama-3.1-405b", on="h100", devices=128 * dp, global_batch=2048, plan=plan)
        assert answer.flops_per_step / answer.step_s / answer.devices == pytest.approx(published, rel=0.05)


def test_a_model_without_attention_runs_on_an_engine_that_keeps_scores():
    assert asked("mamba-2.8b", runtime="megatron", plan="micro_batch=1").step_s > 0


def test_a_recommended_plan_leaves_room_for_what_an_allocator_cannot_use():
    answer = asked(plan="auto", devices=64, global_batch=256)
    assert answer.memory_bytes <= 0.95 * answer.capacity_bytes
    assert answer.memory["overhead_bytes"] > 0


def test_without_recomputation_both_utilisations_are_one():
    answer = asked(plan="zero=1,tp=4")
    assert answer.hfu == answer.mfu


def test_more_devices_hold_what_few_cannot_and_adapters_need_least():
    whole, adapters = asked("llama-3-70b", plan="tp=8"), asked("llama-3-70b", plan="tp=8", trainable="lora")
    assert adapters.memory_bytes < whole.memory_bytes
    assert adapters.step_s < whole.step_s


@pytest.mark.parametrize("runtime", training_runtimes())
def test_every_runtime_answers(runtime):
    answer = asked(runtime=runtime, on="a100-sxm-80gb")
    assert answer.step_s > 0
    assert answer.basis["profile"] == training_profile(runtime, "a100-sxm-80gb", "bf16").name


@pytest.mark.parametrize("device", ["h100", "a100-sxm-80gb", "tpu-v5p", "mi300x", "rtx-4090", "b200"])
def test_every_kind_of_accelerator_has_a_usual_runtime(device):
    answer = asked(on=device)
    assert answer.runtime in training_runtimes()
    assert answer.step_s > 0


@pytest.mark.parametrize("model", ["mixtral-8x7b", "deepseek-v3", "bert-base", "mamba-2.8b", "gemma-2-9b", "gpt2"])
def test_models_of_every_kind_have_a_best_plan(model):
    answer = asked(model, plan="auto", devices=64, sequence=512, global_batch=256)
    assert answer.step_s > 0
    assert 0 < answer.mfu < 1


REFUSALS = [
    ({"plan": "tp=3", "devices": 12}, "plan: tp=3 does not divide heads=32; it can be 1, 2, 4, 8, 16, 32"),
    ({"plan": "tp=3"}, "plan: tp=3 does not divide heads=32; it can be 1, 2, 4, 8, 16, 32"),
    ({"plan": "pp=33"}, "plan: pp=33 is more than the 32 layers"),
    ({"plan": "cp=3"}, "cp=3 = 3 does not divide devices=16; give --devices 15"),
    ({"plan": "pp=16,tp=1", "model": "gpt2", "sequence": 1024}, "plan: pp=16 is more than the 12 layers"),
    ({"plan": "tp=8,pp=4", "devices": 16}, "does not divide devices=16"),
    ({"plan": "tp=8,dp=4", "devices": 16}, "= 32 is not devices=16; leave dp out (it would be 2)"),
    ({"plan": "micro_batch=3"}, "micro_batch=3 does not divide the 4 sequences of each of dp=16"),
    ({"plan": "micro_batch=8"}, "it can be 1, 2, 4"),
    ({"plan": "tp=1", "global_batch": 60}, "dp=16 does not divide global_batch=60; give --global-batch 64"),
    ({"plan": "tp=2,microbatch=1"}, "no key called 'microbatch'; did you mean micro_batch?"),
    ({"plan": "tp=2,tp=4"}, "tp is given twice"),
    ({"plan": "fast"}, "'fast' is not key=value"),
    ({"plan": "=8"}, "'=8' is not key=value"),
    ({"plan": ""}, "is not key=value"),
    ({"plan": "recompute=ful"}, "did you mean full?"),
    ({"plan": "tp=0"}, "tp=0 must lie between 1"),
    ({"plan": "tp=-2"}, "must be a whole number"),
    ({"plan": "zero=7"}, "zero=7 must lie between 0 and 3"),
    ({"plan": "ep=3", "model": "mixtral-8x7b", "devices": 3, "global_batch": 3}, "ep=3 does not divide the 8 experts"),
    ({"plan": "ep=2"}, "ep=2 does not divide a model without experts"),
    ({"plan": "cp=4", "sequence": 4100}, "2 * cp = 8 does not divide sequence=4100"),
    ({"plan": "interleave=2"}, "pp=1 has none"),
    ({"plan": "pp=4,interleave=16"}, "interleave can be 1, 2, 4, 8"),
    ({"plan": "pp=4,interleave=2,micro_batch=16"}, "needs rounds of pp=4"),
    ({"plan": "pp=4,zero=3"}, "give zero=1, or pp=1"),
    ({"plan": "shard=3"}, "shard=3 does not divide dp * cp = 16"),
    ({"plan": "sequence_parallel=maybe"}, "choose one of on, off"),
    ({"plan": "tp=" + "9" * 400}, "must be a whole number"),
    ({"on": "h1000"}, "no accelerator called 'h1000'; did you mean"),
    ({"runtime": "megatron-brigde"}, "did you mean"),
    ({"precision": "fp8", "on": "a100-sxm-80gb"}, "has no known rate for fp8"),
    ({"precision": "fp9"}, "did you mean fp8"),
    ({"precision": "bf16", "on": "v100"}, "v100-sxm-32gb has no bf16; give one of fp16, fp32"),
    ({"devices": 0}, "devices=0 must lie between 1"),
    ({"devices": 2.5}, "devices=2.5 must be a whole number"),
    ({"tokens": -1}, "tokens=-1 must lie between 1"),
    ({"sequence": 0}, "sequence=0 must lie between 1"),
    ({"global_batch": 10**30}, "global_batch="),
    ({"trainable": "none"}, "choose one of all, lora"),
    ({"network": "fast"}, "is not a rate; give one such as 400 Gb/s"),
    ({"network": "0 Gb/s"}, "is not a rate"),
    ({"node_devices": 0}, "node_devices=0 must lie between 1"),
    ({"usd_per_hour": -1}, "usd_per_hour=-1 must be dollars"),
    ({"usd_per_hour": math.nan}, "usd_per_hour=nan must be dollars"),
    ({"grid": "atlantis"}, "grid='atlantis'"),
    ({"grid": "atlantis", "tokens": None}, "grid='atlantis'"),
    ({"grid": "-3"}, "grid=-3.0 must be"),
    ({"pue": 0.5}, "pue=0.5"),
    ({"model": "t5-base"}, "has encoder and decoder"),
    ({"model": "linear=8x8"}, "has no layers that a plan could cut"),
    ({"model": "elmo"}, "is an LSTM"),
    ({"model": "gpt-4"}, "undisclosed"),
    ({"plan": "auto", "devices": 1031}, "cannot be laid out"),
]


@pytest.mark.parametrize(("changes", "expected"), REFUSALS, ids=[str(c)[:60] for c, _ in REFUSALS])
def test_what_cannot_run_is_refused_in_one_line_with_the_way_out(changes, expected):
    assert expected in refusal(**changes)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40))
@example("tp=2,")
@example("=,=")
@example("tp=\u0661")
def test_no_plan_text_does_more_than_be_refused(text):
    with contextlib.suppress(BadInput):
        asked(plan=text)


@given(st.text(max_size=30))
@example("1e999 Gb/s")
@example("1.2.3 GB/s")
def test_no_network_text_does_more_than_be_refused(text):
    with contextlib.suppress(BadInput):
        assert 0 < parse_bytes_per_s(text) < math.inf


@pytest.mark.parametrize(
    ("text", "expected"),
    [("400 Gb/s", 50e9), ("400Gbps", 50e9), ("50 GB/s", 50e9), ("1.8 TB/s", 1.8e12), (25e9, 25e9), ("8 bit/s", 1)],
)
def test_rates_are_read_in_bits_or_bytes(text, expected):
    assert expected == parse_bytes_per_s(text)


def test_the_command_prints_one_json_object_and_says_yes():
    told = run("llama-3-8b", "--on", "h100", "--devices", "16", "--plan", PLAN, "--global-batch", "64", "--json")
    assert told.exit_code == 0
    assert json.loads(told.output)["fits"] is True


def test_the_command_exits_1_where_nothing_fits():
    assert run("llama-3-70b", "--on", "h100", "--devices", "8", "--json").exit_code == 1


def test_the_command_draws_the_plan_the_parts_and_the_plans_that_lost():
    told = run("llama-3-8b", "--on", "h100", "--devices", "64", "--tokens", "1T")
    for expected in (
        "It fits",
        "micro-batch",
        "MFU",
        "days",
        "CO2e",
        "compute",
        "other plans",
        "measured steps",
        "note:",
    ):
        assert expected in told.output, expected


@pytest.mark.parametrize("width", [80, 100])
def test_no_line_is_wider_than_the_terminal(width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    for more in ((), ("--plan", "tp=8,recompute=full"), ("--tokens", "15T", "--precision", "fp8")):
        told = run("llama-3-70b", "--on", "h100", "--devices", "16", *more)
        table = "a step is spent on"  # tables keep their width
        lines = (
            told.output.partition(table)[0].splitlines()[1:] + told.output.partition("measured steps")[2].splitlines()
        )
        assert max(map(len, lines)) <= width


def test_a_given_plan_needs_no_numpy():
    code = (
        "import sys; from deepwide.answers.training import predict_training as p; "
        "p('llama-3-8b', on='h100', devices=8, plan='micro_batch=1,zero=2'); sys.exit('numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_plan_as_text_is_read_back_as_itself():
    answer = asked(plan="tp=2,pp=2,interleave=4,micro_batch=2,recompute=full,zero=1")
    text = ",".join(
        f"{k}={'on' if v is True else 'off' if v is False else v}" for k, v in answer.plan.items() if v is not None
    )
    assert asked(plan=text).plan == answer.plan
