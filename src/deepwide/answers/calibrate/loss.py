"""What do a user's own training runs say of the loss? A law fitted to them, and its error on shapes left out.

The shape law starts from its shipped constants: a few runs refit its level alone (floor, capacity, data), more of them
every constant, no farther than they insist on. Other laws start from what is known of any corpus.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from deepwide.answers.answer import Answer
from deepwide.answers.calibrate.loss_rows import OwnRuns, own_runs, shapes_in
from deepwide.answers.calibrate.rows import Rows
from deepwide.answers.places import printable
from deepwide.errors import BadInput
from deepwide.facts.shape_law import shape_laws
from deepwide.quality.fit import Fitted, Weight, fit_law, predicted, refit_all, refit_level
from deepwide.quality.forms import LAWS, forms
from deepwide.quality.held_out import Errors, errors, held_out
from deepwide.quality.law_file import RECIPE, OwnLaw, write_law
from deepwide.quality.runs import Runs
from deepwide.quality.shape import RECIPE_SD
from deepwide.robust import need_scipy

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST_RUNS = 3  # floor, capacity and data are three
FEW_RUNS = 6  # fewer cannot tell exponents from levels
LEAST_SHAPES = 3  # to leave one out and still see two
MOST_LEFT_OUT = 24  # times that shapes are left out and the rest is fitted again
PRIOR_RUNS = 1.0  # that the deviation before counts as, so that three runs that agree do not claim certainty
Freedom = Literal["auto", "level", "all"]
Refitted = Callable[[Runs], Sequence[Fitted]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLoss:
    """One run: its measured loss, the loss predicted before, after, and with its shape left out of the fit."""

    where: str
    run: str
    tokens: float
    measured: float
    before: float | None
    after: float
    left_out: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LossCalibration(Answer):
    """A law fitted to runs. Errors are mean absolute ones in nats.

    fitted       the level, or all constants
    before       the errors of the shipped constants, where there are any; own: of the fit on its own rows
    left_out     the errors of fits without the shape in question; None where too few shapes were run
    held_out_sd  the deviation to expect of one more run by the same recipe
    constants    by member of the law
    out          the file that it was written to; --law takes it
    """

    law: str
    fitted: str
    rows: int
    shapes: int
    before: Errors | None
    own: Errors
    left_out: Errors | None
    held_out_sd: float
    constants: dict[str, dict[str, float]]
    ranges: dict[str, tuple[float, float]]
    points: tuple[RunLoss, ...]
    out: str = ""
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain values."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        for name in ("before", "own", "left_out"):
            values[name] = values[name].to_dict() if values[name] else None
        values["points"] = [asdict(point) for point in self.points]
        return {**values, "notes": list(self.notes), "ranges": {n: list(r) for n, r in self.ranges.items()}}


def calibrate_loss(
    rows: Rows, *, law: str = "shape", refit: Freedom = "auto", out: str | Path | None = None
) -> LossCalibration:
    """Fits a law of the loss to measured runs: a CSV file, or mappings with its columns.

    Columns: model (or layers, hidden, heads, kv_heads, ffn, vocab, body), tokens, loss; run, where rows are
    checkpoints of one. `refit` is of the shape law: its level, or all of its constants.
    """
    need_scipy()
    forms(law)  # what is wrong with the question is no fault of a row
    given = own_runs(rows)
    shapes = shapes_in(given.runs)
    if len(given.runs) < LEAST_RUNS or len(shapes) < 2:
        raise BadInput(
            f"{len(given.runs)} losses of {len(shapes)} {'shape' if len(shapes) == 1 else 'shapes'} are too few; "
            f"give at least {LEAST_RUNS}, of two shapes"
        )
    fitted, refitted = _refit(law, refit, given)
    members = refitted(given.runs)
    left = held_out(refitted, given.runs, in_turn(given.runs)) if len(shapes) >= LEAST_SHAPES else None
    before = predicted(_shipped(), given.runs) if law == "shape" else None
    answer = _answer(law, fitted, given, members, before, left)
    return _kept(answer, members, rows, out) if out else answer


def in_turn(runs: Runs) -> list[list[str]]:
    """The shapes that are left out of the fit in turn: one at a time, or several where they are many."""
    shapes = list(shapes_in(runs))
    turns = min(len(shapes), MOST_LEFT_OUT)
    return [shapes[turn::turns] for turn in range(turns)]


def _refit(law: str, refit: Freedom, given: OwnRuns) -> tuple[str, Refitted]:
    """What is fitted, in words, and how some of the runs refit it."""
    weight = Weight(alike=given.alike)
    if law != "shape":
        if len(given.runs) < len(LAWS[law][0].constants):
            few = f"{len(given.runs)} losses cannot tell its {len(LAWS[law][0].constants)} constants"
            raise BadInput(f"law={law!r}: {few}; give more, or fit the shape law, whose level three can tell")
        return "constants", partial(fit_law, LAWS[law], weight=weight)
    shipped = _shipped()
    if refit == "level" or (refit == "auto" and len(given.runs) / given.alike < FEW_RUNS):
        return "level", partial(refit_level, shipped, weight=weight)
    return "constants", partial(refit_all, shipped, weight=weight)


def _shipped() -> tuple[Fitted, ...]:
    """The shape law with its shipped constants."""
    members = zip(LAWS["shape"], shape_laws(), strict=True)
    return tuple(Fitted(form=form, values={RECIPE: asdict(law.constants)}) for form, law in members)


def _answer(
    law: str,
    fitted: str,
    given: OwnRuns,
    members: Sequence[Fitted],
    before: NDArray[Any] | None,
    left: NDArray[Any] | None,
) -> LossCalibration:
    import numpy as np

    runs, after = given.runs, predicted(members, given.runs)
    off = (left if left is not None else after) - runs.loss
    known = PRIOR_RUNS * RECIPE_SD**2
    columns = {"aspect": runs.hidden / runs.layers, "body": runs.body, "tokens": runs.tokens}
    few = f"only {len(shapes_in(runs))} shapes: none could be left out, so the error beyond these runs is not known"
    return LossCalibration(
        law=law,
        fitted=fitted,
        rows=len(runs),
        shapes=len(shapes_in(runs)),
        before=None if before is None else errors(runs, before),
        own=errors(runs, after),
        left_out=None if left is None else errors(runs, left),
        held_out_sd=math.sqrt((known + float(np.sum(off**2))) / (PRIOR_RUNS + len(runs))),
        constants={m.form.name: dict(m.values[RECIPE]) for m in members},
        ranges={name: (float(column.min()), float(column.max())) for name, column in columns.items()},
        points=_points(given, before, after, left),
        notes=(few,) if left is None else (),
    )


def _points(
    given: OwnRuns, before: NDArray[Any] | None, after: NDArray[Any], left: NDArray[Any] | None
) -> tuple[RunLoss, ...]:
    return tuple(
        RunLoss(
            where=where,
            run=run,
            tokens=float(given.runs.tokens[i]),
            measured=float(given.runs.loss[i]),
            before=None if before is None else float(before[i]),
            after=float(after[i]),
            left_out=None if left is None else float(left[i]),
        )
        for i, (where, run) in enumerate(zip(given.where, given.named, strict=True))
    )


def _kept(answer: LossCalibration, members: Sequence[Fitted], rows: Rows, out: str | Path) -> LossCalibration:
    """The answer, with its law written to a file."""
    held = OwnLaw(
        law=answer.law,
        fitted=answer.fitted,
        members=tuple(members),
        rows=answer.rows,
        shapes=answer.shapes,
        held_out_nats=(answer.left_out or answer.own).mean,
        held_out_sd=answer.held_out_sd,
        ranges=answer.ranges,
        source=f"fitted to {printable(Path(rows).name) if isinstance(rows, str | Path) else 'rows given in Python'}",
        checked=date.today().isoformat(),
    )
    write_law(Path(out), held)
    return replace(answer, out=str(out))
