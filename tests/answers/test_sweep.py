"""A sweep: shapes of one size, trials that are due, what came of them, a kill in the middle, an error that is a row."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deepwide.answers.calibrate.loss import calibrate_loss
from deepwide.answers.sweep import Sweep, answer, asking, law, resume_sweep, running, sweep
from deepwide.answers.sweep.asking import Asked
from deepwide.answers.sweep.plan import Plan, due, plan_from_dict
from deepwide.answers.sweep.shapes import Shape, Size, shapes_of_layers, shapes_of_models, shapes_of_ratios
from deepwide.answers.sweep.written import markdown, write_losses, write_page
from deepwide.cli.main import main
from deepwide.errors import BadInput
from deepwide.lab.sweep import Finished

FAMILY: dict[str, Any] = {"family": "llama", "vocab": 256}
MEANS = {1: 1.645, 2: 1.572, 4: 1.540, 8: 1.546, 16: 1.578, 32: 1.624}
SPEEDS = {1: 34_400, 2: 29_000, 4: 24_000, 8: 18_500, 16: 13_500, 32: 9_000}
TINY = "--layers 1,2 --seeds 2 --tokens 2k --bracket-tokens 1k --batch 4 --context 32 --head-dim 8".split()


def test_depth_shapes_are_equal_in_parameters_to_a_third_of_a_percent_and_keep_a_natural_ffn() -> None:
    found = shapes_of_layers(Size(parameters=800_000, context=128), list(MEANS), ratio=8 / 3, head_dim=16, **FAMILY)
    assert [256, 176, 128, 96, 64, 48] == [shape.hidden for shape in found]
    assert all(abs(shape.body / 800_000 - 1) < 0.0034 for shape in found)
    assert all(2.2 < (shape.ratio or 0) < 3.1 for shape in found)


def test_ratios_from_one_to_twelve_come_within_a_tenth_at_equal_parameters() -> None:
    asked = (1, 2, 3, 4, 6, 8, 12)
    found = shapes_of_ratios(Size(parameters=800_000, context=128), asked, layers=4, head_dim=8, **FAMILY)
    assert all(abs((shape.ratio or 0) / ratio - 1) < 0.1 for shape, ratio in zip(found, asked, strict=True))
    assert all(abs(shape.off_share) < 0.001 for shape in found)


def test_equal_flops_count_the_head_and_attention_too() -> None:
    found = shapes_of_layers(Size(flops_per_token=6e6, context=128), (1, 4, 16), ratio=8 / 3, head_dim=16, **FAMILY)
    assert all(shape.flops_per_token == pytest.approx(6e6, rel=0.01) for shape in found)
    assert found[0].body > found[-1].body


@pytest.mark.parametrize(
    ("size", "layers", "head_dim", "said"),
    [
        ({"parameters": 1000}, (1, 64), 64, "the narrowest model, hidden=64, is over parameters=1000"),
        ({"parameters": 60_000}, (1, 100), 8, "off by"),
        ({"parameters": 60_000}, (2,), 8, "1 shape is nothing to compare"),
        ({}, (1, 2), 8, "give parameters"),
    ],
)
def test_what_cannot_be_equal_is_refused(size: Any, layers: tuple[int, ...], head_dim: int, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        shapes_of_layers(Size(**size, context=32), layers, ratio=8 / 3, head_dim=head_dim, **FAMILY)


def test_models_as_they_are_say_how_far_they_are_apart() -> None:
    found = shapes_of_models(
        ["like=llama,layers=1,hidden=32,heads=2", "like=llama,layers=2,hidden=32,heads=2"], 32, 256
    )
    assert found[0].off_share < 0 < found[1].off_share


@pytest.fixture(autouse=True)
def quick(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fitting the law takes a second: one test does it."""
    if "calibrate_loss" not in request.node.name:
        monkeypatch.setattr(law, "_fit", lambda rows, plan: (None, "not fitted: in haste"))


@pytest.fixture
def plan() -> Plan:
    shapes = shapes_of_layers(Size(parameters=800_000, context=128), list(MEANS), ratio=8 / 3, head_dim=16, **FAMILY)
    return Plan(
        shapes=shapes,
        seeds=4,
        tokens=1_000_000,
        bracket_tokens=150_000,
        base_rate=4e-3,
        recipe={"batch": 16, "context": 128, "optimizer": "adamw"},
        data="",
        tokenizer="bytes",
        kernels={"dtype": "fp32", "matmul": "default", "attention": "sdpa"},
        equal="parameters",
        bytes_per_token=1.0,
        corpus={"source": "text", "sha256": "0" * 64, "vocab": 256, "tokens": 10**7},
    )


def made_up(job: Mapping[str, Any]) -> dict[str, Any]:
    """What a trial of the trial's table would give: its mean, a seed's noise, a valley over the rate."""
    layers = int(str(job["model"]).partition("layers=")[2].partition(",")[0])
    recipe = job["recipe"]
    noise = 0.006 * math.sin(7 * layers + 3 * recipe["seed"]) + 0.01 * math.cos(2 * recipe["seed"])
    valley = 0.1 * math.log2(recipe["learning_rate"] / 4.5e-3) ** 2 * (recipe["tokens"] < 1_000_000)
    more = 0.4 * math.log(1_000_000 / recipe["tokens"])
    return {
        "status": "done",
        "loss": MEANS[layers] + noise + valley + more,
        "cpu_s_per_token": 1 / SPEEDS[layers],
        "curve": [[recipe["tokens"] / 2, 2.0], [recipe["tokens"], 1.6]],
    }


class Instant:
    """An engine that has done a job as soon as it is asked for."""

    def __init__(self, work: Callable[[Mapping[str, Any]], dict[str, Any]], capacity: int = 2) -> None:
        self.work, self.capacity = work, capacity
        self.submitted: list[str] = []
        self.waiting: list[Finished] = []
        self.stopped = False

    def submit(self, name: str, job: Mapping[str, Any]) -> None:
        self.submitted.append(name)
        try:
            self.waiting.append(Finished(name=name, result=self.work(job)))
        except ValueError as error:
            self.waiting.append(Finished(name=name, error=str(error)))

    def finished(self, timeout_s: float) -> list[Finished]:
        return [self.waiting.pop(0)] if self.waiting else []

    def stop(self) -> None:
        self.stopped = True


def swept(plan: Plan, folder: Path, work: Callable[..., dict[str, Any]] = made_up) -> Sweep:
    return answer(plan, folder, running.carried_out(plan, folder, Instant(work), lambda p: None, lambda: False))


def test_the_best_the_tied_and_the_worse_are_told_apart(plan: Plan, tmp_path: Path) -> None:
    found = swept(plan, tmp_path)
    verdicts = {row.shape.layers: row.verdict for row in found.shapes}
    assert {1: "worse", 2: "worse", 16: "worse", 32: "worse"} == {n: verdicts[n] for n in (1, 2, 16, 32)}
    assert {"best", "not separable"} == {verdicts[4], verdicts[8]}
    assert found.sure
    assert found.optimum is not None
    assert found.optimum.at == pytest.approx(6.0, abs=0.5)


def test_after_equal_time_the_quicker_shapes_gain(plan: Plan, tmp_path: Path) -> None:
    rows = {row.shape.layers: row for row in swept(plan, tmp_path).shapes}
    assert 1_000_000 == rows[1].equal_time_tokens
    assert rows[32].equal_time_tokens == pytest.approx(1_000_000 * 9_000 / 34_400, rel=1e-3)
    assert rows[32].equal_time_loss is not None
    assert rows[32].mean is not None
    assert rows[32].equal_time_loss > rows[32].mean + 0.3


def test_every_rate_is_bracketed_by_three_runs_where_the_middle_is_best(plan: Plan, tmp_path: Path) -> None:
    for row in swept(plan, tmp_path).shapes:
        assert row.bracket is not None
        assert row.bracket.bracketed
        assert 3 == len(row.bracket.tried)
        assert row.bracket.rate == pytest.approx(4.5e-3, rel=0.02)


def test_long_trials_begin_first_and_short_runs_before_all_others(plan: Plan) -> None:
    assert 32 == due(plan, {})[0].shape.layers
    results = {trial.name: made_up(plan.job(trial, "")) for trial in due(plan, {})}
    assert ["06-32x48-seed0"] == [due(plan, results)[0].name]


def test_a_rate_at_the_edge_is_said_and_the_ranking_is_not_sure(plan: Plan, tmp_path: Path) -> None:
    def steep(job: Mapping[str, Any]) -> dict[str, Any]:
        found = made_up(job)
        return {**found, "loss": found["loss"] - job["recipe"]["learning_rate"] * 100}

    found = swept(plan, tmp_path, steep)
    assert not found.sure
    assert any("was not bracketed" in line for line in found.says)


def test_a_trial_that_fails_is_a_row_and_not_the_end(plan: Plan, tmp_path: Path) -> None:
    def failing(job: Mapping[str, Any]) -> dict[str, Any]:
        if job["name"] == "03-4x128-seed2":
            raise ValueError("loss=nan at step 7: the training diverged")
        return made_up(job)

    found = swept(plan, tmp_path, failing)
    rows = {row.shape.layers: row for row in found.shapes}
    assert "not ranked" == rows[4].verdict
    assert ("03-4x128-seed2: loss=nan at step 7: the training diverged",) == rows[4].problems
    assert "best" == rows[8].verdict
    assert "done" == found.status


def test_what_was_done_is_not_done_again(plan: Plan, tmp_path: Path) -> None:
    first, stop = Instant(made_up), iter([False] * 10 + [True] * 1000)
    running.carried_out(plan, tmp_path, first, lambda p: None, lambda: next(stop))
    assert first.stopped
    second = Instant(made_up)
    found = answer(plan, tmp_path, running.carried_out(plan, tmp_path, second, lambda p: None, lambda: False))
    assert not set(first.submitted) & set(second.submitted)
    assert 42 == len(first.submitted) + len(second.submitted)
    assert "done" == found.status


def test_an_interrupted_sweep_ranks_what_is_there_and_says_what_is_not(plan: Plan, tmp_path: Path) -> None:
    found = answer(plan, tmp_path, {})
    assert "interrupted" == found.status
    assert {"not finished"} == {row.verdict for row in found.shapes}
    json.dumps(found.to_dict(), allow_nan=False)


def test_one_seed_has_no_ranking(plan: Plan, tmp_path: Path) -> None:
    found = swept(replace(plan, seeds=1), tmp_path)
    assert found.spread is None
    assert {"not ranked"} == {row.verdict for row in found.shapes}


def test_the_progress_counts_to_the_end(plan: Plan, tmp_path: Path) -> None:
    said: list[running.Progress] = []
    running.carried_out(plan, tmp_path, Instant(made_up), said.append, lambda: False)
    assert (42, 0, 42) == (said[-1].done, said[-1].running, said[-1].trials)
    assert 0 == said[-1].left_s


def test_the_plan_comes_back_from_its_file(plan: Plan, tmp_path: Path) -> None:
    asking.keep(plan, tmp_path / "a")
    assert plan == asking.kept(tmp_path, "a")[0] == plan_from_dict(plan.to_dict())
    with pytest.raises(BadInput, match="no sweep called 'b'"):
        asking.kept(tmp_path, "b")


def test_the_losses_are_a_table_that_calibrate_loss_takes(plan: Plan, tmp_path: Path) -> None:
    found = swept(plan, tmp_path / "runs")
    write_losses(found, str(tmp_path / "losses.csv"))
    assert (24, 6) == ((fitted := calibrate_loss(tmp_path / "losses.csv")).rows, fitted.shapes)
    assert found.law is not None
    assert found.law.fit is not None
    assert 24 == found.law.fit.rows


def test_tables_and_page_are_written(plan: Plan, tmp_path: Path) -> None:
    found = swept(plan, tmp_path / "runs")
    assert 8 == markdown(found).count("| 4 × 128") + 5
    write_page(found, str(tmp_path / "page.html"))
    assert "not separable from the best" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"seeds": 0}, "seeds=0"),
        ({"bracket_tokens": 10**9}, "bracket_tokens"),
        ({"layers": (1, 2), "ffn_ratios": (1.0, 2.0)}, "vary one of the two"),
        ({"models": ("gpt2",), "parameters": 5}, "models are taken as they are"),
    ],
)
def test_bad_questions_are_refused_in_a_line(given: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        Asked(**given, kernels={})


def test_an_option_that_is_none_gets_the_nearest() -> None:
    with pytest.raises(BadInput, match="did you mean layers"):
        asking.asked_from((), {"layer": (1,)}, {})


def test_a_resumed_sweep_takes_no_other_question(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["sweep", "--resume", "x", "--seeds", "3"])
    assert 2 == ended.value.code
    assert "seeds cannot change in a sweep that was begun" in capsys.readouterr().err


def command(root: Path, *words: str) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "deepwide", "sweep", *words, "--root", str(root), "--json"]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_a_real_sweep_gives_ordinary_runs_and_one_json_object(tmp_path: Path) -> None:
    done = command(tmp_path, "--parameters", "20k", *TINY, "--name", "tiny")
    out, _ = done.communicate(timeout=400)
    found = json.loads(out)
    assert 0 == done.returncode
    assert "done" == found["status"]
    assert all(len(row["losses"]) == 2 and row["tokens_per_cpu_s"] > 0 for row in found["shapes"])
    from deepwide.answers.runs import runs

    assert {"01-1x40-seed0", "01-1x40-seed1"} <= {run.name for run in runs(tmp_path / "tiny").runs}
    assert found["shapes"] == resume_sweep("tiny", root=tmp_path).to_dict()["shapes"]


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_sweep_that_is_stopped_goes_on_to_the_same_losses(how: signal.Signals, tmp_path: Path) -> None:
    words = ("--parameters", "20k", *TINY, "--tokens", "30k", "--workers", "2", "--dtype", "fp32")
    whole = command(tmp_path / "whole", *words, "--attention", "sdpa", "--matmul", "default", "--name", "s")
    cut = command(tmp_path / "cut", *words, "--attention", "sdpa", "--matmul", "default", "--name", "s")
    ends = time.monotonic() + 300
    while not list((tmp_path / "cut").glob("s/*/trial.json")) and time.monotonic() < ends:
        time.sleep(0.05)
    os.kill(cut.pid, how)
    cut.communicate(timeout=120)
    assert (-9 if how == signal.SIGKILL else 130) == cut.returncode
    again = command(tmp_path / "cut", "--resume", "s")
    first, second = (json.loads(each.communicate(timeout=400)[0]) for each in (whole, again))
    assert [row["losses"] for row in first["shapes"]] == [row["losses"] for row in second["shapes"]]


def test_a_shape_is_named_so_that_its_trials_are_safe_names() -> None:
    from deepwide.lab.store.names import is_safe

    shape = Shape(
        name="01-4x128", model="m", layers=4, hidden=128, heads=8, ffn=1, body=1, parameters=1, flops_per_token=1
    )
    assert all(is_safe(f"{shape.name}-{end}") for end in ("seed0", "rate+1", "rate-1"))


def test_sweep_is_a_question_of_the_package() -> None:
    import deepwide

    assert deepwide.sweep is sweep
