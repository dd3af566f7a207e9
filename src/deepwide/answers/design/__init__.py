"""Which shape should a model have? The best one under limits, why, what the limits cost, and what else is near."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from deepwide import units
from deepwide.answers.answer import Answer
from deepwide.answers.design.known import KnownModel, known_models
from deepwide.answers.design.limits import LimitRow, Missed, limit_rows, missed, slower, unmet
from deepwide.answers.design.question import Question, question
from deepwide.answers.design.rows import alone, alternatives, any_speed, best_plan, front, table
from deepwide.answers.design.wanted import Wanted
from deepwide.answers.design.words import advice, notes, reason
from deepwide.answers.limits import whole
from deepwide.design.engines import WORKERS, searched
from deepwide.design.pricing import Purpose
from deepwide.design.search import Tally, near, row
from deepwide.errors import BadInput

MOST_ROWS = 50
MOST_WORKERS = 256
SLOWER = (1.1, 1.25, 1.5, 2.0, 4.0)  # times the decode time of the usual shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Design(Answer):
    """A recommended shape with its reasons, its neighbours, and what the limits cost.

    recommended    the lowest predicted loss that keeps to every limit; priced alone, as every other command prices it
    alternatives   the lowest loss at any speed, and the fastest that is as good for all the law can tell
    table          shapes of the same size from deep to wide, where they keep to the limits but that on speed
    front          shapes that none beats in loss and in decode time, memory or training time, each with `front_of`
    limits         each limit: how much of it is used, and what a tenth more of it would buy
    known          models people trained, nearest first, under the same law, tokens and hardware
    training       the best plan for the recommended shape, its step, days and bill; None where no cluster is given
    """

    recommended: dict[str, Any]
    reason: str
    alternatives: dict[str, dict[str, Any]]
    table: tuple[dict[str, Any], ...]
    front: tuple[dict[str, Any], ...]
    limits: tuple[LimitRow, ...]
    binding: tuple[str, ...]
    known: tuple[KnownModel, ...]
    advice: tuple[str, ...]
    training: dict[str, Any] | None
    evaluated: int
    feasible: int
    seconds: float
    on: str
    serve_devices: int
    tokens: int
    context: int
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain values."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values["limits"] = [each.to_dict() for each in self.limits]
        values["known"] = [each.to_dict() for each in self.known]
        return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}


class NoDesign(ValueError):
    """No shape meets the limits: an answer, not an error of the input.

    `missed` are the limits that cannot be met, and by how much. `nearest` is the nearest shape that meets them all if
    there is a `feasible` one, else the one that misses them by least.
    """

    def __init__(self, message: str, missed: tuple[Missed, ...], nearest: dict[str, Any], feasible: bool) -> None:
        super().__init__(message)
        self.missed, self.nearest, self.feasible = missed, nearest, feasible

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain values, under the keys of one that found something."""
        return {
            "recommended": None,
            "front": [],
            "binding": [each.limit for each in self.missed],
            "missed": [each.to_dict() for each in self.missed],
            "nearest": self.nearest,
            "nearest_feasible": self.feasible,
            "reason": str(self),
        }


def design(
    *,
    on: str,
    rows: int = 9,
    tolerance: float = 0.03,
    engine: str = "local",
    workers: int = WORKERS,
    progress: Callable[[int], None] = lambda counted: None,
    **wanted: Any,
) -> Design:
    """The best decoder under limits: lowest predicted loss, no slower than asked or than people build them.

    The other keywords are the fields of `Wanted`, and at least one budget is needed. The table has `rows` shapes whose
    sizes lie within `tolerance` of the recommended one. `engine` is "local" or "ray".

    >>> design(parameters=10**9, on="h100", tokens=2 * 10**10).recommended["parameters"] <= 10**9
    True
    """
    whole("rows", rows, 2, MOST_ROWS)
    whole("workers", workers, 1, MOST_WORKERS)
    if not 0 < tolerance <= 0.5:
        raise BadInput(f"tolerance={tolerance} must lie between 0 and 0.5: how far sizes of the table may lie apart")
    asked = question(on, Wanted(**_known_fields(wanted)))
    started_s = time.perf_counter()
    asked, found = _searched(asked, lambda purpose: searched(purpose, engine, workers, progress))
    seconds = time.perf_counter() - started_s
    if not found.counted:
        raise BadInput("the ranges leave no shape: hidden must hold a multiple of 128 and heads that kv_heads divide")
    if unmet(found):
        raise _no_design(asked, found)
    return _answer(asked, found, seconds, rows, tolerance)


def _searched(asked: Question, look: Callable[[Purpose], Tally]) -> tuple[Question, Tally]:
    """The question as it can be met, and what was found.

    Widths come in steps, so a small model may be either too large or slower than the usual shape would be: where
    nothing else is in the way, the limit on speed that nobody asked for is widened step by step.
    """
    found = look(asked.purpose)
    if asked.purpose.most("slowness") is None or not unmet(found) or unmet(look(slower(asked, SLOWER[-1]).purpose)):
        return asked, found
    for share in SLOWER:
        wider = slower(asked, share)
        found = look(wider.purpose)
        if not unmet(found):
            break
    return wider, found


def _known_fields(wanted: dict[str, Any]) -> dict[str, Any]:
    known = {f.name for f in fields(Wanted)}
    if unknown := sorted(set(wanted) - known):
        raise BadInput(f"{unknown[0]} is nothing a design can be asked; known: {', '.join(sorted(known))}")
    return wanted


def _answer(asked: Question, found: Tally, seconds: float, rows: int, tolerance: float) -> Design:
    best = alone(asked, row(found.best))
    limits = limit_rows(asked, best)
    columns = near(any_speed(asked.purpose), best["parameters"], tolerance)
    return Design(
        recommended=best,
        reason=reason(asked, best, limits, found.feasible),
        alternatives=alternatives(asked, columns),
        table=table(asked, columns, rows, best),
        front=front(asked, found),
        limits=limits,
        binding=tuple(each.limit for each in limits if each.binding),
        known=known_models(asked, best),
        advice=advice(asked, best),
        training=best_plan(asked, best),
        evaluated=found.counted,
        feasible=found.feasible,
        seconds=seconds,
        on=asked.device.name,
        serve_devices=asked.purpose.serving.tp,
        tokens=int(best["tokens"]),
        context=asked.wanted.context,
        notes=notes(asked, best),
    )


def _no_design(asked: Question, found: Tally) -> NoDesign:
    """What cannot be met and by how much, and the nearest that can: a smaller shape, or one under wider limits."""
    least = alone(asked, row(found.nearest))
    misses = missed(asked, least)
    nearest = alone(asked, row(found.best)) if found.best else least
    size = "" if asked.purpose.filled is None else f" of about {units.count(asked.wanted.parameters or 0)} parameters"
    said = f"none of {found.counted:,} shapes{size} keeps to every limit: {'; '.join(each.words for each in misses)}"
    if found.best:
        said += f". The nearest that does has {units.count(nearest['parameters'])} parameters: {nearest['model']}"
    else:
        said += f". That much is needed by the nearest, {nearest['model']}"
    return NoDesign(said, misses, nearest, feasible=bool(found.best))
