"""Shapes in a row of their own: how each did after equal tokens, and after equal processor time.

After equal time: the quickest shape's time for all tokens is the budget; a slower one gets through fewer tokens in it.
Its loss there is not read from its curve, whose learning rate was still to fall. It is read between two runs of it
that did end there: the short one that bracketed its rate, and the full one, straight in the logarithm of the tokens.
The loss bends upward between them, so the straight line tells it slightly too high, which favours the quicker shape.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from deepwide.answers.sweep.plan import Plan, Results, bracket_of, failures, seed_trials
from deepwide.answers.sweep.rates import Bracket
from deepwide.answers.sweep.shapes import Shape
from deepwide.answers.sweep.statistics import Spread, spread
from deepwide.answers.sweep.trial import DONE

BEST, TIED, WORSE = "best", "not separable", "worse"
NOT_RANKED, WAITING = "not ranked", "not finished"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """A shape of a finished sweep. Losses are in nats per byte of the held-out text.

    losses            by seed; None where a run failed or is not done
    difference        to the best shape
    verdict           best, not separable (from the best), worse, not ranked (a run failed), not finished
    equal_time_tokens, equal_time_loss   what it gets through in the time of the quickest, and its loss there
    cpu_s_per_token   processor time of a training step over its tokens, validation left out: the median run
    predicted         by the law, in nats per token of another tokeniser: only differences compare
    """

    shape: Shape
    bracket: Bracket | None
    losses: tuple[float | None, ...]
    mean: float | None = None
    sd: float | None = None
    difference: float | None = None
    verdict: str = WAITING
    cpu_s_per_token: float | None = None
    short_loss: float | None = None
    equal_time_tokens: float | None = None
    equal_time_loss: float | None = None
    equal_time_verdict: str = NOT_RANKED
    predicted: float | None = None
    curve: tuple[tuple[float, float], ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def tokens_per_cpu_s(self) -> float | None:
        """Speed of training on one core."""
        return 1 / self.cpu_s_per_token if self.cpu_s_per_token else None

    def to_dict(self) -> dict[str, Any]:
        """The shape and what came of it as plain values."""
        values = {**asdict(self), "losses": list(self.losses), "problems": list(self.problems)}
        bracket = self.bracket.to_dict() if self.bracket else None
        more = {"curve": [list(point) for point in self.curve], "tokens_per_cpu_s": self.tokens_per_cpu_s}
        return {**values, "shape": self.shape.to_dict(), "bracket": bracket, **more}


def ranked(plan: Plan, results: Results) -> tuple[tuple[Ranked, ...], Spread | None]:
    """Every shape in the order it was asked for, and how far their means can be trusted."""
    rows = [_row(plan, shape, results) for shape in plan.shapes]
    whole = [row for row in rows if row.mean is not None]
    noise = spread([[loss for loss in row.losses if loss is not None] for row in whole])
    lowest = min((row.mean for row in whole if row.mean is not None), default=math.inf)
    budget_s = plan.tokens * min((r.cpu_s_per_token for r in whole if r.cpu_s_per_token), default=math.inf)
    told = [_judged(_in_time(row, plan, budget_s), lowest, noise) for row in rows]
    return tuple(_judged_in_time(told, noise)), noise


def _row(plan: Plan, shape: Shape, results: Results) -> Ranked:
    """What the runs of one shape say by themselves."""
    found = [results.get(trial.name) for trial in seed_trials(plan, shape, 0.0)]
    done = [each for each in found if each and each["status"] == DONE]
    factor, known = 1 / plan.bytes_per_token, bracket_of(plan, shape, results)
    losses = tuple(each["loss"] * factor if each and each["status"] == DONE else None for each in found)
    values = [loss for loss in losses if loss is not None]
    mean = sum(values) / len(values) if len(values) == len(losses) else None
    short = [loss for _, loss in known.tried if loss is not None] if known else []
    untrained = known is not None and bool(known.tried) and not short
    diverged = ("at every rate that was tried its short run diverged or failed",) if untrained else ()
    return Ranked(
        shape=shape,
        bracket=known,
        losses=losses,
        mean=mean,
        sd=_sd(values) if mean is not None else None,
        cpu_s_per_token=_median([each["cpu_s_per_token"] for each in done if each["cpu_s_per_token"]]),
        short_loss=min(short) * factor if short else None,
        curve=_mean_curve([each["curve"] for each in done], factor),
        problems=(*diverged, *failures(plan, shape, results)),
    )


def _sd(values: Sequence[float]) -> float | None:
    if len(values) < 2:
        return None
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))


def _median(values: Sequence[float]) -> float | None:
    ordered, half = sorted(values), len(values) // 2
    return (ordered[half] + ordered[~half]) / 2 if ordered else None


def _mean_curve(curves: Sequence[Sequence[Sequence[float]]], factor: float) -> tuple[tuple[float, float], ...]:
    """The mean over seeds, where all of them were looked at."""
    tables = [{float(tokens): float(loss) for tokens, loss in curve} for curve in curves]
    shared = sorted(set.intersection(*(set(table) for table in tables))) if tables else []
    return tuple((tokens, factor * sum(table[tokens] for table in tables) / len(tables)) for tokens in shared)


def _in_time(row: Ranked, plan: Plan, budget_s: float) -> Ranked:
    """The shape with its loss after the budget of time; without one where that ends before its short run."""
    if row.mean is None or not row.cpu_s_per_token:
        return row
    tokens = min(float(plan.tokens), budget_s / row.cpu_s_per_token)
    loss = row.mean
    if tokens < plan.tokens:
        if row.short_loss is None or tokens < plan.bracket_tokens:
            return replace(row, equal_time_tokens=tokens)
        way = math.log(tokens / plan.bracket_tokens) / math.log(plan.tokens / plan.bracket_tokens)
        loss = row.short_loss + way * (row.mean - row.short_loss)
    return replace(row, equal_time_tokens=tokens, equal_time_loss=loss)


def _judged(row: Ranked, lowest: float, noise: Spread | None) -> Ranked:
    """The shape beside the best after equal tokens."""
    if row.mean is None:
        return replace(row, verdict=NOT_RANKED if row.problems else WAITING)
    return replace(row, difference=row.mean - lowest, verdict=_verdict(row.mean - lowest, noise))


def _judged_in_time(rows: Sequence[Ranked], noise: Spread | None) -> list[Ranked]:
    """The shapes beside the best after equal time; the error of reading between two runs is not in it."""
    lowest = min((row.equal_time_loss for row in rows if row.equal_time_loss is not None), default=math.inf)
    return [
        row
        if row.equal_time_loss is None
        else replace(row, equal_time_verdict=_verdict(row.equal_time_loss - lowest, noise))
        for row in rows
    ]


def _verdict(difference: float, noise: Spread | None) -> str:
    if noise is None:
        return NOT_RANKED
    if difference == 0:
        return BEST
    return TIED if difference <= noise.difference_reach else WORSE
