"""The learning rate of each shape, bracketed by short runs: a rate that suits one shape may be the worst of another.

Rates are powers of two around the base rate of the lab's rule, which is what the rule takes for its reference shape.
Three are tried; while the best is at an edge, one more beyond it, a few times. It is bracketed once a rate on either
side of it is worse. A run that diverged is worse than any.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

FIRST = (-1, 0, 1)  # powers of two times the base rate
MOST_MORE = 2
NOISE = 0.01  # nats: the deviation of a run from one seed to another, seen at 1M tokens
LEAST_SPREAD = 3 * NOISE
POWERS = range(min(FIRST) - MOST_MORE, max(FIRST) + MOST_MORE + 1)  # that can come to be tried


@dataclass(frozen=True, slots=True, kw_only=True)
class Bracket:
    """What short runs say of a shape's learning rate.

    rate        to train with: the lowest point of a parabola through the best and its neighbours in log2 of the rate,
                or the best of those tried where it has no finite neighbours; the base rate where the losses are all
                alike, as those of runs too short to tell are
    bracketed   whether rates on both sides of it were worse, and the differences are more than noise
    tried       rate and validation loss in nats per token, None where the run diverged
    """

    rate: float
    bracketed: bool
    tried: tuple[tuple[float, float | None], ...]

    def to_dict(self) -> dict[str, Any]:
        """The bracket as plain values."""
        return {**asdict(self), "tried": [list(pair) for pair in self.tried]}


def next_powers(losses: Mapping[int, float]) -> tuple[int, ...]:
    """The powers of two that are to be tried next, given the loss at those that were; none when it is settled.

    >>> next_powers({-1: 2.0, 0: 1.9, 1: 1.8})
    (2,)
    """
    first = tuple(power for power in FIRST if power not in losses)
    if first:
        return first
    best = _best(losses)
    if not _tells(losses):
        return ()
    if len(losses) >= len(FIRST) + MOST_MORE or _is_inside(best, losses):
        return ()
    return (best + 1,) if best == max(losses) else (best - 1,)


def bracket(losses: Mapping[int, float], base: float) -> Bracket:
    """The rate to train with, by the loss at each power of two; a loss of infinity is a run that diverged."""
    best = _best(losses)
    told = tuple((base * 2.0**p, losses[p] if math.isfinite(losses[p]) else None) for p in sorted(losses))
    if not _tells(losses):
        return Bracket(rate=base, bracketed=False, tried=told)
    inside = _is_inside(best, losses) and math.isfinite(losses[best]) and _is_valley(best, losses)
    lowest = _lowest(best, losses) if inside else float(best)
    return Bracket(rate=float(f"{base * 2.0**lowest:.3g}"), bracketed=inside, tried=told)


def _best(losses: Mapping[int, float]) -> int:
    return min(losses, key=lambda power: (losses[power], power))


def _is_inside(best: int, losses: Mapping[int, float]) -> bool:
    return best - 1 in losses and best + 1 in losses


def _tells(losses: Mapping[int, float]) -> bool:
    """Whether the rates differ by more than runs with other seeds would."""
    return max(losses.values()) - min(losses.values()) > LEAST_SPREAD


def _is_valley(best: int, losses: Mapping[int, float]) -> bool:
    """Whether the loss rises on both sides, but for noise."""
    left = [losses[power] for power in sorted(losses, reverse=True) if power <= best]
    right = [losses[power] for power in sorted(losses) if power >= best]
    return all(far >= near - NOISE for side in (left, right) for near, far in pairwise(side))


def _lowest(best: int, losses: Mapping[int, float]) -> float:
    """Where the parabola through the best and its neighbours is lowest: at most half a power from the best."""
    below, at, above = (losses[power] for power in (best - 1, best, best + 1))
    curved = below - 2 * at + above
    return best + (0.5 * (below - above) / curved if math.isfinite(curved) and curved > 0 else 0.0)
