"""The limits of a design: how much of each is used, which of them bind, and what a little more of one would buy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from deepwide import units
from deepwide.answers.design.question import Question
from deepwide.answers.design.rows import SIZES
from deepwide.design.pricing import Limit, Purpose
from deepwide.design.search import Tally, row, tally
from deepwide.design.space import Space, spelled

MORE = 1.1  # of a limit, when it is asked what more of it would buy
NEIGHBOURHOOD = (0.7, 1.5)  # times layers and hidden of the best: where the best under a slightly wider limit lies
BINDS_NATS = 1e-4  # a limit whose widening lowers the loss by less is not what holds the design


def usd(value: float) -> str:
    """Dollars."""
    return f"${value:,.0f}"


def days(value: float) -> str:
    """Days."""
    return f"{value:,.3g} days"


# Column of a limit -> what it limits, and how its values are written.
NAMES: dict[str, tuple[str, Callable[[float], str]]] = {
    "parameters": ("parameters", units.count),
    "memory_bytes": ("memory of a device that serves", units.size),
    "train_memory_bytes": ("memory of a device that trains", units.size),
    "decode_s": ("time of a token", units.duration),
    "ttft_s": ("time to the first token", units.duration),
    "slowness": ("time of a token over the usual shape's", lambda share: f"{share:.3f}"),
    "flops": ("FLOPs", lambda value: f"{value:.3g}"),
    "days": ("days of training", days),
    "usd": ("cost of training", usd),
    "kg_co2e": ("carbon of training", lambda value: f"{value:,.3g} kg CO2e"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitRow:
    """One limit: the most, what the recommended shape takes of it, and the loss that a tenth more of it would save.

    `buys` is that shape as a MODEL; binding: whether the limit holds the design back at all.
    """

    limit: str
    words: str
    most: float
    value: float
    share: float
    binding: bool
    saves_nats: float
    buys: str | None

    def to_dict(self) -> dict[str, Any]:
        """The row as plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """A limit that cannot be met: the most, what the nearest shape needs, and how many times too much that is."""

    limit: str
    words: str
    most: float
    needs: float
    times: float

    def to_dict(self) -> dict[str, Any]:
        """The row as plain values."""
        return asdict(self)


def limit_rows(asked: Question, best: dict[str, Any]) -> tuple[LimitRow, ...]:
    """Every limit, those that bind first; the neighbourhood of the best shape is searched again under wider ones."""
    near = replace(asked.purpose, space=_around(asked.purpose.space, best))
    lowest = float(tally(near).best["loss"][0])
    rows = [_limit_row(near, best, limit, lowest) for limit in near.limits]
    return tuple(sorted(rows, key=lambda each: -each.saves_nats))


def _limit_row(near: Purpose, best: dict[str, Any], limit: Limit, lowest: float) -> LimitRow:
    """One limit, and what it would buy to widen it alone; `lowest` is the loss that it leaves as it is."""
    wider = tuple(each._replace(most=each.most * MORE) if each is limit else each for each in near.limits)
    found = tally(replace(near, limits=wider))
    saves = lowest - float(found.best["loss"][0])
    binds = saves >= BINDS_NATS
    bought = row(found.best) if binds else None
    name, written = NAMES[limit.column]
    return LimitRow(
        limit=limit.column,
        words=f"{name}: {written(best[limit.column])} of {written(limit.most)}",
        most=limit.most,
        value=float(best[limit.column]),
        share=float(best[limit.column]) / limit.most,
        binding=binds,
        saves_nats=saves,
        buys=spelled(near.space, {name: int(bought[name]) for name in SIZES}) if bought else None,
    )


def _around(space: Space, best: dict[str, Any]) -> Space:
    """The part of the space near a shape."""
    low, high = NEIGHBOURHOOD

    def part(bounds: tuple[int, int], at: int) -> tuple[int, int]:
        return max(bounds[0], int(at * low)), min(bounds[1], int(at * high) + 1)

    return replace(space, layers=part(space.layers, best["layers"]), hidden=part(space.hidden, best["hidden"]))


def missed(asked: Question, nearest: dict[str, Any]) -> tuple[Missed, ...]:
    """The limits that a shape does not meet, the worst first."""
    rows = []
    for limit in asked.purpose.limits:
        needs = float(nearest[limit.column])
        if needs > limit.most:
            name, written = NAMES[limit.column]
            words = f"{name}: {written(needs)} where {written(limit.most)} is the most ({needs / limit.most:.3g} times)"
            rows.append(Missed(limit=limit.column, words=words, most=limit.most, needs=needs, times=needs / limit.most))
    return tuple(sorted(rows, key=lambda each: -each.times))


def unmet(found: Tally) -> bool:
    """Whether no shape keeps to all limits, or none that is as large as was meant."""
    return not found.best or (bool(found.nearest) and not found.filling)


def slower(asked: Question, share: float) -> Question:
    """The question with the limit on speed that nobody asked for so much wider."""
    wider = tuple(each._replace(most=share) if each.column == "slowness" else each for each in asked.purpose.limits)
    note = f"no shape of this size decodes as fast as the usual one: up to {share:g} times its time is allowed"
    return replace(asked, purpose=replace(asked.purpose, limits=wider), notes=(*asked.notes, note))
