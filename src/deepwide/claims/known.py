"""The catalogue of published models as the claims read it: sizes and counts of every model whose shape is public."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from statistics import median

from deepwide.answers.catalogue import ListedModel, models
from deepwide.answers.count import Count, Row, count
from deepwide.answers.models import find_model
from deepwide.architecture.sizes import int_or_none, sizes

BILLION = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """One published Transformer."""

    name: str
    year: int
    layers: int
    hidden: int
    heads: int
    head_dim: int
    ffn: int
    count: Count

    @property
    def aspect(self) -> float:
        """Hidden size per layer: large is wide, small is deep."""
        return self.hidden / self.layers

    @property
    def gated(self) -> bool:
        """Whether its FFN has a gate."""
        return bool(rows_of(self.count, "gate"))


@cache
def listed() -> dict[str, ListedModel]:
    """Every model of the catalogue, the undisclosed ones included."""
    return {each.name: each for each in models()}


@cache
def transformers() -> tuple[Known, ...]:
    """Every model of the catalogue with public sizes, attention heads and a dense FFN."""
    found = (_known(each.name, each.year) for each in listed().values() if each.parameters is not None)
    return tuple(each for each in found if each)


def _known(name: str, year: int) -> Known | None:
    own = sizes(find_model(name).described())
    heads, head_dim, ffn = (int_or_none(value) for value in (own.heads, own.head_dim, own.ffn))
    if not heads or not head_dim or not ffn:
        return None
    layers, hidden, counted = int(own.layers), int(own.hidden), count(name)
    return Known(
        name=name, year=year, layers=layers, hidden=hidden, heads=heads, head_dim=head_dim, ffn=ffn, count=counted
    )


def known(name: str) -> Known:
    """One of them, by its name."""
    return next(each for each in transformers() if each.name == name)


def between(low: float, high: float) -> list[Known]:
    """Those of a size, in parameters."""
    return [each for each in transformers() if low <= each.count.total <= high]


def share(of: Iterable[Known], has: Callable[[Known], bool]) -> float:
    """The share of models that have a property."""
    found = [has(each) for each in of]
    return sum(found) / len(found)


def middle(of: Iterable[Known], value: Callable[[Known], float]) -> float:
    """The median of a quantity over models."""
    return median(value(each) for each in of)


def rows_of(of: Count, *roles: str) -> list[Row]:
    """The rows of a count that play one of these roles."""
    return [row for row in of.rows if row.role in roles]


def parameters_of(of: Count, *roles: str) -> int:
    """Parameters of the rows that play one of these roles."""
    return sum(row.parameters for row in rows_of(of, *roles))
