"""The cheapest model that reaches a loss, when serving it costs too, and the tokens that a budget leaves.

A smaller model trained for longer reaches the same loss and costs less for every token served.
Source: Sardana et al. 2023, arXiv:2401.00448; validated up to 10,000 tokens per parameter, where laws fitted at
ordinary ratios promise too much of further tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from deepwide.quality.trained import FLOPS_PER_PARAMETER
from deepwide.units import Real

SERVING_FLOPS_PER_PARAMETER = 2  # of a token read or written: a multiply and an add
FEWEST_TOKENS, MOST_TOKENS = 1e3, 1e20  # where the search for tokens ends
HALVINGS = 70


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """For each target the cheapest choice: its index among the sizes, its tokens, and FLOPs over its whole life.

    Where no size reaches the target, flops and tokens are infinite.
    """

    choice: Real
    size: Real
    tokens: Real
    flops: Real


def lifetime_flops(size: Real, tokens: Real, serve_tokens: Real) -> Real:
    """FLOPs of training and of serving.

    C = 6 N D + 2 N D_served                    Sardana et al. 2023, arXiv:2401.00448, eq. 2
    """
    return FLOPS_PER_PARAMETER * size * tokens + SERVING_FLOPS_PER_PARAMETER * size * serve_tokens


def tokens_left(flops: Real, size: Real, serve_tokens: Real = 0.0) -> Real:
    """Tokens that a size can be trained on when training and serving together may take so many FLOPs; 0 at least.

    D = (C - 2 N D_served) / (6 N)
    """
    import numpy as np

    left: Real = np.maximum(flops - SERVING_FLOPS_PER_PARAMETER * size * serve_tokens, 0) / (FLOPS_PER_PARAMETER * size)
    return left


def tokens_for(loss: Callable[[Real], Real], target: Real) -> Real:
    """Tokens after which a loss that falls with tokens comes down to its target; infinite where it never does.

    `loss` takes an array of tokens, as wide as the sizes it was made for.
    """
    import numpy as np

    wanted = np.asarray(target, dtype=float)
    shape = np.broadcast(wanted, loss(np.asarray(FEWEST_TOKENS))).shape
    low, high = np.full(shape, np.log(FEWEST_TOKENS)), np.full(shape, np.log(MOST_TOKENS))
    reached = loss(np.exp(high)) <= wanted
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        too_few = loss(np.exp(middle)) > wanted
        low, high = np.where(too_few, middle, low), np.where(too_few, high, middle)
    tokens: Real = np.where(reached, np.exp(high), np.inf)
    return tokens


def cheapest(loss: Callable[[Real], Real], sizes: Real, target: Real, serve_tokens: Real) -> Served:
    """Which of several sizes reaches each target with the fewest FLOPs of training and serving.

    min over N, D of 6 N D + 2 N D_served, with L(N, D) = target          Sardana et al. 2023, arXiv:2401.00448
    `loss` takes tokens [..., sizes] and gives losses of that shape; targets and serve_tokens are one or many.
    """
    import numpy as np

    wanted, served = np.broadcast_arrays(np.asarray(target, dtype=float), np.asarray(serve_tokens, dtype=float))
    needed = tokens_for(loss, wanted[..., None])
    spent = lifetime_flops(sizes, needed, served[..., None])
    best = np.argmin(spent, axis=-1)
    at = best[..., None]
    return Served(
        choice=best,
        size=np.asarray(sizes)[best],
        tokens=np.take_along_axis(needed, at, -1)[..., 0],
        flops=np.take_along_axis(spent, at, -1)[..., 0],
    )
