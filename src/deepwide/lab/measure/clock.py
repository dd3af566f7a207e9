"""Repeated times: repetitions of different work take turns, and the lower quartile of each is its time."""

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

    seconds           the lower quartile: what it takes when little else runs
    spread            the median over that; near 1 on a quiet machine
    """

    seconds: float
    spread: float
    count: int


def sample(seconds: Sequence[float]) -> Sample:
    """What repetitions say.

    >>> sample([4.0, 1.0, 2.0, 3.0]).seconds
    1.75
    """
    if len(seconds) == 1:
        return Sample(seconds=seconds[0], spread=1.0, count=1)
    quarter, half, _ = statistics.quantiles(seconds, n=4, method="inclusive")
    return Sample(seconds=quarter, spread=half / quarter, count=len(seconds))


def in_turn(
    tasks: Sequence[Task], budget_s: float, told: Callable[[float], None] = lambda share: None
) -> list[dict[str, Sample]]:
    """Runs the tasks one after the other, again and again until the time is up; each names its times.

    `told` hears which share of the time has gone.
    """
    kept: list[dict[str, list[float]]] = [{} for _ in tasks]
    began, rounds = time.perf_counter(), 0
    while not rounds or time.perf_counter() - began < budget_s * rounds / (rounds + 1):
        for task, own in zip(tasks, kept, strict=True):
            for name, seconds in task().items():
                own.setdefault(name, []).extend(seconds)
            told(min(1.0, (time.perf_counter() - began) / budget_s))
        rounds += 1
    return [{name: sample(seconds) for name, seconds in own.items()} for own in kept]


def clock(threads: int, device: torch.device) -> Callable[[], float]:
    """What is read before and after: of one thread its own time, which other programs disturb little."""
    return time.process_time if threads == 1 and device.type == "cpu" else time.perf_counter
