"""The reports of design, compare and explain hold what the answers say, and files are written by the command line."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from deepwide.answers.compare import Comparison, compare
from deepwide.answers.design import Design, design
from deepwide.answers.explain import Explanation, explain
from deepwide.answers.report import Report, Table, html
from deepwide.answers.report.compare import compare_report
from deepwide.answers.report.design import design_report
from deepwide.answers.report.explain import explain_report
from deepwide.answers.report.parts import spelled

SMALL = "like=llama,layers=2,hidden=128,heads=2,ffn=256,vocab=1000"
TOKENS = 2 * 10**10


@cache
def designed() -> Design:
    return design(parameters=10**9, on="h100", tokens=TOKENS, layers=(8, 40), hidden=(1024, 4096))


@cache
def compared(on: str = "h100") -> Comparison:
    return compare(["gpt2", "gpt2,layers=24,hidden=512"], on=on, tokens=TOKENS)


@cache
def explained(model: str = "gpt2", on: str = "h100") -> Explanation:
    return explain(model, on=on, tokens=TOKENS)


def tables(report: Report) -> list[Table]:
    return [each for section in report.sections for each in section.content if isinstance(each, Table)]


def names(report: Report) -> list[str]:
    return [picture.name for picture in report.pictures()]


def test_a_design_is_reported_with_all_of_its_figures():
    assert ["depth", "front", "aspects", "parameters", "roofline"] == names(design_report(designed()))


def test_the_recommended_shape_is_the_marked_row_and_the_star():
    report = design_report(designed())
    best = designed().recommended
    marked = next(t.rows[t.marked] for t in tables(report) if t.marked >= 0)
    assert (f"{best['layers']}", f"{best['hidden']:,}") == marked[:2]
    stars = [t for t in report.pictures()[1].figure.data if t.marker.symbol == "star"]
    assert [((1e3 * best["decode_s"],), (best["loss"],))] == [(star.x, star.y) for star in stars]


def test_the_depth_figure_shows_the_rows_of_the_table():
    shown = design_report(designed()).pictures()[0].figure.data[2]
    rows = sorted(designed().table, key=lambda row: (row["layers"], row["decode_s"]))
    assert [(row["layers"], row["loss"]) for row in rows] == list(zip(shown.x, shown.y, strict=True))


def test_the_bill_of_training_is_reported_where_a_cluster_is_given():
    assert "Training it" not in html(design_report(designed()))
    bill = {"step_s": 2.0, "usd": 1200.0}
    told = {**bill, "low": bill, "high": bill, "plan_words": "tp 1", "devices": 64, "runtime": "fsdp"}
    training = next(t for t in tables(design_report(replace(designed(), training=told))) if "plan" in t.caption)
    assert (("step", "2 s", "2 s", "2 s"), ("US dollars", "1,200", "1,200", "1,200")) == training.rows


def test_a_comparison_is_reported_with_every_verdict():
    report = compare_report(compared())
    verdicts = tables(report)[1]
    assert [v.criterion for v in compared().verdict] == [row[0] for row in verdicts.rows]
    assert all(v.text in row[-1] for v, row in zip(compared().verdict, verdicts.rows, strict=True))
    assert ["quality-and-speed", "parameters", "aspects"] == names(report)


def test_without_an_accelerator_there_is_no_figure_of_time():
    assert "quality-and-speed" not in names(compare_report(compared(on="")))
    assert "roofline" not in names(explain_report(explained(on="")))


def test_an_explanation_is_reported_with_its_other_shapes():
    report = explain_report(explained())
    others, tenths = tables(report)
    assert ["as it is", *(c.label for c in explained().counterfactuals)] == [row[0] for row in others.rows]
    assert [s.size for s in explained().sensitivities] == [row[0] for row in tenths.rows]
    assert ["depth", "parameters", "roofline", "aspects"] == names(report)


@pytest.mark.parametrize("model", ["mixtral-8x7b", "t5-base", "bert-base-uncased", "falcon-mamba-7b", SMALL])
def test_models_of_every_kind_can_be_reported(model: str):
    assert "</html>" in html(explain_report(explained(model)))
    assert "</html>" in html(compare_report(compare([model, "gpt2"], on="h100", tokens=TOKENS)))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("loss", 2.4, "2.400"),
        ("fill", 0.966, "96.6%"),
        ("decode_s", 0.007, "7 ms"),
        ("weight_bytes", 2**30, "1.00 GiB"),
        ("training_flops_per_token", 2e12, "2.00 TFLOP"),
        ("kernels", 12345, "12,345"),
        ("usd", 14809.59, "14,810"),
        ("parameters_per_token", 0.05, "0.05"),
        ("step_s", None, "–"),
    ],
)
def test_the_end_of_a_name_says_how_its_quantity_is_spelled(name: str, value: Any, expected: str):
    assert expected == spelled(name, value)


def run(*arguments: str, hide: str = "") -> subprocess.CompletedProcess[str]:
    hidden = f"import sys; sys.modules[{hide!r}] = None; " if hide else ""
    program = f"{hidden}from deepwide.__main__ import main; main()"
    return subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)


def test_the_command_line_writes_a_report_that_names_the_command(tmp_path: Path):
    path = tmp_path / "out.html"
    ended = run("explain", "gpt2", "--tokens", "20B", "--html", str(path), "--json")
    assert 0 == ended.returncode, ended.stderr
    assert f"wrote {path}\n" == ended.stderr
    assert ended.stdout.startswith("{")
    assert ["deepwide explain gpt2 --tokens 20B"] == re.findall("<pre>(.*)</pre>", path.read_text("utf-8"))


def test_the_command_line_writes_figures_one_by_one(tmp_path: Path):
    ended = run("compare", "gpt2", "gpt2-medium", "--plots", str(tmp_path))
    assert 0 == ended.returncode, ended.stderr
    assert {"parameters.html", "aspects.html"} == {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize(
    ("hide", "folder", "told"),
    [("plotly", ".", "figures need plotly: pip install 'deepwide[plots]'"), ("", "nowhere", "there is no folder")],
)
def test_what_stands_in_the_way_of_a_file_is_one_line(tmp_path: Path, hide: str, folder: str, told: str):
    ended = run("explain", "gpt2", "--html", str(tmp_path / folder / "out.html"), hide=hide)
    assert 2 == ended.returncode
    assert told in ended.stderr
    assert 1 == ended.stderr.count("\n")
    assert not ended.stdout
    assert not list(tmp_path.iterdir())


def test_plotly_is_not_loaded_for_an_answer_without_a_file():
    program = (
        "import sys\nfrom deepwide.__main__ import main\n"
        "try:\n    main()\nfinally:\n    print('plotly' in sys.modules, file=sys.stderr)"
    )
    command = [sys.executable, "-c", program, "explain", "gpt2", "--json"]
    assert "False\n" == subprocess.run(command, capture_output=True, text=True, check=False).stderr
