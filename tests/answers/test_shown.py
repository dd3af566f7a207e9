"""An answer shows itself: tables in HTML and rich, a data frame, a figure, all of them read off `to_dict()`."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from functools import cache
from typing import Any

import pytest

import deepwide as dw
from deepwide.answers.answer import Answer
from deepwide.answers.shown.figures import FIGURES, REPORTS, drawn
from deepwide.answers.shown.frames import ROWS, records
from deepwide.answers.shown.tables import MOST_ROWS, Table, tables
from deepwide.errors import BadInput

QUESTIONS = sorted(set(dw.__all__) - {"find_model", "models", "claims"})  # those that return one answer
MODEL = "like=llama,layers=4,hidden=256,heads=4,vocab=1000"


ASKED: dict[str, Callable[[], Answer]] = {
    "Count": lambda: dw.count(MODEL),
    "Memory": lambda: dw.memory(MODEL, on="h100"),
    "Inference": lambda: dw.predict_inference(MODEL, on="h100"),
    "Training": lambda: dw.predict_training(MODEL, on="h100", devices=8, tokens=10**9),
    "Loss": lambda: dw.predict_loss(MODEL, tokens=10**9),
    "Comparison": lambda: dw.compare([MODEL, f"{MODEL},layers=8"], on="h100"),
    "Explanation": lambda: dw.explain(MODEL),
    "Design": lambda: dw.design(parameters=10**8, on="h100", tokens=10**9, vocab=(32000,)),
    "ListedModel": lambda: dw.models("gpt2")[0],
}


@cache
def answer_of(kind: str) -> Answer:
    return ASKED[kind]()


def returned_by(question: str) -> type:
    function = getattr(dw, question)
    kind: type = function.__globals__[function.__annotations__["return"]]
    return kind


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_question_returns_an_answer_with_slots(question: str) -> None:
    kind = returned_by(question)
    assert issubclass(kind, Answer)
    assert [] == [base for base in kind.__mro__ if "__dict__" in vars(base)]


@pytest.mark.parametrize("kind", ASKED)
def test_html_holds_every_single_value(kind: str) -> None:
    answer = answer_of(kind)
    shown = answer._repr_html_()
    single = [name for name, value in answer.to_dict().items() if value and not isinstance(value, dict | list | tuple)]
    assert [] == [name for name in single if f">{name}</th>" not in shown]


@pytest.mark.parametrize("kind", ASKED)
def test_html_is_balanced_and_runs_nothing(kind: str) -> None:
    shown = answer_of(kind)._repr_html_()
    assert "<script" not in shown
    for tag in ("div", "table", "tr", "td", "th", "details"):
        assert len(re.findall(rf"<{tag}[ >]", shown)) == shown.count(f"</{tag}>")


def test_a_name_from_outside_is_text_and_not_html() -> None:
    answer = replace(dw.count(MODEL), model="<img src=x onerror=alert(1)>")
    assert "<img" not in answer._repr_html_()


def test_bytes_are_shown_with_their_unit() -> None:
    answer = dw.memory("llama-2-7b", on="h100")
    assert "<td>weights_bytes</td>" not in answer._repr_html_()
    assert dict(tables(answer)[0].rows)["weights_bytes"] == "12.55 GiB"


def test_a_long_table_says_how_much_it_leaves_out() -> None:
    answer = answer_of("Design")
    front = next(table for table in tables(answer) if table.caption == "front")
    assert len(records(answer)) == len(front.rows) + front.left_out
    assert len(front.rows) <= MOST_ROWS


@pytest.mark.parametrize("kind", ASKED)
def test_rich_prints_the_tables_in_sight(kind: str) -> None:
    from rich.console import Console

    console = Console(width=200, record=True, file=io.StringIO())
    console.print(answer_of(kind))
    said = console.export_text()
    first: Table = tables(answer_of(kind))[0]
    assert all(row[0] in said for row in first.rows)


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("kind", ASKED)
def test_a_frame_has_a_row_for_each_record(kind: str, library: str) -> None:
    frame = answer_of(kind).to_frame(library)
    assert len(records(answer_of(kind))) == len(frame)
    assert type(frame).__module__.startswith(library)


def test_a_frame_of_a_count_sums_to_its_total() -> None:
    answer = dw.count("gpt2")
    assert answer.total == answer.to_frame("pandas")["parameters"].sum()


def test_an_unknown_library_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BadInput, match="choose one of pandas, polars"):
        answer_of("Count").to_frame("spark")


def test_a_frame_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepwide.answers.shown.frames.find_spec", lambda name: None)
    with pytest.raises(BadInput, match="needs pandas or polars: pip install pandas"):
        answer_of("Count").to_frame()


@pytest.mark.parametrize("kind", ["Count", "Comparison", "Explanation", "Design"])
def test_an_answer_draws_its_figure(kind: str) -> None:
    figures = drawn(answer_of(kind))
    assert figures
    assert all(figure.data for figure in figures.values())


def test_the_bar_of_a_count_is_as_long_as_the_model() -> None:
    answer = dw.count("gpt2")
    assert answer.total == sum(trace.x[0] for trace in answer.plot().data)


def test_a_figure_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(BadInput, match="there are parameters"):
        answer_of("Count").plot("parameter")
    with pytest.raises(BadInput, match=r"Memory has no figure; these have: .*Count"):
        answer_of("Memory").plot()


def test_the_tables_of_kinds_name_answers_and_their_fields() -> None:
    kinds: dict[str, Any] = {returned_by(name).__name__: returned_by(name) for name in QUESTIONS}
    assert {*ROWS, *REPORTS, *FIGURES} <= set(kinds)
    for kind, key in ROWS.items():
        assert key in {field.name for field in fields(kinds[kind])}


def test_a_count_loads_nothing_that_shows_it() -> None:
    program = "import sys, deepwide; deepwide.count('gpt2'); print('deepwide.answers.shown' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "False" == ended.stdout.strip()
