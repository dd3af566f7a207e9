"""Repeated times: repetitions of different work take turns, and the mean of the middle ones is a work's time.

A processor that others share has two speeds and changes between them from one moment to the next. The least time waits
for a moment that is rare: over forty seconds it is off by a fifth, where the mean of short turns is off by a twentieth.
The median jumps from one speed to the other where they are about as frequent.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

TRIMMED = 10  # one time of so many is left out at either end
Task = Callable[[], Mapping[str, Sequence[float]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A time that was measured `count` times.

    seconds           the mean, without the tenth at either end
    spread            the upper quartile over the lower; near 1 on a quiet machine
    """

    seconds: float
    spread: float
    count: int


def sample(seconds: Sequence[float]) -> Sample:
    """What repetitions say.

    >>> sample([4.0, 1.0, 2.0, 5.0, 3.0])
    Sample(seconds=3.0, spread=2.0, count=5)
    """
    ordered, cut = np.sort(seconds), len(seconds) // TRIMMED
    lower, upper = np.quantile(ordered, (0.25, 0.75))
    middle = ordered[cut : len(ordered) - cut].mean()
    return Sample(seconds=float(middle), spread=float(upper / lower), count=len(ordered))


def in_turn(
    tasks: Sequence[Task], budget_s: float, told: Callable[[float], None] = lambda share: None
) -> dict[Task, dict[str, Sample]]:
    """Runs the tasks one after the other, again and again until each had its turns and the time is up.

    Each names its times. One that stands several times among them has as many turns in a round. `told` hears which
    share of the time is gone.
    """
    kept: dict[Task, dict[str, list[float]]] = {task: {} for task in tasks}
    began = time.perf_counter()
    for turn, task in enumerate(itertools.cycle(tasks), 1):
        for name, seconds in task().items():
            kept[task].setdefault(name, []).extend(seconds)
        gone = (time.perf_counter() - began) / budget_s
        told(min(1.0, gone))
        if turn >= len(tasks) and gone >= 1:
            break
    return {task: {name: sample(seconds) for name, seconds in own.items()} for task, own in kept.items()}


def woven(often: Sequence[Task], seldom: Sequence[Task], times: int) -> list[Task]:
    """All of `often` so many times over, `seldom` spread between them: what is quick is then seen at many moments.

    >>> woven("ab", "xyz", 2)
    ['a', 'b', 'x', 'z', 'a', 'b', 'y']
    """
    return [task for i in range(times) for task in (*often, *seldom[i::times])]


def clock(threads: int, device: torch.device) -> Callable[[], float]:
    """What is read before and after: of one thread its own time, which other programs disturb little."""
    return time.process_time if threads == 1 and device.type == "cpu" else time.perf_counter
