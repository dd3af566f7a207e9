"""Batches out of running text: random windows to train on, fixed ones to validate on, masks for a masked LM.

Each is a pure function of the seed and the step. Legend: B sequences, T tokens.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepwide.errors import BadInput
from deepwide.lab.data.draws import draws, shares

IGNORED = -100  # the target of a token that is not to be predicted
MASKED_SHARE = 0.15  # BERT (Devlin et al. 2019, section 3.1): of those, 80% masked, 10% replaced, 10% kept
HIDDEN_SHARE, REPLACED_SHARE = 0.8, 0.1
COUNTED_AT_ONCE = 2**22


def batch(tokens: NDArray[Any], *, context: int, batch: int, seed: int, step: int) -> NDArray[np.int64]:
    """Random windows [B, context + 1]."""
    _check(tokens, context)
    raw = draws(seed, step, purpose="windows", rows=batch, columns=1)
    starts = (raw % np.uint64(len(tokens) - context)).astype(np.int64)
    return _windows(tokens, starts, context)


def validation_batches(
    tokens: NDArray[Any], *, context: int, batch: int, limit: int | None = None
) -> Iterator[NDArray[np.int64]]:
    """Fixed windows [up to B, context + 1], at most `limit` batches, spread evenly over the text.

    A window begins with the last token of the one before it, so that every token but the first is predicted once.
    """
    _check(tokens, context)
    if batch <= 0 or (limit is not None and limit <= 0):
        raise BadInput(f"batch={batch} and limit={limit} must be positive")
    windows = (len(tokens) - 1) // context
    chosen = min(windows, limit * batch) if limit else windows
    numbers = np.arange(chosen, dtype=np.int64) * windows // chosen
    for first in range(0, chosen, batch):
        yield _windows(tokens, numbers[first : first + batch, None] * context, context)


def masked(
    tokens_BT: NDArray[np.int64],
    *,
    mask: int,
    vocab: int,
    seed: int,
    step: int,
    specials: Sequence[int] = (),
    share: float = MASKED_SHARE,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """What a masked LM reads, and its targets [B, T]: the tokens hidden from it, −100 elsewhere.

    Each token but the special ones is chosen with this share, and at least one in a row, so that there is a loss; of
    the chosen, 80% read as `mask`, 10% as any token, 10% as they are.
    """
    if not 0 < share < 1 or not 0 <= mask < vocab:
        raise BadInput(f"share={share} must be between 0 and 1, and mask={mask} a token of vocab={vocab}")
    rows, columns = tokens_BT.shape
    hidden = {*specials, mask}
    raw = draws(seed, step, purpose="masks", rows=rows, columns=3 * columns)
    choice_BT, fate_BT = shares(raw[:, :columns]), shares(raw[:, columns : 2 * columns])
    for number in hidden:
        choice_BT[tokens_BT == number] = math.inf
    least_B1 = choice_BT.min(axis=1, keepdims=True)
    chosen_BT = (choice_BT < share) | ((choice_BT == least_B1) & np.isfinite(choice_BT))
    replaced_BT = np.where(fate_BT < HIDDEN_SHARE, mask, _any_token(raw[:, 2 * columns :], vocab, hidden))
    changed_BT = chosen_BT & (fate_BT < HIDDEN_SHARE + REPLACED_SHARE)
    return np.where(changed_BT, replaced_BT, tokens_BT), np.where(chosen_BT, tokens_BT, IGNORED)


def unigram_entropy(tokens: NDArray[Any]) -> float:
    """Nats a token that are left to a model that knows how often each token comes, and nothing else.

    H = −Σ p ln p
    """
    counts: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
    for first in range(0, len(tokens), COUNTED_AT_ONCE):
        more = np.bincount(tokens[first : first + COUNTED_AT_ONCE], minlength=len(counts))
        more[: len(counts)] += counts
        counts = more
    p = counts[counts > 0] / max(1, len(tokens))
    return float(-(p * np.log(p)).sum())


def _windows(tokens: NDArray[Any], starts_B1: NDArray[np.int64], context: int) -> NDArray[np.int64]:
    windows: NDArray[np.int64] = tokens[starts_B1 + np.arange(context + 1)].astype(np.int64)
    return windows


def _any_token(raw: NDArray[np.uint64], vocab: int, specials: set[int]) -> NDArray[np.int64]:
    """Any token that is not special: numbers from as many as there are, moved up past each special one."""
    skipped = sorted(number for number in specials if 0 <= number < vocab)
    numbers = (raw % np.uint64(max(1, vocab - len(skipped)))).astype(np.int64)
    for number in skipped:
        numbers += numbers >= number
    return numbers


def _check(tokens: NDArray[Any], context: int) -> None:
    if context <= 0:
        raise BadInput(f"context={context} must be positive")
    if len(tokens) <= context:
        raise BadInput(
            f"context={context} needs {context + 1} tokens to train on and as many to validate on, and there are "
            f"{len(tokens)}; give more text or a smaller context"
        )
