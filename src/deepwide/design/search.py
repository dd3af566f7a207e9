"""Searching the space: every shape is priced, block by block; what is kept is the best one, and the fronts.

The best is the shape of lowest predicted loss that keeps to every limit, so that more of anything never makes it
worse. Shards of the space can be searched anywhere and in any order: their tallies merge to the same result.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from deepwide.architecture.ledger import lower
from deepwide.design.front import Columns, Front
from deepwide.design.pricing import Purpose, priced, within
from deepwide.design.space import Block, blocks, template

if TYPE_CHECKING:
    from numpy.typing import NDArray

COSTS = ("decode_s", "memory_bytes", "step_s")  # what fronts hold against the loss; a step only with a cluster
Row = dict[str, float]


@dataclass(slots=True)
class Tally:
    """What a search has seen: shapes looked at, shapes that keep to the limits, and of those the best and the fronts.

    filling    whether any shape as large as was meant keeps to the limits; while none does, `nearest` is the one that
               misses them by least, `worst` being by what share
    """

    counted: int = 0
    feasible: int = 0
    filling: bool = False
    best: Columns = field(default_factory=dict)
    fronts: dict[str, Front] = field(default_factory=dict)
    nearest: Columns = field(default_factory=dict)

    def merge(self, other: Tally) -> None:
        """Takes another shard's tally in."""
        self.counted += other.counted
        self.feasible += other.feasible
        self.filling = self.filling or other.filling
        self.best = _first(self.best, other.best, "loss")
        self.nearest = _first(self.nearest, other.nearest, "worst")
        for cost, front in other.fronts.items():
            mine = self.fronts.setdefault(cost, Front(cost))
            if front.rows:
                mine.add(front.rows)


def tally(purpose: Purpose, shard: int = 0, shards: int = 1) -> Tally:
    """Looks at every `shards`-th block of the space."""
    found = Tally(fronts={cost: Front(cost) for cost in COSTS if cost != "step_s" or purpose.cluster})
    for block in islice(blocks(purpose.space), shard, None, shards):
        _look(found, purpose, block)
    return found


def _look(found: Tally, purpose: Purpose, block: Block) -> None:
    """One block: shapes with too many parameters are told from them alone, the others are priced."""
    import numpy as np

    found.counted += block.size
    block = _cropped(purpose, block, _reach(found))
    columns = priced(purpose, block)
    shape = np.broadcast(block.layers, block.hidden).shape
    columns["worst"] = np.broadcast_to(within(purpose.limits, columns), shape)
    kept = columns["worst"] <= 1.0
    feasible = int(np.count_nonzero(kept))
    found.feasible += feasible
    _fill(found, purpose, block, columns)
    if not feasible:
        return
    places = np.nonzero(kept)
    loss = np.broadcast_to(columns["loss"], shape)[places]
    lowest = loss.min()
    if not found.best or lowest <= found.best["loss"][0]:
        ties = tuple(place[loss == lowest] for place in places)
        found.best = _first(found.best, taken(block, columns, ties), "loss")
    for cost, front in found.fronts.items():
        better = front.improving(np.broadcast_to(columns[cost], shape)[places], loss)
        front.add(taken(block, columns, tuple(place[better] for place in places)))


def _fill(found: Tally, purpose: Purpose, block: Block, columns: dict[str, Any]) -> None:
    """Whether a shape as large as was meant keeps to the limits; while none does, the one that misses them by least."""
    import numpy as np

    if found.filling:
        return
    meant = columns["worst"]
    if purpose.filled is not None:
        meant = np.where(columns["parameters"] >= purpose.filled, meant, np.inf)
    least = int(np.argmin(meant))
    at = np.unravel_index([least], meant.shape)
    found.filling = bool(meant[at][0] <= 1.0)
    if not found.filling and meant[at][0] < np.inf:
        found.nearest = _first(found.nearest, taken(block, columns, at), "worst")


def _reach(found: Tally) -> float:
    """How many times the limit on parameters a shape may have and still be found: while none keeps to it, the nearest.

    >>> _reach(Tally(filling=True))
    1.0
    """
    if found.filling:
        return 1.0
    return float(found.nearest["worst"][0]) if found.nearest else float("inf")


def _cropped(purpose: Purpose, block: Block, reach: float) -> Block:
    """The block without the layers and the columns that are too large whatever they meet; its smallest shape stays."""
    most = purpose.most("parameters")
    if most is None or reach == float("inf"):
        return block
    small: Any = lower(template(purpose.space, block)).parameters() <= most * reach
    if small.all():
        return block
    rows, columns = small.any(axis=1), small.any(axis=0)
    rows[0] = columns[0] = True
    return block.part(rows, columns)


def taken(block: Block, columns: dict[str, Any], where: tuple[NDArray[Any], ...]) -> Columns:
    """Rows of a block, every column as long as there are rows."""
    import numpy as np

    kind, shape = block.kind, np.broadcast(block.layers, block.hidden).shape
    own = {name: getattr(block, name) for name in ("number", "layers", "hidden", "heads", "kv_heads", "ffn")}
    fixed = {
        "head_dim": kind.head_dim,
        "vocab": kind.vocab,
        "experts": kind.mixture.experts,
        "active_experts": kind.mixture.active,
    }
    every = {**own, **fixed, **columns}
    return {name: np.broadcast_to(np.asarray(column, float), shape)[where] for name, column in every.items()}


def _first(a: Columns, b: Columns, by: str) -> Columns:
    """Of two sets of rows the one row that is first by a column; of equals the faster, then the first of the space."""
    import numpy as np

    joined = {name: np.concatenate([a[name], b[name]]) for name in a} if a and b else a or b
    if not joined or not len(joined[by]):
        return {}
    first = np.lexsort((joined["number"], joined["decode_s"], joined[by]))[:1]
    return {name: column[first] for name, column in joined.items()}


def merged(tallies: Iterable[Tally]) -> Tally:
    """All shards together."""
    whole = Tally()
    for each in tallies:
        whole.merge(each)
    return whole


def near(purpose: Purpose, parameters: float, tolerance: float) -> Columns:
    """All shapes of about one size that keep to the limits, priced one by one."""
    import numpy as np

    kept: list[Columns] = []
    for block in blocks(purpose.space):
        sizes = lower(template(purpose.space, block)).parameters()
        close = np.flatnonzero(np.abs(sizes / parameters - 1) <= tolerance)
        if len(close):
            flat = block.flat(close)
            columns = priced(purpose, flat)
            columns["worst"] = within(purpose.limits, columns)
            kept.append(taken(flat, columns, np.nonzero(np.broadcast_to(columns["worst"], len(close)) <= 1.0)))
    return {name: np.concatenate([rows[name] for rows in kept]) for name in kept[0]} if kept else {}


def row(columns: Columns, index: int = 0) -> Row:
    """One row as plain numbers."""
    return {name: float(column[index]) for name, column in columns.items()}


def deep_to_wide(columns: Columns, marks: int, best: float) -> list[int]:
    """Indices of a table from deep to wide: the lowest loss near each of `marks` aspect ratios, evenly by factors."""
    import numpy as np

    aspect = np.log(columns["hidden"] / columns["layers"])
    at = np.linspace(aspect.min(), aspect.max(), marks)
    width = at[1] - at[0] if marks > 1 else 1.0
    chosen = []
    for mark in at:
        close = np.flatnonzero(np.abs(aspect - mark) <= width / 4)
        if len(close) and abs(mark - np.log(best)) > width / 2:
            chosen.append(int(close[np.argmin(columns["loss"][close])]))
    return sorted(chosen, key=lambda i: float(aspect[i]))
