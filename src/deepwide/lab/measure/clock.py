"""Repeated times: repetitions of different work take turns, and the least of each is its time.

A processor that other programs share is slower by half from one moment to the next, and for seconds on end: medians and
quartiles then tell of the neighbours. The least time repeats within a few per cent where they repeat within two thirds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

Task = Callable[[], Mapping[str, Sequence[float]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A time that was measured `count` times.

    seconds           the least: what it takes when nothing else runs
    spread            the median over that; near 1 on a quiet machine
    """

    seconds: float
    spread: float
    count: int


def sample(seconds: Sequence[float]) -> Sample:
    """What repetitions say.

    >>> sample([4.0, 1.0, 2.0, 3.0])
    Sample(seconds=1.0, spread=2.5, count=4)
    """
    least = min(seconds)
    return Sample(seconds=least, spread=statistics.median(seconds) / least, count=len(seconds))


def in_turn(
    tasks: Sequence[Task], budget_s: float, told: Callable[[float], None] = lambda share: None
) -> dict[Task, dict[str, Sample]]:
    """Runs the tasks one after the other, again and again until the time is up; each names its times.

    One that stands several times among them has as many turns in a round. `told` hears which share of the time is gone.
    """
    kept: dict[Task, dict[str, list[float]]] = {task: {} for task in tasks}
    began, rounds = time.perf_counter(), 0
    while not rounds or time.perf_counter() - began < budget_s * rounds / (rounds + 1):
        for task in tasks:
            for name, seconds in task().items():
                kept[task].setdefault(name, []).extend(seconds)
            told(min(1.0, (time.perf_counter() - began) / budget_s))
        rounds += 1
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
