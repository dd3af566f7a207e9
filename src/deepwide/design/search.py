"""Searching the space: every shape near the budget is priced, and one of them is recommended, with its reason."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deepwide.architecture.ledger import lower
from deepwide.cost.inference.engine import Engine
from deepwide.cost.inference.passes import Work, forward
from deepwide.cost.memory import cached_elements_per_token
from deepwide.design.space import Block, Space, blocks, template
from deepwide.quality.shape import DIFFERENCE_SD, shape_loss

if TYPE_CHECKING:
    from numpy.typing import NDArray

COLUMNS = ("layers", "hidden", "heads", "kv_heads", "head_dim", "ffn")


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What a shape is for: the tokens it is trained on, and the tokens in view while it decodes."""

    tokens: float
    context: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """Shapes with what they cost and how good they will be: one column per quantity, one entry per shape.

    parameters, weight_bytes, kv_cache_bytes_per_token, decode_s, loss [nats per token], low and high (95%),
    shape_effect (the part of the loss that a better hidden/layers would save), outside (factors of e off the fit).
    """

    columns: dict[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.columns["layers"])

    def row(self, index: int) -> dict[str, float | int]:
        """One shape as plain numbers; sizes as whole ones."""
        whole = {*COLUMNS, "parameters", "weight_bytes", "kv_cache_bytes_per_token"}
        return {n: int(c[index]) if n in whole else float(c[index]) for n, c in self.columns.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The result of a search: how much was looked at, the shapes near the budget, and the index of the best."""

    counted: int
    too_large: int
    priced: Priced
    best: int
    tied: int
    seconds: float


def price(space: Space, block: Block, on: Engine, use: Use) -> Priced:
    """Everything that is said of a block's shapes, in one pass of the ledger."""
    import numpy as np

    ledger = lower(template(space, block))
    parameters = ledger.parameters()
    head = space.vocab * block.hidden
    quality = shape_loss(ledger.body_parameters(), head, block.layers, block.hidden, use.tokens)
    values: dict[str, Any] = {
        **{name: getattr(block, name) for name in COLUMNS},
        "parameters": parameters,
        "weight_bytes": parameters * on.weight_bytes(None),
        "kv_cache_bytes_per_token": cached_elements_per_token(ledger) * on.cache_bytes,
        "decode_s": forward(ledger, Work(past=use.context), on).total_s,
        "loss": quality.loss,
        "low": quality.low,
        "high": quality.high,
        "shape_effect": quality.shape_effect,
        "outside": quality.outside,
    }
    return Priced(columns={n: np.broadcast_to(np.asarray(v, dtype=float), (len(block),)) for n, v in values.items()})


def search(
    space: Space,
    on: Engine,
    use: Use,
    *,
    parameters: float,
    tolerance: float,
    capacity_bytes: float = float("inf"),
    progress: Callable[[int], None] = lambda counted: None,
) -> Found:
    """Counts every shape of the space, prices those within `tolerance` of the budget, recommends one.

    Shapes whose weights and cache exceed `capacity_bytes` are counted but left out.
    The recommended shape is the fastest to decode among those whose loss is within one standard deviation of a
    difference between shapes from the lowest.
    """
    started, counted, too_large, kept = time.perf_counter(), 0, 0, []
    for block in blocks(space):
        near = block.chosen(_near(space, block, parameters, tolerance))
        counted += len(block)
        progress(counted)
        if len(near):
            columns = price(space, near, on, use).columns
            bytes_needed = columns["weight_bytes"] + use.context * columns["kv_cache_bytes_per_token"]
            fits = bytes_needed <= capacity_bytes
            too_large += int((~fits).sum())
            kept.append({name: column[fits] for name, column in columns.items()})
    columns = _joined(kept)
    best, tied = _recommended(columns) if len(columns["layers"]) else (-1, 0)
    return Found(
        counted=counted,
        too_large=too_large,
        priced=Priced(columns=columns),
        best=best,
        tied=tied,
        seconds=time.perf_counter() - started,
    )


def _near(space: Space, block: Block, parameters: float, tolerance: float) -> NDArray[Any]:
    """Indices of the shapes whose size is near the budget."""
    import numpy as np

    sizes = lower(template(space, block)).parameters()
    return np.flatnonzero(np.abs(sizes / parameters - 1) <= tolerance)


def _joined(kept: list[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    import numpy as np

    if not kept:
        return {"layers": np.empty(0)}
    return {name: np.concatenate([columns[name] for columns in kept]) for name in kept[0]}


def _recommended(columns: dict[str, NDArray[Any]]) -> tuple[int, int]:
    """The index of the fastest shape among those as good as the lowest loss, and how many those are."""
    import numpy as np

    tied = np.flatnonzero(columns["loss"] <= columns["loss"].min() + DIFFERENCE_SD)
    return int(tied[np.argmin(columns["decode_s"][tied])]), len(tied)


def front(columns: dict[str, NDArray[Any]]) -> list[int]:
    """Indices of the shapes that none beats in both loss and decode time, from the best loss to the fastest."""
    import numpy as np

    order = np.lexsort((columns["loss"], columns["decode_s"]))
    lowest = np.minimum.accumulate(columns["loss"][order])
    first = np.concatenate([[True], lowest[1:] < lowest[:-1]])
    return [int(i) for i in order[first]][::-1]


def deep_to_wide(columns: dict[str, NDArray[Any]], rows: int, best: int) -> list[int]:
    """Indices of a table from deep to wide: the fastest shape near each of `rows` aspect ratios, the best included."""
    import numpy as np

    aspect = np.log(columns["hidden"] / columns["layers"])
    marks = np.linspace(aspect.min(), aspect.max(), rows)
    width = marks[1] - marks[0] if rows > 1 else 1.0
    chosen = {best}
    for mark in marks:
        near = np.flatnonzero(np.abs(aspect - mark) <= width / 4)
        if len(near):
            chosen.add(int(near[np.argmin(columns["decode_s"][near])]))
    return sorted(chosen, key=lambda i: float(aspect[i]))
