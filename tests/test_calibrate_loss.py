"""A few of a user's own training runs fit a law of the loss: what comes out, what is written, what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import deepwide as dw
from deepwide.answers.calibrate.loss import MOST_LEFT_OUT, _shipped, calibrate_loss, in_turn
from deepwide.cli.calibrate_loss import LAWS as OFFERED
from deepwide.cli.main import main
from deepwide.errors import BadInput
from deepwide.quality.fit import Fitted
from deepwide.quality.forms import LAWS
from deepwide.quality.held_out import held_out
from deepwide.quality.law_file import own_law
from deepwide.quality.runs import Runs, runs_of
from deepwide.quality.shape import expected_loss

SHAPES = [(12, 768), (8, 512), (24, 1024), (6, 1024), (16, 1536), (30, 640), (20, 512)]


def row(layers: int, hidden: int, tokens: float, easier: float = 0.0) -> dict[str, Any]:
    body = 12 * layers * hidden**2
    loss = float(expected_loss(body, 50_304 * hidden, layers, hidden, tokens)) - easier
    return {"layers": layers, "hidden": hidden, "body": body, "vocab": 50_304, "tokens": int(tokens), "loss": loss}


def rows(count: int, easier: float = 0.2) -> list[dict[str, Any]]:
    return [row(*SHAPES[i % len(SHAPES)], (1 + i) * 1e10, easier) for i in range(count)]


def csv(path: Path, given: list[dict[str, Any]]) -> Path:
    lines = [",".join(given[0]), *(",".join(str(v) for v in each.values()) for each in given)]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_three_runs_move_the_level_alone() -> None:
    answer = calibrate_loss(rows(3))
    assert answer.fitted == "level"
    assert answer.before is not None
    assert answer.own.mean < 0.01 < answer.before.mean
    assert answer.left_out is not None


def test_many_runs_move_every_constant_and_predict_shapes_left_out() -> None:
    answer = calibrate_loss(rows(21))
    assert answer.fitted == "constants"
    assert answer.left_out is not None
    assert answer.left_out.mean < 0.01


def test_the_file_predicts_as_the_fit_did(tmp_path: Path) -> None:
    kept = tmp_path / "mine.toml"
    answer = calibrate_loss(rows(8), out=kept)
    held = own_law(kept)
    head = {"head": 50_304 * 768, "total": 0, "recipe": "own"}
    said = held.loss(runs_of([{**row(12, 768, 1e10), **head}]))
    first = answer.points[0]
    assert [first.after] == pytest.approx(list(said), abs=1e-5)  # type: ignore[arg-type]  # of one run
    assert (answer.rows, answer.shapes, answer.fitted) == (held.rows, held.shapes, held.fitted)


def test_a_prediction_takes_the_file_and_is_surer_than_by_a_published_law(tmp_path: Path) -> None:
    kept = str(tmp_path / "mine.toml")
    calibrate_loss(rows(14, easier=0.3), out=kept)
    own, shape, published = (dw.predict_loss("gpt2", 10**10, law=law) for law in (kept, "shape", "besiroglu-2024"))
    assert own.loss == pytest.approx(shape.loss - 0.3, abs=0.02)
    assert own.high - own.low < published.high - published.low


def test_a_model_its_columns_and_published_headings_say_the_same() -> None:
    tokens, losses = (10**10, 2 * 10**10, 4 * 10**10), (3.4, 3.3, 3.2)
    shapes = SHAPES[:3]
    by_model = [{"model": f"layers={n},hidden={d},vocab=50304"} for n, d in shapes]
    by_column = [{"layers": n, "hidden": d, "vocab": 50304} for n, d in shapes]
    by_heading = [{"d_model": d, "n_layers": n, "vocab": 50304, "tokenizer": "x"} for n, d in shapes]
    answers = [
        calibrate_loss([{**r, "tokens": t, "loss": x} for r, t, x in zip(each, tokens, losses, strict=True)])
        for each in (by_model, by_column, by_heading)
    ]
    assert answers[0].constants == answers[1].constants == answers[2].constants


def test_checkpoints_of_one_run_count_as_one() -> None:
    each = [{**r, "run": f"run {i % 4}"} for i, r in enumerate(rows(12))]
    assert calibrate_loss(each).fitted == "level"


def test_the_command_prints_one_object_or_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = csv(tmp_path / "runs.csv", rows(8))
    out = tmp_path / "mine.toml"
    for arguments in (["--json"], ["--out", str(out)]):
        with pytest.raises(SystemExit) as ended:
            main(["calibrate", "loss", str(runs), *arguments])
        assert ended.value.code == 0
    printed = capsys.readouterr().out
    first, table = printed.split("\n", 1)
    assert 8 == json.loads(first)["rows"]
    assert "shapes left out" in table
    assert str(out) in table


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("best_aspect", "1e-300", "no finite loss"),
        ("curvature", "1e15", "no finite loss"),
        ("aspect_drift", "-1e15", "no finite loss"),
        ("coupling", "1e15", "no finite loss"),
        ("coupling", "1e-15", "no finite loss"),
        ("capacity_power", "1e15", ""),
        ("capacity", "1e15", ""),
    ],
)
@pytest.mark.filterwarnings("error")
def test_constants_that_make_no_sense_end_in_a_line_or_a_number(
    tmp_path: Path, name: str, value: str, said: str
) -> None:
    kept = tmp_path / "mine.toml"
    calibrate_loss(rows(4), out=kept)
    kept.write_text(
        re.sub(rf"\n{name} = .*", f"\n{name} = {value}", kept.read_text("utf-8"), count=1), encoding="utf-8"
    )
    if said:
        with pytest.raises(BadInput, match=said):
            dw.predict_loss("gpt2", 10**10, law=str(kept))
    else:
        assert json.dumps(dw.predict_loss("gpt2", 10**10, law=str(kept), serve_tokens=10**9).to_dict(), allow_nan=False)


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    runs = csv(tmp_path / "ru\x1bns.csv", [row(*SHAPES[i], 10**18) for i in range(3)])
    answer = calibrate_loss(runs, out=tmp_path / "mine.toml")
    assert 10**18 == answer.ranges["tokens"][1] == own_law(tmp_path / "mine.toml").ranges["tokens"][1]


def test_a_law_file_is_as_open_to_others_as_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "any").touch()
    calibrate_loss(rows(3), out=tmp_path / "mine.toml")
    assert (tmp_path / "any").stat().st_mode == (tmp_path / "mine.toml").stat().st_mode


def test_nothing_is_written_where_nothing_can_be(tmp_path: Path) -> None:
    kept = tmp_path / "mine.toml"
    kept.write_text("as it was", encoding="utf-8")
    for out in (tmp_path / "missing" / "mine.toml", tmp_path / "mine.txt", tmp_path):
        with pytest.raises(BadInput):
            calibrate_loss(rows(3), out=out)
    with pytest.raises(BadInput):
        calibrate_loss(rows(2), out=kept)
    assert (["mine.toml"], "as it was") == ([p.name for p in tmp_path.iterdir()], kept.read_text("utf-8"))


def test_of_many_shapes_several_are_left_out_at_a_time() -> None:
    refits: list[int] = []

    def refit(runs: Runs) -> tuple[Fitted, ...]:
        refits.append(len(runs))
        return _shipped()

    many = runs_of({**row(4 + i, 512, 1e10), "head": 1, "total": 1, "recipe": "own"} for i in range(100))
    assert 100 == np.isfinite(held_out(refit, many, in_turn(many))).sum()
    assert len(refits) == MOST_LEFT_OUT
    assert all(95 <= left < 100 for left in refits)
    few = runs_of({**row(4 + i, 512, 1e10), "head": 1, "total": 1, "recipe": "own"} for i in range(5))
    assert [[shape] for shape in sorted(few.shapes)] == in_turn(few)


def test_the_laws_offered_are_those_that_can_be_fitted() -> None:
    assert set(LAWS) == set(OFFERED)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (rows(2), "too few"),
        ([{**r, "loss": -1} for r in rows(3)], "nats per token"),
        ([{"tokens": 1, "loss": 3.0}] * 3, "no shape"),
        ([{**r, "recipe": f"r{i}"} for i, r in enumerate(rows(3))], "not of one level"),
        ([{**r, "d_model": 5} for r in rows(3)], "say the same twice"),
        ([{**r, "tokens": 0} for r in rows(3)], "tokens=0 must be positive"),
        ([{**r, "widht": 5} for r in rows(3)], "no column called 'widht'"),
        ([{**r, "tokens": 10**300} for r in rows(3)], "tokens="),
        ([{**r, "body": 10**300} for r in rows(3)], "body="),
        ([{**r, "loss": 31} for r in rows(3)], "loss='31' must be a positive number of nats per token below 30"),
        ([{"model": m, "tokens": 10**9, "loss": 3} for m in ("gpt2", "linear=8x8", "gpt2-medium")], "without layers"),
        ([{"model": m, "tokens": 10**9, "loss": 3} for m in ("gpt2", "bert-base", "gpt2-medium")], "decoders"),
        ([row(12, 768, (1 + i) * 1e10) for i in range(4)], "4 losses of 1 shape are too few"),
    ],
)
def test_what_cannot_be_fitted_is_refused_in_one_line(given: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(BadInput, match=re.escape(message)) as refused:
        calibrate_loss(given)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('kind = "loss"', 'kind = "training"', "must be 'loss'"),
        ("floor = ", "flor = ", "did you mean floor"),
        ("coupling = ", "coupling = -", "must be a positive number"),
        ("rows = ", "rows = -", "must be a positive whole number"),
        ('law = "shape"', 'law = "shapes"', "cannot be fitted"),
        ("body = [", "body = 3 # [", "two numbers"),
        ("body = [", "body = [9, 1] # [", "two numbers"),
    ],
)
def test_a_law_file_is_read_strictly(tmp_path: Path, old: str, new: str, message: str) -> None:
    kept = tmp_path / "mine.toml"
    calibrate_loss(rows(4), out=kept)
    kept.write_text(kept.read_text("utf-8").replace(old, new, 1), encoding="utf-8")
    with pytest.raises(BadInput, match=re.escape(message)):
        own_law(kept)
