"""A few of a user's own training runs fit a law of the loss: what comes out, what is written, what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import deepwide as dw
from deepwide.answers.calibrate_loss import calibrate_loss
from deepwide.cli.calibrate_loss import LAWS as OFFERED
from deepwide.cli.main import main
from deepwide.errors import BadInput
from deepwide.quality.forms import LAWS
from deepwide.quality.law_file import own_law
from deepwide.quality.runs import runs_of
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
    ],
)
def test_a_law_file_is_read_strictly(tmp_path: Path, old: str, new: str, message: str) -> None:
    kept = tmp_path / "mine.toml"
    calibrate_loss(rows(4), out=kept)
    kept.write_text(kept.read_text("utf-8").replace(old, new, 1), encoding="utf-8")
    with pytest.raises(BadInput, match=re.escape(message)):
        own_law(kept)
