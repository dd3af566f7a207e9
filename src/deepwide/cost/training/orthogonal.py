"""What Muon's optimiser takes beside streaming states: the update of each matrix is made orthogonal by products.

Five steps of X <- a X + (b G + c G G) X with G = X X^T, for a matrix of a rows and b columns, a <= b:
    flops      5 (4 a^2 b + 2 a^3)
    elements   5 (3 a b + 2 a^2)      read and written by these products
(kellerjordan.github.io/posts/muon). Matrices outside the layers, tables and vectors are left to AdamW.
"""

from __future__ import annotations

from collections.abc import Iterable

from deepwide.architecture.rows import Weight
from deepwide.arithmetic import largest, least, repeated
from deepwide.cost.training.engine import Engine
from deepwide.cost.training.plan import Job, Plan
from deepwide.units import Num, Real

ITERATIONS = 5
MATRICES = ("attention", "ffn", "router")  # parts whose matrices it takes


def orthogonal_s(job: Job, plan: Plan, engine: Engine) -> Real:
    """All matrices of one device's layers, once a step; nothing where the optimiser is another."""
    c = engine.constants
    if c.orthogonal_efficiency == 0:
        return 0.0
    flops, elements = orthogonal_work(job.ledger.weights)
    rate = engine.products.flops_per_s / c.compute_efficiency * c.orthogonal_efficiency
    moving = elements * c.element_bytes * c.optimizer_passes / engine.head.bytes_per_s
    time: Real = (flops / rate + moving) / (plan.pp * plan.tp)
    return time


def orthogonal_work(weights: Iterable[Weight]) -> tuple[Num, Num]:
    """Flops of all matrices of the layers, and elements that their products read and write."""
    flops: list[tuple[Num, Num]] = []
    elements: list[tuple[Num, Num]] = []
    for w in weights:
        if len(w.shape) == 2 and w.part in MATRICES:
            a, b, count = least(*w.shape), largest(*w.shape), w.repeat * w.copies
            flops.append((count, ITERATIONS * (4 * a * a * b + 2 * a**3)))
            elements.append((count, ITERATIONS * (3 * a * b + 2 * a * a)))
    return repeated(flops), repeated(elements)
