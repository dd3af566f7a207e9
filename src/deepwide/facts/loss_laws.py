"""Published laws of the loss: their constants, and the data and range they were fitted on, from loss_laws.toml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

from deepwide.errors import BadInput, did_you_mean
from deepwide.facts.tables import rows

Constants = TypeVar("Constants")


@dataclass(frozen=True, slots=True, kw_only=True)
class LossLaw:
    """One law, or one set of constants of it.

    form         the formula that the constants belong to
    counts       which parameters its size counts
    units        of what it computes: nats per token (of its own corpus and tokenizer), relative, ...
    fitted       size -> lowest and highest value among the fitted runs
    models       what it is about: dense models, those with experts, or any
    mae, rmse    of its own fit, where known
    """

    name: str
    form: str
    counts: str
    units: str
    constants: Mapping[str, float]
    fitted: Mapping[str, tuple[float, float]]
    data: str
    source: str
    checked: str
    models: str = "dense"
    mae: float | None = None
    rmse: float | None = None
    note: str = ""


@cache
def loss_laws() -> dict[str, LossLaw]:
    """Every published law, by name."""
    return {row.name: row for row in rows("loss_laws.toml", LossLaw)}


def loss_law(name: str) -> LossLaw:
    """The law of that name, or an error that suggests the nearest."""
    known = loss_laws()
    if name not in known:
        raise BadInput(f"no law of the loss called {name!r}{did_you_mean(name, known)}; known are {', '.join(known)}")
    return known[name]


def constants(name: str, kind: type[Constants]) -> Constants:
    """The constants of a law, as the letters of its formula."""
    return kind(**loss_law(name).constants)
