"""The book: every claim in order, each computed when it is asked for and never before."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from deepwide.answers.answer import Answer
from deepwide.claims import words
from deepwide.claims.claim import REGISTER, Claim, Finding, Number, Text, Verdict
from deepwide.claims.measured import NotMeasured
from deepwide.claims.words import SOURCES, UNEXPLAINED, UNMEASURED, spelled
from deepwide.errors import BadInput, did_you_mean

# The modules that enter claims, by document.
THEMES = (
    *("hidden", "growth"),
    *("depth", "depth_costs", "practice"),
    *("anatomy", "memory"),
    *("scale", "formulas", "training", "adapting"),
    *("hardware", "latency", "ffn", "theory"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry(Answer):
    """A claim with its verdict, its numbers and why; `explained` is False where the verdict is not the text's."""

    claim: Claim
    verdict: Verdict
    numbers: dict[str, Number]
    why: Text
    explained: bool

    def to_dict(self) -> dict[str, Any]:
        """The entry as plain values."""
        return {
            "id": self.claim.id,
            "document": self.claim.document,
            "statement": self.claim.says._asdict(),
            "verdict": str(self.verdict),
            "why": self.why._asdict(),
            "numbers": self.numbers,
            "how": self.claim.how,
            "source": SOURCES[self.claim.source].en,
        }


@cache
def listed() -> tuple[Claim, ...]:
    """Every claim, in the order of the documents."""
    for theme in THEMES:
        import_module(f"deepwide.claims.{theme}")
    return tuple(REGISTER[id] for id in sorted(REGISTER))


def find_claim(id: str) -> Claim:
    """The claim of that id; BadInput suggests the nearest."""
    known = {each.id: each for each in listed()}
    if id not in known:
        raise BadInput(f"no claim {id!r}{did_you_mean(id, known)}; `deepwide claims` lists them")
    return known[id]


@cache
def answered(id: str) -> Entry:
    """One claim, computed now."""
    found = find_claim(id)
    try:
        judged = found.judge()
    except NotMeasured as missing:
        command: dict[str, Number] = {"command": missing.experiment.command}
        return _entry(found, Finding(Verdict.UNDECIDED, command), UNMEASURED)
    return _entry(found, judged, found.because.get(judged.verdict))


def _entry(of: Claim, judged: Finding, why: Text | None) -> Entry:
    told = Text(*(_filled(said, judged.numbers, at) for at, said in (why or UNEXPLAINED)._asdict().items()))
    return Entry(claim=of, verdict=judged.verdict, numbers=judged.numbers, why=told, explained=why is not None)


def _filled(said: str, numbers: dict[str, Number], language: str) -> str:
    return said.format(**{name: spelled(name, value, language) for name, value in numbers.items()})


def claims(
    document: str = "", verdict: str = "", progress: Callable[[str], None] = lambda id: None
) -> tuple[Entry, ...]:
    """All claims, or those of a document, or with a verdict, computed; `progress` hears of each before it is.

    >>> claims("003", "wrong")[0].verdict
    <Verdict.WRONG: 'wrong'>
    """
    own = words.document(document) if document else ""
    wanted = words.verdict(verdict) if verdict else None
    return tuple(entry for entry in _computed(own, progress) if wanted in (None, entry.verdict))


def _computed(document: str, progress: Callable[[str], None]) -> Iterable[Entry]:
    for each in listed():
        if document in ("", each.document):
            progress(each.id)
            yield answered(each.id)
