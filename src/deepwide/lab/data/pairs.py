"""Batches for an encoder-decoder: a source to read and a target to write.

Either pairs that a task made (`copy`, `reverse`), or running text: the first part of a window, and what follows it.
Legend: B sequences, S tokens of a source, T of a target.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepwide.errors import BadInput
from deepwide.lab.data.batches import IGNORED, batch, validation_batches
from deepwide.lab.data.draws import draws
from deepwide.lab.data.tokenizer import Tokenizer


class PairBatch(NamedTuple):
    """What an encoder-decoder is trained on.

    sources      [B, S], what the encoder reads
    source_kept  [B, S], False at padding
    inputs       [B, T], what the decoder reads: `start`, then the target
    targets      [B, T], what it is to write: the target, then `end`; −100 is not predicted
    """

    sources: NDArray[np.int64]
    source_kept: NDArray[np.bool_]
    inputs: NDArray[np.int64]
    targets: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Where the pairs of a side lie: each is source, `start`, target, `end`.

    Every batch is as wide as `source_context`, the longest source, and `context`, the longest target with its `end`.
    """

    tokens: NDArray[Any]
    begins: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    pad: int
    source_context: int
    context: int

    def __len__(self) -> int:
        return len(self.begins)


def pairs_of(tokens: NDArray[Any], tokenizer: Tokenizer) -> Pairs:
    """The pairs of one side of a corpus whose task is `pairs`."""
    ends = np.flatnonzero(tokens == tokenizer.special("end"))
    starts = np.flatnonzero(tokens == tokenizer.special("start"))
    begins = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    if not len(ends) or len(starts) != len(ends) or not bool(np.all((begins <= starts) & (starts < ends))):
        raise BadInput(
            "these tokens are running text, not pairs; take data=copy or data=reverse, or use windows of the text"
        )
    return Pairs(
        tokens=tokens,
        begins=begins,
        starts=starts,
        ends=ends,
        pad=tokenizer.special("pad"),
        source_context=int((starts - begins).max()),
        context=int((ends - starts).max()),
    )


def pair_batch(pairs: Pairs, *, batch: int, seed: int, step: int) -> PairBatch:
    """Random pairs."""
    raw = draws(seed, step, purpose="windows", rows=batch, columns=1)
    return _padded(pairs, (raw[:, 0] % np.uint64(len(pairs))).astype(np.int64))


def pair_validation_batches(pairs: Pairs, *, batch: int, limit: int | None = None) -> Iterator[PairBatch]:
    """The first pairs, each once, at most `limit` batches."""
    if batch <= 0 or (limit is not None and limit <= 0):
        raise BadInput(f"batch={batch} and limit={limit} must be positive")
    count = min(len(pairs), limit * batch) if limit else len(pairs)
    for first in range(0, count, batch):
        yield _padded(pairs, np.arange(first, min(first + batch, count)))


def continuation_batch(
    tokens: NDArray[Any],
    *,
    source_context: int,
    context: int,
    start: int,
    batch: int,
    seed: int,
    step: int,
) -> PairBatch:
    """Random windows of running text: read `source_context` tokens, write the `context` tokens that follow."""
    window = _window(source_context, context)
    rows = windows(tokens, context=window, batch=batch, seed=seed, step=step)
    return _continued(rows, source_context, start)


def continuation_validation_batches(
    tokens: NDArray[Any], *, source_context: int, context: int, start: int, batch: int, limit: int | None = None
) -> Iterator[PairBatch]:
    """Fixed windows of running text, spread evenly over it."""
    window = _window(source_context, context)
    for rows in validation_batches(tokens, context=window, batch=batch, limit=limit):
        yield _continued(rows, source_context, start)


windows = batch  # its name is also the keyword by which everybody says how many


def _window(source_context: int, context: int) -> int:
    """The context, as windows count it (one token less than they hold), of a source and its target."""
    if source_context <= 0 or context <= 0:
        raise BadInput(f"source_context={source_context} and context={context} must be positive")
    return source_context + context - 1


def _padded(pairs: Pairs, chosen: NDArray[np.int64]) -> PairBatch:
    sources_BS, source_kept_BS = _filled(pairs, pairs.begins[chosen], pairs.starts[chosen], pairs.source_context)
    inputs_BT, kept_BT = _filled(pairs, pairs.starts[chosen], pairs.ends[chosen], pairs.context)
    next_BT, _ = _filled(pairs, pairs.starts[chosen] + 1, pairs.ends[chosen] + 1, pairs.context)
    return PairBatch(sources_BS, source_kept_BS, inputs_BT, np.where(kept_BT, next_BT, IGNORED))


def _filled(
    pairs: Pairs, begins: NDArray[np.int64], ends: NDArray[np.int64], width: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The tokens from each begin to its end, and which of them are no padding."""
    places = begins[:, None] + np.arange(width)
    kept = places < ends[:, None]
    found = pairs.tokens[np.minimum(places, len(pairs.tokens) - 1)]
    return np.where(kept, found, pairs.pad).astype(np.int64), kept


def _continued(rows: NDArray[np.int64], source_context: int, start: int) -> PairBatch:
    sources_BS, targets_BT = rows[:, :source_context], rows[:, source_context:]
    first_B1 = np.full((len(rows), 1), start, dtype=np.int64)
    inputs_BT = np.concatenate([first_B1, targets_BT[:, :-1]], axis=1)
    return PairBatch(sources_BS, np.ones_like(sources_BS, dtype=np.bool_), inputs_BT, targets_BT)
