"""The law of the loss beside a sweep: does it tell the order that was measured, and what does it say once fitted?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from deepwide.answers.calibrate.loss import calibrate_loss
from deepwide.answers.loss import predicted
from deepwide.answers.models import find_model
from deepwide.answers.sweep.plan import Plan
from deepwide.answers.sweep.ranking import Ranked
from deepwide.answers.sweep.statistics import Correlation, Spread, correlation
from deepwide.errors import BadInput

LEAST_SHAPES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """What came of fitting the law to the sweep's runs. Errors are mean absolute ones in nats per token.

    before      of the shipped constants, which are of another corpus and tokeniser
    after       of the fit on the runs it has seen; left_out: of each shape by a fit without it
    order       share of pairs of shapes, one left out, that the fit puts in the right order
    """

    fitted: str
    rows: int
    before: float | None
    after: float
    left_out: float | None
    order: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LawBeside:
    """The shape law beside the sweep.

    offset       what is added to every prediction, a single constant: the law's level is of another text and tokeniser
    off          mean absolute difference to the measured means, the offset added, in nats
    outside      how many factors of e the farthest shape lies outside what the law was fitted on
    """

    offset: float
    off: float
    outside: float
    rank: Correlation | None
    fit: Fit | None
    fit_refused: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The comparison as plain values."""
        return asdict(self)


def with_predictions(rows: Sequence[Ranked], plan: Plan) -> tuple[Ranked, ...]:
    """The shapes with the loss that the law predicts of each; None where it says nothing."""
    return tuple(replace(row, predicted=_predicted(row, plan)[0]) for row in rows)


def _predicted(row: Ranked, plan: Plan) -> tuple[float | None, float]:
    found, _ = predicted(find_model(row.shape.model), plan.tokens)
    return (None, 0.0) if found is None else (float(found.loss), float(found.outside))


def law_beside(rows: Sequence[Ranked], plan: Plan, noise: Spread | None) -> LawBeside | None:
    """How the law does on the shapes that were measured; None where it speaks of too few."""
    told = [(row.predicted, row.mean) for row in rows if row.predicted is not None and row.mean is not None]
    if len(told) < 2:
        return None
    offset = sum(measured - expected for expected, measured in told) / len(told)
    fit, refused = _fit(rows, plan)
    return LawBeside(
        offset=offset,
        off=sum(abs(expected + offset - measured) for expected, measured in told) / len(told),
        outside=max(_predicted(row, plan)[1] for row in rows),
        rank=correlation([e for e, _ in told], [m for _, m in told], _mean_sd(noise, plan)) if noise else None,
        fit=fit,
        fit_refused=refused,
    )


def _mean_sd(noise: Spread, plan: Plan) -> float:
    return float(noise.paired_sd / plan.seeds**0.5)


def loss_rows(rows: Sequence[Ranked], plan: Plan) -> list[dict[str, Any]]:
    """Every finished run as `calibrate loss` reads it; losses in nats per token."""
    return [
        {
            "run": f"{row.shape.name}-seed{seed}",
            "model": row.shape.model,
            "tokens": plan.tokens,
            "loss": loss * plan.bytes_per_token,
        }
        for row in rows
        for seed, loss in enumerate(row.losses)
        if loss is not None
    ]


def _fit(rows: Sequence[Ranked], plan: Plan) -> tuple[Fit | None, str]:
    """The law fitted to the runs, or why it is not."""
    table = loss_rows(rows, plan)
    shapes = len({row["model"] for row in table})
    if shapes < LEAST_SHAPES:
        return None, f"not fitted: {shapes} shapes are too few to leave one out"
    try:
        answer = calibrate_loss(table)
    except BadInput as error:
        return None, f"not fitted: {error}"
    return Fit(
        fitted=answer.fitted,
        rows=answer.rows,
        before=answer.before.mean if answer.before else None,
        after=answer.own.mean,
        left_out=answer.left_out.mean if answer.left_out else None,
        order=answer.left_out.order if answer.left_out else None,
    ), ""
