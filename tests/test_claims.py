"""The claims book: verdicts follow from numbers, every verdict has its text, and the pages say what the book says."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import deepwide as dw
from deepwide.claims import book, measured
from deepwide.claims.book import answered, find_claim, listed
from deepwide.claims.claim import Finding, Source, Verdict, among, finding
from deepwide.claims.deep_or_wide import deep_or_wide_page
from deepwide.claims.page import book_page
from deepwide.claims.words import DOCUMENTS, LANGUAGES
from deepwide.cli.claims import command
from deepwide.errors import BadInput
from deepwide.facts.experiments import Experiment, experiments

DOCS = Path(__file__).parents[1] / "docs"
IDS = [claim.id for claim in listed()]
MEASURED = [claim.id for claim in listed() if claim.source is Source.MEASURED]
CHINESE = re.compile(r"[\u4e00-\u9fff]")


@pytest.mark.parametrize("id", IDS)
def test_every_verdict_has_the_text_that_explains_it(id: str) -> None:
    entry = answered(id)
    assert entry.explained, f"{id} is now {entry.verdict}: {entry.numbers}"
    assert "{" not in entry.why.en + entry.why.zh


@pytest.mark.parametrize("id", IDS)
def test_every_claim_is_stated_in_both_languages_and_says_how_it_is_computed(id: str) -> None:
    claim = find_claim(id)
    assert not CHINESE.search(claim.says.en)
    assert CHINESE.search(claim.says.zh)
    assert claim.how.endswith(".")


def test_each_document_is_in_the_book_and_the_book_has_more_than_sixty_claims() -> None:
    assert set(DOCUMENTS) == {claim.document for claim in listed()}
    assert 60 < len(IDS)


@pytest.mark.parametrize(
    ("id", "verdict"),
    [
        ("000-07", Verdict.WRONG),  # Q, K, V have 3·hidden²/heads
        ("000-11", Verdict.WRONG),  # the embedding is quadratic
        ("003-16", Verdict.WRONG),  # quadratic in layers
        ("003-18", Verdict.WRONG),  # FFN counted twice
        ("003-22", Verdict.WRONG),  # exponential growth
        ("004-13", Verdict.WHEN),  # twice the width in far less than twice the time
        ("001-27", Verdict.WHEN),  # deep is better
        ("004-17", Verdict.WHEN),  # wide is better
        ("002-19", Verdict.WHEN),  # 13B in INT4 in 12 GB
    ],
)
def test_what_is_known_to_be_wrong_or_half_true_comes_out_so(id: str, verdict: Verdict) -> None:
    assert verdict is answered(id).verdict


def test_the_example_is_printed_as_180_million_where_123_are_right() -> None:
    numbers = answered("003-18").numbers
    assert (179_976_192, 123_373_056) == (numbers["printed"], numbers["counted"])


def test_decode_takes_time_in_proportion_to_bytes_and_a_short_prompt_does_not() -> None:
    numbers: dict[str, Any] = answered("004-13").numbers
    assert pytest.approx(numbers["bytes_ratio"], rel=0.01) == numbers["kernel_ratio"]
    assert 1.5 > max(numbers["slice_ratio"], numbers["prompt_ratio"])
    assert 1.5 < min(numbers["decode_ratio"], numbers["slow_ratio"], numbers["long_ratio"])


def test_thirteen_billion_fit_twelve_gigabytes_up_to_the_context_that_memory_states() -> None:
    longest = int(answered("002-19").numbers["longest"])
    load = {"on": "rtx-3060-12gb", "weights": "int4"}
    assert dw.memory("llama-2-13b", context=longest, **load).fits
    assert not dw.memory("llama-2-13b", context=longest + 1, **load).fits


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("page", [book_page, deep_or_wide_page], ids=["claims", "deep-or-wide"])
def test_the_pages_are_up_to_date(page: Any, language: str) -> None:
    name = {"book_page": "claims", "deep_or_wide_page": "deep-or-wide"}[page.__name__]
    path = DOCS / (f"{name}.md" if language == "en" else f"{name}.{language}.md")
    assert page(language) == path.read_text("utf-8"), "write them anew: deepwide claims --write docs"


class Drawn(dict[str, float]):
    """Figures of an experiment that are drawn when they are asked for."""

    def __init__(self, data: st.DataObject) -> None:
        super().__init__()
        self.data = data

    def __missing__(self, name: str) -> float:
        self[name] = self.data.draw(st.floats(0.001, 100), label=name)
        return self[name]


@pytest.mark.parametrize("id", MEASURED)
@given(data=st.data())
def test_whatever_is_measured_the_verdict_has_a_text(id: str, data: st.DataObject) -> None:
    claim = find_claim(id)
    with pytest.MonkeyPatch.context() as patch:
        drawn = Drawn(data)
        patch.setattr(sys.modules[claim.judge.__module__], "measured", lambda name: drawn)
        judged = claim.judge()
    said = claim.because[judged.verdict]
    assert said.en.format(**judged.numbers) != said.zh.format(**judged.numbers)


@pytest.mark.parametrize("id", MEASURED)
def test_what_is_not_measured_is_undecided_and_says_what_to_run(id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Experiment(name="any", asks="what", command="deepwide probe all", checked="2026-11-22")
    monkeypatch.setattr(measured, "experiments", lambda: dict.fromkeys(experiments(), run))
    answered.cache_clear()
    entry = answered(id)
    answered.cache_clear()
    assert Verdict.UNDECIDED is entry.verdict
    assert "Not measured yet: run deepwide probe all." == entry.why.en


def test_a_verdict_without_its_text_is_shown_as_unexplained(monkeypatch: pytest.MonkeyPatch) -> None:
    claim = find_claim("000-07")
    changed = replace(claim, judge=lambda: finding(True))
    monkeypatch.setattr(book, "find_claim", lambda id: changed)
    answered.cache_clear()
    entry = answered("000-07")
    answered.cache_clear()
    assert (Verdict.HOLDS, False) == (entry.verdict, entry.explained)
    assert "no longer" in entry.why.en


def test_one_claim_computes_no_other() -> None:
    answered.cache_clear()
    answered("000-03")
    assert 1 == answered.cache_info().currsize


def test_among_holds_in_all_in_none_or_in_some() -> None:
    assert [Verdict.HOLDS, Verdict.WRONG, Verdict.WHEN] == [among(c) for c in ([1 > 0], [1 < 0], [1 > 0, 1 < 0])]
    assert Finding(Verdict.WRONG, {"a": 1}) == finding(False, a=1)


def test_an_experiment_states_its_command_and_what_it_asks() -> None:
    for experiment in experiments().values():
        assert experiment.asks
        assert experiment.command.startswith(("deepwide ", "python benchmarks/"))
        assert experiment.figures is None or experiment.machine


def ask(*arguments: str) -> Any:
    return CliRunner().invoke(command, list(arguments), catch_exceptions=False)


def test_the_command_lists_the_wrong_ones_of_a_document_as_json() -> None:
    found = json.loads(ask("--document", "3", "--verdict", "wrong", "--json").stdout)["claims"]
    assert {("003", "wrong")} == {(each["document"], each["verdict"]) for each in found}
    assert {"en", "zh"} == set(found[0]["statement"])


def test_the_command_prints_one_line_a_claim() -> None:
    lines = [line for line in ask("--document", "000").stdout.splitlines() if " 000-" in line]
    assert [id for id in IDS if id.startswith("000")] == [line.split()[1] for line in lines]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_command_shows_one_claim_with_its_numbers_and_its_code(language: str) -> None:
    shown = ask("show", "003-01", "--language", language).stdout
    assert "93,600,864" in shown
    assert "def judge" in shown


def test_an_unknown_claim_or_document_is_refused_in_one_line() -> None:
    with pytest.raises(BadInput, match="no claim '000-7'; did you mean"):
        ask("show", "000-7")
    with pytest.raises(BadInput, match="document='9' is none of 000, 001, 002, 003, 004"):
        ask("--document", "9")
