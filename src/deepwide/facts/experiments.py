"""What the lab measured: one table an experiment, from experiments.toml, with the command that repeats it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from deepwide.facts.tables import rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One experiment. `figures` are what it measured, by name; None of an experiment that has not been run.

    asks         the question, in a line
    command      repeats it
    machine      that it ran on
    """

    name: str
    asks: str
    command: str
    checked: str
    machine: str = ""
    figures: Mapping[str, float] | None = None
    note: str = ""


@cache
def experiments() -> dict[str, Experiment]:
    """Every experiment that a claim rests on, by name: run or not."""
    return {row.name: row for row in rows("experiments.toml", Experiment)}
