"""A few of a user's own runs correct the model: what comes out, what `--runtime` makes of it, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import deepwide as dw
from deepwide.answers.calibrate import calibrate_inference, calibrate_training
from deepwide.answers.calibrate.calibrated import Calibration
from deepwide.answers.inference import predict_inference
from deepwide.answers.training import predict_training
from deepwide.cli.main import main
from deepwide.errors import BadInput
from deepwide.facts.profiles_file import ProfileFile, profile_file, write_profile
from deepwide.facts.training import TrainingProfile, training_profile

RUNTIME, ON = "megatron-bridge", "h100-sxm"
MODELS = {"llama-2-7b": (1, 2, 4), "llama-2-13b": (2, 4, 8), "llama-3-8b": (1, 2, 4)}
# An engine that nobody measured: what it does otherwise than the shipped constants say, as factors.
OTHERWISE = {
    "compute_efficiency": 0.85,
    "layer_launch_s": 2.5,
    "tensor_exposed": 0.7,
    "far_efficiency": 0.6,
    "elementwise_passes": 1.4,
    "step_s": 2.0,
}
Plans = list[dict[str, Any]]


def plans(seed: int, count: int) -> Plans:
    """Random runs, as rows without what was measured."""
    order = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        model = str(order.choice(list(MODELS)))
        tp, dp, micro = (int(order.choice(c)) for c in (MODELS[model], (2, 4, 8, 16), (1, 2)))
        recompute = str(order.choice(["none", "full"]))
        row = {"model": model, "devices": tp * dp, "sequence": 2048, "global_batch": dp * micro * 8}
        found.append(row | {"tp": tp, "micro_batch": micro, "recompute": recompute, "zero": 1})
    return found


def predicted_s(row: dict[str, Any], runtime: str) -> float:
    keys = ("tp", "micro_batch", "recompute", "zero")
    plan = ",".join(f"{key}={row[key]}" for key in keys)
    run = {key: row[key] for key in ("devices", "sequence", "global_batch")}
    return predict_training(row["model"], on=ON, runtime=runtime, plan=plan, **run).step_s


@pytest.fixture
def truth(tmp_path: Path) -> str:
    """A profile of the engine that nobody measured."""
    shipped = training_profile(RUNTIME, ON, "bf16")
    changed = {name: getattr(shipped.constants, name) * factor for name, factor in OTHERWISE.items()}
    path = tmp_path / "truth.toml"
    write_profile(path, as_file(replace(shipped, constants=replace(shipped.constants, **changed))))
    return str(path)


def as_file(held: TrainingProfile) -> ProfileFile:
    values = {name: getattr(held.constants, name) for name in type(held.constants).__dataclass_fields__}
    return ProfileFile(
        kind="training",
        runtime=RUNTIME,
        accelerator=ON,
        format="bf16",
        rows=1,
        error_share=0.1,
        spread={"step": 0.2},
        spread_elsewhere={"step": 0.3},
        constants=values,
        source="made up",
        checked="2026-11-22",
    )


def measured(rows: Plans, truth: str, noise: float, seed: int = 0) -> Plans:
    errors = np.exp(np.random.default_rng(seed).normal(0, noise, len(rows)))
    return [row | {"step_s": predicted_s(row, truth) * float(e)} for row, e in zip(rows, errors, strict=True)]


def held_out_error(runtime: str, truth: str) -> float:
    rows = plans(seed=99, count=20)
    return float(np.mean([abs(predicted_s(row, runtime) / predicted_s(row, truth) - 1) for row in rows]))


@pytest.mark.parametrize("seed", [0, 1])
def test_ten_noisy_runs_bring_the_error_of_others_below_eight_percent(truth: str, tmp_path: Path, seed: int) -> None:
    out = str(tmp_path / "mine.toml")
    calibrate_training(measured(plans(seed, 10), truth, noise=0.05, seed=seed), on=ON, runtime=RUNTIME, out=out)
    assert held_out_error(RUNTIME, truth) > 0.12
    assert held_out_error(out, truth) < 0.08


@pytest.mark.parametrize("count", [1, 2, 3])
def test_very_few_runs_never_make_other_predictions_absurd(truth: str, tmp_path: Path, count: int) -> None:
    out = str(tmp_path / "mine.toml")
    calibrate_training(measured(plans(3, count), truth, noise=0.05), on=ON, runtime=RUNTIME, out=out)
    assert held_out_error(out, truth) < held_out_error(RUNTIME, truth)


def test_runs_that_are_already_predicted_change_little(tmp_path: Path) -> None:
    found = calibrate_training(measured(plans(0, 8), RUNTIME, noise=0.0), on=ON, runtime=RUNTIME)
    assert found.error_before == pytest.approx(0, abs=1e-9)
    assert found.error_after == pytest.approx(0, abs=1e-6)
    assert () == found.changed


def test_the_range_narrows_with_runs_and_three_claim_less_than_ten(truth: str) -> None:
    widths = [
        calibrate_training(measured(plans(0, n), truth, noise=0.05), on=ON, runtime=RUNTIME).spread_after["step"]
        for n in (3, 10)
    ]
    before = calibrate_training(measured(plans(0, 3), truth, 0.05), on=ON, runtime=RUNTIME).spread_before["step"]
    assert 1 < widths[1] < widths[0] < before


@pytest.fixture
def ten(truth: str) -> Calibration:
    return calibrate_training(measured(plans(0, 10), truth, noise=0.05), on="h100", runtime=RUNTIME)


def test_the_answer_says_what_moved_and_by_how_much(ten: Calibration) -> None:
    assert ten.error_own < ten.error_after < ten.error_before
    assert any(each.startswith("compute_efficiency 0.") and " -> 0." in each for each in ten.changed)
    assert (RUNTIME, ON, 10) == (ten.runtime, ten.accelerator, ten.rows)
    assert all(point.low < point.after < point.high for point in ten.points)


def test_the_answer_is_plain_values(ten: Calibration) -> None:
    assert json.loads(json.dumps(ten.to_dict(), allow_nan=False))["spread_after"] == ten.spread_after


def test_tokens_per_second_say_the_same_as_seconds(truth: str) -> None:
    rows = measured(plans(0, 4), truth, noise=0.05)
    rates: Plans = [
        {k: v for k, v in row.items() if k != "step_s"}
        | {"tokens_per_s": row["sequence"] * row["global_batch"] / row["step_s"]}
        for row in rows
    ]
    one, other = (calibrate_training(each, on=ON, runtime=RUNTIME) for each in (rows, rates))
    assert one.constants == pytest.approx(other.constants)
    assert one.points[0].measured == pytest.approx(
        rows[0]["sequence"] * rows[0]["global_batch"] / other.points[0].measured
    )


def test_a_plan_may_be_one_column_or_one_for_each_part(truth: str) -> None:
    rows = measured(plans(0, 2), truth, noise=0.05)
    keys = ("tp", "micro_batch", "recompute", "zero")
    spelled: Plans = [
        {k: v for k, v in row.items() if k not in keys} | {"plan": ",".join(f"{key}={row[key]}" for key in keys)}
        for row in rows
    ]
    one, other = (calibrate_training(each, on=ON, runtime=RUNTIME) for each in (rows, spelled))
    assert one.constants == other.constants


def test_an_engine_that_has_no_row_starts_from_any(truth: str) -> None:
    found = calibrate_training(measured(plans(0, 2), truth, noise=0.05), on=ON, runtime="any")
    assert "any / any / any" == found.start


def test_a_calibration_can_start_from_an_earlier_one(truth: str, tmp_path: Path) -> None:
    out = str(tmp_path / "mine.toml")
    rows = measured(plans(0, 6), truth, noise=0.02)
    first = calibrate_training(rows[:3], on=ON, runtime=RUNTIME, out=out)
    second = calibrate_training(rows[3:], on=ON, runtime=out)
    assert second.error_before < first.error_before
    assert RUNTIME == second.runtime


def test_the_network_of_the_measurements_goes_along(truth: str, tmp_path: Path) -> None:
    out = str(tmp_path / "mine.toml")
    rows = measured(plans(0, 2), truth, noise=0.0)
    calibrate_training(rows, on=ON, runtime=RUNTIME, network="100 Gb/s", node_devices=4, out=out)
    held = profile_file(out, "training")
    assert (4, pytest.approx(12.5e9)) == (held.node_devices, held.network_bytes_per_s)


def test_elsewhere_the_range_is_as_wide_as_before(truth: str, tmp_path: Path) -> None:
    out = str(tmp_path / "mine.toml")
    found = calibrate_training(measured(plans(0, 10), truth, noise=0.02), on=ON, runtime=RUNTIME, out=out)
    here, there = (training_profile(out, device, "bf16").spread for device in (ON, "a100-sxm-80gb"))
    assert np.exp(here) == pytest.approx(found.spread_after["step"], rel=1e-4)
    assert np.exp(there) == pytest.approx(found.spread_before["step"], rel=1e-4)


# Inference.
SERVED = [
    {"model": "llama-3.1-8b", "batch": batch, "input": into, "output": 128, "weights": weights}
    for batch, into, weights in ((1, 512, "bf16"), (16, 2048, "bf16"), (64, 1024, "bf16"), (4, 4096, "fp8"))
]


def served(slower: float) -> Plans:
    rows = []
    for row in SERVED:
        asked = {key: value for key, value in row.items() if key != "model"}
        found = predict_inference(str(row["model"]), on=ON, runtime="vllm", **asked)
        rows.append(row | {"ttft_s": found.ttft_s * slower, "decode_s_per_token": found.decode_s_per_token * slower})
    return rows


def test_measured_answers_correct_a_runtime(tmp_path: Path) -> None:
    out = str(tmp_path / "mine.toml")
    found = calibrate_inference(served(1.3), on=ON, runtime="vllm", out=out)
    assert found.error_after < 0.06 < 0.2 < found.error_before
    before, after = (
        predict_inference("llama-2-13b", on=ON, runtime=runtime).decode_s_per_token for runtime in ("vllm", out)
    )
    assert after / before == pytest.approx(1.3, rel=0.08)


def test_a_phase_that_nobody_measured_keeps_its_range(tmp_path: Path) -> None:
    rows: Plans = [{k: v for k, v in row.items() if k != "ttft_s"} for row in served(1.1)]
    found = calibrate_inference(rows, on=ON, runtime="vllm")
    assert found.spread_before["prefill"] == found.spread_after["prefill"]
    assert found.spread_before["decode"] != found.spread_after["decode"]


def test_on_another_accelerator_the_shipped_difference_is_kept(tmp_path: Path) -> None:
    out = str(tmp_path / "mine.toml")
    calibrate_inference(served(1.3), on=ON, runtime="vllm", out=out)
    before, after = (predict_inference("llama-2-7b", on="a100-sxm-80gb", runtime=r) for r in ("vllm", out))
    assert 1.1 < after.decode_s_per_token / before.decode_s_per_token < 1.5
    assert "carried over" in after.basis


def test_a_bound_is_not_corrected() -> None:
    with pytest.raises(BadInput, match="runtime='ideal' is a bound"):
        calibrate_inference(served(1.1)[:1], on=ON, runtime="ideal")


# Tables from outside.
HEADER = "model,devices,sequence,global_batch,tp,step_s\n"
GOOD = "llama-2-7b,8,2048,64,1,5.5\n"
HOSTILE = {
    "no rows": ("", r"runs.csv: no measured runs; give one a line, under a header with model, devices"),
    "a header alone": (HEADER, "runs.csv: no measured runs"),
    "an unknown column": (
        "model,devices,sequence,global_batch,stepp_s\n" + GOOD,
        "no column called 'stepp_s'; did you",
    ),
    "a column twice": ("model,model\na,b\n", "runs.csv:1: the column 'model' is there twice"),
    "no number": (HEADER + GOOD + "llama-2-7b,8,2048,64,1,fast\n", "runs.csv:3: step_s='fast' must be a positive"),
    "not a number": (HEADER + "llama-2-7b,8,2048,64,1,nan\n", "runs.csv:2: step_s='nan' must be a positive"),
    "infinity": (HEADER + "llama-2-7b,8,2048,64,1,inf\n", "runs.csv:2: step_s='inf' must be a positive"),
    "a negative time": (HEADER + "llama-2-7b,8,2048,64,1,-3\n", "runs.csv:2: step_s='-3' must be a positive"),
    "negative devices": (HEADER + "llama-2-7b,-8,2048,64,1,3\n", "runs.csv:2: devices=-8 must lie between"),
    "half a device": (HEADER + "llama-2-7b,1.5,2048,64,1,3\n", "runs.csv:2: devices='1.5' is not a whole number"),
    "an unknown model": (HEADER + "lama-2-7b,8,2048,64,1,3\n", "runs.csv:2: .*lama-2-7b.*did you mean"),
    "an impossible plan": (HEADER + "llama-2-7b,8,2048,64,3,3\n", "runs.csv:2: plan: tp=3"),
    "a missing cell": (HEADER + "llama-2-7b,8,,64,1,3\n", "runs.csv:2: sequence is missing"),
    "nothing measured": (HEADER + "llama-2-7b,8,2048,64,1,\n", "runs.csv:2: nothing was measured; give one of step_s"),
    "too many cells": (HEADER + "llama-2-7b,8,2048,64,1,3,4\n", "runs.csv:2: 7 cells under 6 columns"),
    "an open quote": (HEADER + '"llama', "runs.csv:2: not CSV"),
    "milliseconds": (HEADER + GOOD + "llama-2-7b,8,2048,64,1,5500\n", "runs.csv:3: step_s=5500 where .* is predicted"),
    "too many rows": (HEADER + GOOD * 501, "runs.csv: 501 runs are more than the 500"),
    "too many bytes": (HEADER + GOOD * 60_000, "runs.csv: more than 1,048,576 bytes"),
    "a searched plan": (
        "model,devices,sequence,global_batch,plan,step_s\nllama-2-7b,8,2048,64,auto,3\n",
        "'auto' is no",
    ),
}


@pytest.fixture
def runs(tmp_path: Path) -> Callable[[str | bytes], str]:
    def written(text: str | bytes) -> str:
        path = tmp_path / "runs.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return written


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_wrong_with_a_table_is_said_with_its_place(runs: Callable[..., str], tmp_path: Path, name: str) -> None:
    text, said = HOSTILE[name]
    out = tmp_path / "mine.toml"
    with pytest.raises(BadInput, match=said) as refused:
        calibrate_training(runs(text), on=ON, runtime=RUNTIME, out=out)
    assert "\n" not in str(refused.value)
    assert not out.exists()


def test_bytes_that_are_no_text_are_refused(runs: Callable[..., str]) -> None:
    with pytest.raises(BadInput, match=r"runs\.csv: byte 4 is not UTF-8 text"):
        calibrate_training(runs(b"mode\xff\xfe\n"), on=ON)


def test_a_run_that_contradicts_all_others_is_pointed_out(truth: str) -> None:
    rows = measured(plans(0, 6), truth, noise=0.02)
    rows[2]["step_s"] *= 20
    found = calibrate_training(rows, on=ON, runtime=RUNTIME)
    assert any(note.startswith("rows:3: step_s=") and "far from" in note for note in found.notes)


def test_a_table_may_come_with_capitals_spaces_and_blank_lines(runs: Callable[..., str]) -> None:
    text = "\ufeff Model ,devices,Sequence,global-batch,tp,step_s\n\nllama-2-7b, 8, 2k, 64, 1, 5.5\n\n"
    assert "runs.csv:3" == calibrate_training(runs(text), on=ON, runtime=RUNTIME).points[0].where


# The file.
@pytest.fixture
def mine(truth: str) -> Path:
    return Path(truth)


@pytest.mark.parametrize(
    ("line", "instead", "said"),
    [
        ("hop_s = ", "hopp_s = 1 #", "no key called 'hopp_s'; did you mean hop_s"),
        ("compute_efficiency = ", "compute_efficiency = nan #", "compute_efficiency=nan must be a positive number"),
        ("compute_efficiency = ", "compute_efficiency = -1 #", "compute_efficiency=-1 must be a positive number"),
        ("compute_efficiency = ", "compute_efficiency = inf #", "compute_efficiency=inf must be a positive number"),
        ("compute_efficiency = ", 'compute_efficiency = "1" #', "compute_efficiency=1 must be a positive number"),
        ("compute_efficiency = ", "#", "constants: compute_efficiency missing"),
        ("rows = ", "rows = 0 #", "rows=0 must be a positive whole number"),
        ("kind = ", 'kind = "inference" #', "kind='inference' must be 'training'"),
        ("checked = ", "checked = 3 #", "checked=3 must be a date"),
        ("source = ", "#", "source missing"),
        ("step = ", "step = 99 #", "spread.step=99 must be a positive number of at most 5"),
        ("rows = ", "rows = = #", "not TOML"),
    ],
)
def test_a_changed_profile_is_refused_in_one_line(mine: Path, line: str, instead: str, said: str) -> None:
    mine.write_text(mine.read_text("utf-8").replace(f"\n{line}", f"\n{instead}", 1), "utf-8")
    with pytest.raises(BadInput, match=said) as refused:
        training_profile(str(mine), ON, "bf16")
    assert "\n" not in str(refused.value)


def test_a_profile_that_is_not_there_or_too_long_is_refused(mine: Path) -> None:
    with pytest.raises(BadInput, match="no such file"):
        training_profile("nowhere.toml", ON, "bf16")
    mine.write_text("#" * 20_000, "utf-8")
    with pytest.raises(BadInput, match="more than 16,384 bytes"):
        training_profile(str(mine), ON, "bf16")


def test_a_profile_is_written_whole_or_not_at_all(mine: Path, tmp_path: Path) -> None:
    before, held = mine.read_bytes(), profile_file(mine, "training")
    with pytest.raises(BadInput, match=r"must end in \.toml"):
        write_profile(tmp_path / "mine.csv", held)
    with pytest.raises(BadInput, match="cannot be written"):
        write_profile(tmp_path / "no folder" / "mine.toml", held)
    write_profile(mine, held)
    assert before == mine.read_bytes()
    assert ["truth.toml"] == [path.name for path in tmp_path.iterdir()]


# The command.
def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    return int(end.value.code or 0)


def test_the_command_draws_runs_constants_and_range(runs: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == run("calibrate", "training", runs(HEADER + GOOD), "--on", "h100", "--runtime", RUNTIME)
    said = capsys.readouterr().out
    assert all(word in said for word in ("llama-2-7b · 8 ×", "mean error", "range, a step", "nothing was written"))


def test_the_command_writes_a_profile_that_predict_takes(
    runs: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "Mine.toml")
    asked = ("--on", "h100", "--runtime", RUNTIME, "--out", out, "--json")
    assert 0 == run("calibrate", "training", runs(HEADER + GOOD * 2), *asked)
    assert 2 == json.loads(capsys.readouterr().out)["rows"]
    plan = ("--devices", "8", "--plan", "zero=1", "--sequence", "2048", "--global-batch", "64")
    assert 0 == run("predict", "training", "llama-2-7b", "--on", "h100", *plan, "--runtime", out, "--json")
    assert json.loads(capsys.readouterr().out)["step_s"] == pytest.approx(5.5, rel=0.1)


def test_a_bad_table_ends_the_command_with_two(runs: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == run("calibrate", "training", runs(HEADER + "lama,8,2048,64,1,3\n"), "--on", "h100")
    said = capsys.readouterr()
    assert "" == said.out
    assert said.err.startswith("Error: runs.csv:2: ")
    assert 1 == said.err.count("\n")


def test_a_missing_fitter_is_one_line_with_the_way_out(runs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "scipy.optimize", None)
    with pytest.raises(BadInput, match=r"needs scipy.*pip install 'deepwide\[fit\]'"):
        calibrate_training(runs(HEADER + GOOD), on=ON)


def test_the_questions_are_offered_by_the_package() -> None:
    assert dw.calibrate_training is calibrate_training
    assert dw.calibrate_inference is calibrate_inference
