"""How the next token is chosen from the scores of all: the best, or drawn at random, from all or from the likeliest.

Shapes: B batch, V vocabulary. Scores are logits; what is ruled out has a score of minus infinity.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from deepwide.errors import BadInput

LARGEST_SEED = 2**63


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """How many tokens are drawn, and from what.

    tokens            at most so many
    temperature       scores are divided by it: 0 always takes the best, 1 draws as the model says
    top_k             only the k best; None is all
    top_p             only the likeliest that together reach this probability (Holtzman et al. 2020, arXiv:1904.09751)
    seed              the same draws for the same one
    """

    tokens: int
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.tokens < 1:
            raise BadInput(f"tokens={self.tokens} must be at least 1")
        if not 0 <= self.temperature < math.inf:
            raise BadInput(f"temperature={self.temperature} must be 0 (always the best token) or a number above it")
        if self.top_k is not None and self.top_k < 1:
            raise BadInput(f"top_k={self.top_k} must be at least 1; leave it out to draw from all tokens")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise BadInput(f"top_p={self.top_p} must be above 0 and at most 1; leave it out to draw from all tokens")
        if not 0 <= self.seed < LARGEST_SEED:
            raise BadInput(f"seed={self.seed} must be a whole number from 0 to 2^63 - 1")


def chosen(scores_BV: Tensor, choice: Choice, generator: torch.Generator) -> Tensor:
    """The next token of each row [B]: temperature first, then the k best, then the likeliest of these."""
    if choice.temperature == 0:
        return scores_BV.argmax(dim=-1)
    scores_BV = tempered(scores_BV, choice.temperature)
    if choice.top_k is not None:
        scores_BV = only_best(scores_BV, choice.top_k)
    if choice.top_p is not None:
        scores_BV = only_likeliest(scores_BV, choice.top_p)
    return torch.multinomial(scores_BV.softmax(dim=-1), 1, generator=generator)[:, 0]


def tempered(scores_BV: Tensor, temperature: float) -> Tensor:
    """Scores divided by the temperature, in float64; the best is 0, so that none overflows near a temperature of 0."""
    wide_BV = scores_BV.double()
    return (wide_BV - wide_BV.amax(dim=-1, keepdim=True)) / temperature


def only_best(scores_BV: Tensor, k: int) -> Tensor:
    """The k best scores, exactly k where there are ties; all where k exceeds the vocabulary."""
    kept = scores_BV.topk(min(k, scores_BV.shape[-1]), dim=-1).indices
    return _only(scores_BV, torch.zeros_like(scores_BV, dtype=torch.bool).scatter(-1, kept, True))


def only_likeliest(scores_BV: Tensor, p: float) -> Tensor:
    """The smallest set of tokens whose probability reaches p: each is kept whose betters do not reach it without it."""
    if p >= 1:
        return scores_BV
    falling, order = scores_BV.double().softmax(dim=-1).sort(dim=-1, descending=True, stable=True)
    betters = falling.cumsum(dim=-1) - falling
    betters[:, 0] = 0.0  # the best is kept whatever rounding says
    return _only(scores_BV, torch.zeros_like(betters, dtype=torch.bool).scatter(-1, order, betters < p))


def _only(scores_BV: Tensor, kept_BV: Tensor) -> Tensor:
    return scores_BV.masked_fill(~kept_BV, -math.inf)
