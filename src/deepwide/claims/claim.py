"""What a claim is: a statement, a function that computes its numbers and judges them, and what each verdict means.

A claim's text stands beside the verdict that it explains. Where changed numbers bring another verdict, there is no text
for it, and the book says so (a test fails) until somebody has written one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Verdict(StrEnum):
    """What the numbers say of a statement."""

    HOLDS = "holds"
    WHEN = "holds when"
    WRONG = "wrong"
    UNDECIDED = "not decidable from public data"


class Text(NamedTuple):
    """The same words in both languages of the book; numbers stand in braces, by their names."""

    en: str
    zh: str

    def told(self, language: str) -> str:
        """The words in one of the languages."""
        return self.zh if language == "zh" else self.en


class Source(StrEnum):
    """What a claim's numbers rest on."""

    COUNTED = "counted"
    CATALOGUE = "catalogue"
    MEMORY = "memory"
    TIMED = "timed"
    LAW = "law"
    BILLED = "billed"
    MEASURED = "measured"
    NONE = "none"


Number = int | float | str


class Finding(NamedTuple):
    """A verdict and the numbers that it follows from, named like all quantities: the unit is the end of the name."""

    verdict: Verdict
    numbers: dict[str, Number]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A statement of a document, in the project's own words; `because` explains every verdict that is expected."""

    id: str
    says: Text
    source: Source
    because: dict[Verdict, Text]
    judge: Callable[[], Finding]

    @property
    def document(self) -> str:
        """The document that states it."""
        return self.id.partition("-")[0]

    @property
    def how(self) -> str:
        """How it is computed, in one line."""
        return (self.judge.__doc__ or "").strip().partition("\n")[0]


REGISTER: dict[str, Claim] = {}


def claim(
    id: str,
    en: str,
    zh: str,
    *,
    source: Source,
    holds: tuple[str, str] | None = None,
    when: tuple[str, str] | None = None,
    wrong: tuple[str, str] | None = None,
    unknown: tuple[str, str] | None = None,
) -> Callable[[Callable[[], Finding]], Callable[[], Finding]]:
    """Enters a judging function in the book, under the statement that it judges."""
    said = {Verdict.HOLDS: holds, Verdict.WHEN: when, Verdict.WRONG: wrong, Verdict.UNDECIDED: unknown}
    because = {verdict: Text(*pair) for verdict, pair in said.items() if pair}

    def entered(judge: Callable[[], Finding]) -> Callable[[], Finding]:
        if id in REGISTER:
            raise ValueError(f"claim {id} is entered twice")
        REGISTER[id] = Claim(id=id, says=Text(en, zh), source=source, because=because, judge=judge)
        return judge

    return entered


def finding(verdict: Verdict | bool, **numbers: Number) -> Finding:
    """A finding; True holds, False is wrong."""
    judged = verdict if isinstance(verdict, Verdict) else Verdict.HOLDS if verdict else Verdict.WRONG
    return Finding(judged, numbers)


def among(cases: Iterable[bool]) -> Verdict:
    """Holds in all cases, in none, or in some of them."""
    seen = list(cases)
    return Verdict.HOLDS if all(seen) else Verdict.WHEN if any(seen) else Verdict.WRONG


def near(value: float, stated: float, share: float) -> bool:
    """Whether a value is within a share of what is stated."""
    return abs(value / stated - 1) <= share
