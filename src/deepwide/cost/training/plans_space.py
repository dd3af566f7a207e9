"""Which plans there are: how a model, a batch and a number of devices can be cut, rule by rule.

A search looks at all that these rules allow; the same rules say why a plan that somebody gives cannot run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from math import isqrt
from typing import Any

from deepwide.architecture.rows import Scores
from deepwide.arithmetic import pieces
from deepwide.cost.training.plan import Job

RING = 2  # context parallelism deals each device an early and a late piece, so that causal work is even


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """What bounds the plans of a job on so many devices.

    heads, kv_heads    of each kind of attention
    widths             what tensor parallelism cuts in the rest of a layer
    experts            of a layer; 1 where there are none
    """

    devices: int
    layers: int
    sequence: int
    global_batch: int
    heads: tuple[int, ...]
    kv_heads: tuple[int, ...]
    widths: tuple[int, ...]
    experts: int


def space(job: Job, devices: int) -> Space:
    """The bounds of one job, read off its ledger."""
    ledger = job.ledger
    return Space(
        devices=devices,
        layers=int(job.layers),
        sequence=int(job.sequence),
        global_batch=int(job.global_batch),
        heads=_distinct(op.how.heads for op in ledger.ops if isinstance(op.how, Scores)),
        kv_heads=_distinct(cache.heads for cache in ledger.caches if not cache.fixed),
        widths=_distinct(w.shape[0] for w in ledger.weights if w.split == "row" and w.copies == 1),
        experts=max([int(w.copies) for w in ledger.weights], default=1),
    )


def tensor_parts(bounds: Space) -> list[int]:
    """Into how many parts layers can be cut: equal heads and widths; key and value heads may be copied instead."""
    common = divisors(min((*bounds.heads, *bounds.widths), default=1))
    whole = [n for n in common if all(size % n == 0 for size in (*bounds.heads, *bounds.widths))]
    return [n for n in whole if all(kv % n == 0 or n % kv == 0 for kv in bounds.kv_heads)]


def context_parts(bounds: Space, cp: int) -> bool:
    """Whether a sequence can be cut in so many: each device takes an early and a late piece."""
    return cp == 1 or bounds.sequence % (RING * cp) == 0


def interleaves(bounds: Space, pp: int) -> list[int]:
    """Into how many pieces the layers of a stage can be cut, on a real pipeline: equal ones, none of them empty."""
    if pp == 1:
        return [1]
    return [v for v in divisors(int(pieces(bounds.layers, pp))) if pp * v <= bounds.layers]


def layouts(bounds: Space) -> Iterator[tuple[int, int, int]]:
    """Every (tp, pp, cp) that divides the devices and leaves a number of copies that divides the batch."""
    for tp in (n for n in tensor_parts(bounds) if bounds.devices % n == 0):
        for pp in (n for n in divisors(bounds.devices // tp) if n <= bounds.layers):
            rest = bounds.devices // (tp * pp)
            for cp in divisors(rest):
                if context_parts(bounds, cp) and bounds.global_batch % (rest // cp) == 0:
                    yield tp, pp, cp


@cache
def divisors(number: int) -> tuple[int, ...]:
    """All divisors, the smallest first.

    >>> divisors(12)
    (1, 2, 3, 4, 6, 12)
    """
    small = [n for n in range(1, isqrt(number) + 1) if number % n == 0]
    return (*small, *(number // n for n in reversed(small) if n * n != number))


def _distinct(sizes: Iterable[Any]) -> tuple[int, ...]:
    return tuple(sorted({int(size) for size in sizes}))
