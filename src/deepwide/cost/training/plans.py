"""The fastest plan that fits: every way to lay a job over its devices is timed and weighed.

Plans are rows (tp, pp, cp, micro-batch) times an open mesh (ep, interleave), in blocks that stay in the cache; kinds
(recomputation, ZeRO) are looped over. Each term of the formulas is then taken on as few axes as it depends on, and what
no kind changes is taken once, by the very functions that price one plan alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import inf, prod
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from deepwide.architecture.model import Architecture
from deepwide.cost.training.engine import Engine
from deepwide.cost.training.memory import peak_training_bytes
from deepwide.cost.training.memory_habits import MemoryHabits
from deepwide.cost.training.plan import RECOMPUTES, Job, Plan, Recompute
from deepwide.cost.training.plans_space import Space, divisors, interleaves, layouts, space
from deepwide.cost.training.step import effort, scheduled
from deepwide.units import Num

if TYPE_CHECKING:
    from numpy.typing import NDArray

Zero = Literal[0, 1, 2, 3]
ZEROS: tuple[Zero, ...] = (0, 1, 2, 3)
NUMBERS = ("tp", "pp", "cp", "dp", "ep", "micro_batch", "interleave")
# Of the memory: blocks that were freed but fit no later request stay with the allocator. Published peaks of PyTorch's
# allocator end at 89% of a device (53 runs); those of nvidia-smi, which counts such blocks, go up to 98%.
ALLOCATOR_SHARE = 0.95
BLOCK = 16_384  # plans at once: 128 KiB an array, so that a dozen of them stay in a core's second cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is to be laid out, and on what. `adapters` is how many parameters LoRA trains."""

    architecture: Architecture
    job: Job
    engine: Engine
    habits: MemoryHabits
    devices: int
    capacity_bytes: int
    adapters: Num = 0

    @property
    def room_bytes(self) -> float:
        """What a plan may take to be recommended: the allocator's share, even where it is its spread larger."""
        return ALLOCATOR_SHARE * self.capacity_bytes / (1 + self.habits.spread)


class Entry(NamedTuple):
    """A plan with what it was chosen for: seconds of a step, or bytes on the fullest device."""

    plan: Plan
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search found.

    best        of each (tp, pp) the fastest plan that fits with room to spare; the fastest first
    too_large   likewise the fastest of those that do not, where they are faster than the best
    nearest     the plan that needs least memory; None where there is no plan at all
    evaluated   plans whose time and memory were computed; valid: those that can run; fitting: those that also fit
    """

    best: tuple[Entry, ...]
    too_large: tuple[Entry, ...]
    nearest: Entry | None
    evaluated: int
    valid: int
    fitting: int
    seconds: float


class Kind(NamedTuple):
    """What a plan is beside its numbers."""

    recompute: Recompute
    zero: Zero


class Rows(NamedTuple):
    """Plans without ep and interleave as columns; `split` numbers the pairs of tp and pp."""

    tp: NDArray[Any]
    pp: NDArray[Any]
    cp: NDArray[Any]
    dp: NDArray[Any]
    micro_batch: NDArray[Any]
    split: NDArray[Any]

    def chosen(self, which: Any) -> Rows:
        """Some of the rows."""
        return Rows(*(column[which] for column in self))


class Mesh(NamedTuple):
    """Rows with all their ep and interleaves: a plan whose numbers are open axes, and which of them can run."""

    rows: Rows
    plan: Plan
    valid: NDArray[Any]


class Priced(NamedTuple):
    """A mesh of one kind: which plans can run, seconds of a step, bytes on the fullest device."""

    valid: NDArray[Any]
    step_s: NDArray[Any]
    total_bytes: NDArray[Any]


class Least(NamedTuple):
    """The least value of each row, and where among its ep and interleaves it is."""

    values: NDArray[Any]
    at: NDArray[Any]


class Noted(NamedTuple):
    """What is kept of a mesh of one kind: the fastest that fit, the fastest that do not, the smallest; and counts."""

    mesh: Mesh
    kind: Kind
    fitting: Least
    too_large: Least
    smallest: Least
    valid_plans: int
    fitting_plans: int


def search(task: Task, shown: int = 8) -> Found:
    """Times and weighs every plan of the space; `shown` is how many of each sort are told."""
    import numpy as np

    started_s = perf_counter()
    bounds = space(task.job, task.devices)
    noted = [_noted(task, mesh, kind, priced) for mesh in _meshes(bounds) for kind, priced in _priced(task, mesh)]
    best_s = min((float(each.fitting.values.min()) for each in noted), default=np.inf)
    return Found(
        best=_told(noted, [each.fitting for each in noted], shown),
        too_large=_told(noted, [each.too_large for each in noted], shown, below=best_s),
        nearest=next(iter(_told(noted, [each.smallest for each in noted], 1)), None),
        evaluated=sum(each.mesh.valid.size for each in noted),
        valid=sum(each.valid_plans for each in noted),
        fitting=sum(each.fitting_plans for each in noted),
        seconds=perf_counter() - started_s,
    )


def _meshes(bounds: Space) -> Iterator[Mesh]:
    """The space in blocks: without a pipeline, with one, and with one whose stages are interleaved."""
    rows = _rows(bounds)
    piped = rows.pp > 1
    for chosen, interleaved in ((~piped, False), (piped, False), (piped & _rounds(rows, bounds), True)):
        yield from _blocks(rows.chosen(chosen), bounds, interleaved)


def _rows(bounds: Space) -> Rows:
    """Every (tp, pp, cp, micro-batch), by the number of stages."""
    import numpy as np

    ways = sorted(layouts(bounds), key=lambda layout: layout[1])
    splits = {split: number for number, split in enumerate(dict.fromkeys(way[:2] for way in ways))}
    copies = [bounds.devices // prod(way) for way in ways]
    micro_batches = [np.array(divisors(bounds.global_batch // n), dtype=np.float64) for n in copies]
    each = np.array([(*way, n, splits[way[:2]]) for way, n in zip(ways, copies, strict=True)], dtype=np.float64)
    table = np.repeat(each.reshape(-1, 5), [len(sizes) for sizes in micro_batches], axis=0)
    tp, pp, cp, dp, split = table.T
    return Rows(tp, pp, cp, dp, np.concatenate([np.empty(0), *micro_batches]), split.astype(np.intp))


def _rounds(rows: Rows, bounds: Space) -> NDArray[Any]:
    """Where an interleaved schedule can run: micro-batches come in rounds of pp (arXiv:2104.04473, section 2.2)."""
    import numpy as np

    parted = [pp for pp in np.unique(rows.pp) if len(interleaves(bounds, int(pp))) > 1]
    count = bounds.global_batch / (rows.dp * rows.micro_batch)
    rounds: NDArray[Any] = np.isin(rows.pp, parted) & (count % rows.pp == 0)
    return rounds


def _blocks(rows: Rows, bounds: Space, interleaved: bool) -> Iterator[Mesh]:
    """Pieces of the rows, as many as fill a block with their ep and interleaves."""
    import numpy as np

    shares = len(divisors(bounds.experts))
    wide = {pp: shares * (len(interleaves(bounds, int(pp))) if interleaved else 1) for pp in np.unique(rows.pp)}
    filled = np.cumsum([wide[pp] for pp in rows.pp]) // BLOCK
    for block in np.unique(filled):
        yield _mesh(rows.chosen(filled == block), bounds, interleaved)


def _mesh(rows: Rows, bounds: Space, interleaved: bool) -> Mesh:
    """Rows with all their ep, and with 1 or with all larger interleaves; the axes are rows, ep, interleave."""
    import numpy as np

    allowed = {pp: interleaves(bounds, int(pp))[1:] if interleaved else [1] for pp in np.unique(rows.pp)}
    parts = np.array(sorted({v for each in allowed.values() for v in each}), dtype=np.float64)
    cuts = np.array([np.isin(parts, each) for each in allowed.values()])[np.searchsorted(list(allowed), rows.pp)]
    ep = np.array(divisors(bounds.experts), dtype=np.float64)[None, :, None]
    tp, pp, cp, dp, micro_batch = (column[:, None, None] for column in rows[:5])
    valid = (tp * cp * dp % ep == 0) & cuts[:, None, :]
    numbers: dict[str, Any] = {"tp": tp, "pp": pp, "cp": cp, "dp": dp, "micro_batch": micro_batch}
    # Without tensor parallelism, sequence parallelism changes nothing.
    plan = Plan(**numbers, ep=ep, interleave=parts[None, None, :], sequence_parallel=True)
    return Mesh(rows, plan, valid)


def _priced(task: Task, mesh: Mesh) -> Iterator[tuple[Kind, Priced]]:
    """The mesh in every kind that makes sense for it."""
    import numpy as np

    made = effort(task.job, mesh.plan, task.engine)
    copies = (mesh.rows.dp * mesh.rows.cp > 1)[:, None, None]
    for kind in _kinds(task, piped=bool((mesh.rows.pp > 1).any())):
        plan = replace(mesh.plan, recompute=kind.recompute, zero=kind.zero)
        valid = mesh.valid & copies if kind.zero else mesh.valid
        step_s = np.broadcast_to(scheduled(task.job, plan, task.engine, made).step_s, valid.shape)
        memory = peak_training_bytes(task.architecture, task.job, plan, task.habits, adapters=task.adapters)
        yield kind, Priced(valid, step_s, np.broadcast_to(memory.total_bytes, valid.shape))


def _kinds(task: Task, piped: bool) -> list[Kind]:
    """Recomputing scores alone is for engines that keep them, or that mean other products by it.

    ZeRO 2 and 3 share after every micro-batch: over a pipeline only an engine that keeps them whole meanwhile does it.
    """
    selective = task.engine.constants.score_passes > 0 or task.habits.selective == "products"
    recomputes = [r for r in RECOMPUTES if selective or r != "selective"]
    zeros = [z for z in ZEROS if z < 2 or not piped or task.habits.accumulated_bytes]
    return [Kind(*kind) for kind in product(recomputes, zeros)]


def _noted(task: Task, mesh: Mesh, kind: Kind, priced: Priced) -> Noted:
    """The best of each row."""
    import numpy as np

    valid, step_s, total_bytes = priced
    fits = valid & (total_bytes <= task.room_bytes)
    return Noted(
        mesh=mesh,
        kind=kind,
        fitting=_least(np.where(fits, step_s, np.inf)),
        too_large=_least(np.where(valid & ~fits, step_s, np.inf)),
        smallest=_least(np.where(valid, total_bytes, np.inf)),
        valid_plans=int(np.count_nonzero(valid)),
        fitting_plans=int(np.count_nonzero(fits)),
    )


def _least(values: NDArray[Any]) -> Least:
    import numpy as np

    flat = values.reshape(len(values), -1)
    at = flat.argmin(axis=1)
    return Least(flat[np.arange(len(flat)), at], at)


def _told(noted: Sequence[Noted], of: Sequence[Least], shown: int, below: float = inf) -> tuple[Entry, ...]:
    """The plans of least value, one of each (tp, pp), the least first."""
    import numpy as np

    if not noted:
        return ()
    values = np.concatenate([each.values for each in of])
    splits = np.concatenate([each.mesh.rows.split for each in noted])
    ends = np.cumsum([len(each.values) for each in of])
    least = np.full(splits.max() + 1, np.inf)
    np.minimum.at(least, splits, values)
    told = []
    for number in np.argsort(least, kind="stable")[:shown]:
        if least[number] < below:
            row = int(np.flatnonzero((splits == number) & (values == least[number]))[0])
            block = int(np.searchsorted(ends, row, side="right"))
            row -= int(ends[block]) - len(of[block].values)
            told.append(Entry(_plan(noted[block], row, int(of[block].at[row])), float(least[number])))
    return tuple(told)


def _plan(noted: Noted, row: int, at: int) -> Plan:
    """One plan of a mesh in plain numbers."""
    import numpy as np

    mesh, kind = noted.mesh, noted.kind
    here = (row, *divmod(at, mesh.valid.shape[2]))
    numbers: dict[str, Any] = {n: int(np.broadcast_to(getattr(mesh.plan, n), mesh.valid.shape)[here]) for n in NUMBERS}
    return Plan(**numbers, recompute=kind.recompute, zero=kind.zero, sequence_parallel=numbers["tp"] > 1)
