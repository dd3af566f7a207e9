"""Runs listed, shown beside their predictions, compared, and exported: the answers and the command."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest

from deepwide.answers.runs import compare_runs, export_runs, run, runs
from deepwide.cli.curves import print_curves
from deepwide.cli.runs import command
from deepwide.errors import BadInput
from deepwide.lab.store import create

CORPUS = {"source": "python", "sha256": "ab" * 32, "tokenizer": "bytes", "vocab": 256}
PREDICTED = {"tokens_per_s": {"value": 100.0, "low": 50.0, "high": 200.0}, "loss": 2.5, "note": "by hand"}


def trained(
    root: Path,
    name: str,
    *,
    floor: float = 2.0,
    tokens_per_s: float = 100.0,
    steps: int = 8,
    done: bool = True,
    **manifest: Any,
) -> None:
    """A run whose loss falls straight from floor + 1 to floor over 800 tokens, validated at every second step."""
    shape = {"layers": 4, "hidden": 128, "parameters": 800_000}
    asked = {"model": "like=llama,layers=4", "architecture": shape, "corpus": CORPUS, "seed": 0, **manifest}
    made = create(root, name, {**asked, "predicted": PREDICTED})
    with made.lock():
        for step in range(steps + 1):
            loss = floor + 1 - step / 8
            row = {"step": step, "tokens": 100 * step, "loss": loss, "tokens_per_s": tokens_per_s}
            validated = {} if step % 2 else {"validation_loss": loss}
            made.log({**row, **validated, "seconds": 100 * step / tokens_per_s})
        if done:
            made.finish({"tokens_per_s": tokens_per_s, "loss": floor})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    trained(tmp_path, "a")
    trained(tmp_path, "b", floor=1.9, tokens_per_s=50.0, seed=1)
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    command.main([*arguments], prog_name="deepwide runs", standalone_mode=False)
    said = capsys.readouterr()
    assert "" == said.err
    return said.out


def test_the_list_has_every_run_with_its_last_numbers(root: Path) -> None:
    found = {each.name: each for each in runs(root).runs}
    assert ("finished", 8, 800.0, 2.0, 100.0) == (
        found["a"].status,
        found["a"].step,
        found["a"].tokens,
        found["a"].validation_loss,
        found["a"].tokens_per_s,
    )
    assert {"a", "b"} == found.keys()


def test_no_runs_yet_is_no_error_but_a_folder_that_is_not_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPWIDE_RUNS", str(tmp_path / "none"))
    assert () == runs().runs
    assert "deepwide train" in runs().notes[0]
    with pytest.raises(BadInput, match="is no folder"):
        runs(tmp_path / "none")


def test_prediction_stands_beside_measurement(root: Path) -> None:
    found = {each.name: each for each in run("b", root).measures}
    assert {"tokens_per_s", "loss"} == found.keys()
    rate = found["tokens_per_s"]
    assert (100.0, 50.0, 200.0, 50.0) == (rate.predicted, rate.low, rate.high, rate.measured)
    assert 1.9 == found["loss"].measured


def test_of_an_unfinished_run_only_rates_are_measured(root: Path) -> None:
    trained(root, "c", steps=3, done=False)
    found = {each.name: each.measured for each in run("c", root).measures}
    assert {"tokens_per_s": 100.0, "loss": None} == found


def test_losses_are_compared_after_equal_tokens_and_after_equal_seconds(root: Path) -> None:
    found = compare_runs(["a", "b"], root)
    assert [200, 400, 800] == [each.at for each in found.at_tokens]
    assert (2.0, pytest.approx(1.9)) == found.at_tokens[-1].validation_loss
    assert {"b"} == {each.best for each in found.at_tokens}
    assert [2.0, 4.0, 8.0] == [each.at for each in found.at_seconds]
    assert (2.0, pytest.approx(2.4)) == found.at_seconds[-1].validation_loss
    assert "a" == found.at_seconds[-1].best


def test_between_two_validations_the_loss_is_on_the_straight_line(root: Path) -> None:
    trained(root, "short", steps=6)
    assert (2.8125, 2.8125) == compare_runs(["a", "short"], root).at_tokens[0].validation_loss


def test_what_is_the_same_is_said_once_and_what_differs_side_by_side(root: Path) -> None:
    found = compare_runs(["a", "b"], root)
    assert {"seed": (0, 1)} == found.different
    assert (4, 256) == (found.same["architecture.layers"], found.same["corpus.vocab"])
    assert found.comparable


@pytest.mark.parametrize(
    ("changed", "note"),
    [({"sha256": "cd" * 32}, "different corpus"), ({"tokenizer": "bpe", "vocab": 1024}, "different tokenizer")],
)
def test_runs_on_other_text_or_other_tokens_are_not_ranked(root: Path, changed: dict[str, Any], note: str) -> None:
    trained(root, "c", corpus={**CORPUS, **changed})
    found = compare_runs(["a", "c"], root)
    assert not found.comparable
    assert any(note in each for each in found.notes)
    assert {None} == {each.best for each in (*found.at_tokens, *found.at_seconds)}


def test_runs_that_are_equally_good_have_no_best(root: Path) -> None:
    trained(root, "c")
    assert {None} == {each.best for each in compare_runs(["a", "c"], root).at_tokens}


def test_a_run_that_logged_nothing_can_be_compared(root: Path) -> None:
    create(root, "c", {"model": "gpt2", "corpus": CORPUS})
    found = compare_runs(["a", "c"], root)
    assert ((), ()) == (found.at_tokens, found.at_seconds)
    assert "c: nothing was logged yet" in found.notes


@pytest.mark.parametrize("names", [["a"], ["a", "a"], [str(i) for i in range(27)]])
def test_one_run_or_too_many_are_not_compared(root: Path, names: list[str]) -> None:
    with pytest.raises(BadInput, match=r"runs to compare; give the names of 2 to 26"):
        compare_runs(names, root)


def test_csv_has_every_row_and_losses_that_read_back_exactly(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    out.write_text("what was there is replaced")
    assert (2, 18) == (export_runs(root=root, out=str(out)).runs, export_runs(root=root, out=str(out)).rows)
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert ["a"] * 9 + ["b"] * 9 == [row["run"] for row in rows]
    assert [float(row["loss"]) for row in rows[9:]] == [row["loss"] for row in run("b", root).metrics]
    assert ("like=llama,layers=4", "128", "800", "") == (
        rows[0]["model"],
        rows[0]["hidden"],
        rows[8]["tokens"],
        rows[1]["validation_loss"],
    )


def test_parquet_has_the_same_rows_with_their_types(root: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    export_runs(["b"], root, out=str(tmp_path / "out.parquet"))
    table = parquet.read_table(tmp_path / "out.parquet")
    assert (9, "string", "int64", "double") == (
        table.num_rows,
        *(str(table.schema.field(name).type) for name in ("run", "tokens", "loss")),
    )


def test_parquet_without_pyarrow_says_what_to_install(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(BadInput, match="pip install pyarrow"):
        export_runs(root=root, out=str(tmp_path / "out"), to="parquet")
    assert not (tmp_path / "out").exists()


def test_an_export_of_nothing_or_to_nowhere_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="there are no runs"):
        export_runs(root=tmp_path / "empty", out=str(tmp_path / "out.csv"))
    with pytest.raises(BadInput, match="there is no folder"):
        export_runs(root=root, out=str(tmp_path / "none" / "out.csv"))
    with pytest.raises(BadInput, match="no run called 'x'"):
        export_runs(["x"], root, out=str(tmp_path / "out.csv"))


@pytest.mark.parametrize("arguments", [(), ("show", "a"), ("compare", "a", "b"), ("export", "--out", "OUT")])
def test_json_is_one_object_and_nothing_else(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    words = [str(tmp_path / "out.csv") if word == "OUT" else word for word in arguments]
    trained(root, "diverged", floor=math.nan)
    assert told(capsys, *words, "--root", str(root)).strip()
    after, before = (
        told(capsys, *words, "--root", str(root), "--json"),
        told(capsys, "--root", str(root), "--json", *words),
    )
    assert json.loads(after) == json.loads(before)
    assert isinstance(json.loads(after), dict)


def test_the_list_shows_runs_of_every_status(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained(root, "c", steps=2, done=False)
    (root / "d").mkdir()
    (root / "d" / "manifest.json").write_text("{")
    said = told(capsys, "--root", str(root))
    assert all(word in said for word in ("finished", "interrupted", "unreadable", "800.00k", "2.0000"))
    assert "note: d: manifest.json is not JSON" in said


def test_a_run_is_shown_with_its_curve_its_prediction_and_its_settings(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = told(capsys, "show", "b", "--root", str(root))
    assert all(word in said for word in ("━━ validation loss", "50 to 200", "-50.0%", "abababababab", "step 8"))


def test_a_comparison_shows_letters_losses_and_why_not_to_compare(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(root, "c", corpus={**CORPUS, "sha256": "cd" * 32})
    said = told(capsys, "compare", "a", "c", "--root", str(root))
    assert all(word in said for word in ("A  a", "B  c", "validation loss at 800 tokens", "different corpus"))


def test_control_characters_of_a_manifest_do_not_reach_the_terminal(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wild = "\x1b]0;mine\x07\ud800"
    trained(root, "w", model=f"gpt2{wild}", recipe={f"x{wild}": wild}, kernels={"dtype": wild})
    said = "".join(told(capsys, *words, "--root", str(root)) for words in ((), ("show", "w"), ("compare", "a", "w")))
    assert not {"\x1b", "\x07", "\ud800"} & set(said)


def test_a_curve_falls_from_the_top_left_to_the_bottom_right(capsys: pytest.CaptureFixture[str]) -> None:
    print_curves([("loss", [(0.0, 5.0), (100.0, 1.0)], "blue")], str, str)
    lines = capsys.readouterr().out.splitlines()
    at = [next((i for i, c in enumerate(line[11:]) if 0x2800 < ord(c) < 0x2900), None) for line in lines[:12]]
    assert sorted(x for x in at if x is not None) == at
    assert (0, True) == (at[0], (at[-1] or 0) > 60)
    assert ("5.0 ┤", "1.0 ┤") == (lines[0][:11].strip(), lines[11][:11].strip())


def test_a_first_fall_is_cut_off_where_it_would_flatten_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    print_curves([("loss", [(0.0, 9.0), (1.0, 3.0), (100.0, 1.0)], "blue")], "{:.2f}".format, "{:.2f}".format)
    assert "2.96 ┤" in capsys.readouterr().out.splitlines()[0]


def test_a_single_point_or_none_is_not_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    print_curves([("loss", [(1.0, 5.0)], "blue"), ("validation loss", [], "yellow")], str, str)
    assert "" == capsys.readouterr().out
