"""The vocabulary: how much text a token covers, what that does to the loss, and how large it had best be.

Losses of different vocabularies cannot be compared per token: this law's loss is what a model gains over knowing only
how frequent each token is (nats below a unigram). Source: Tao et al. 2024, arXiv:2407.13623; constants, data and fitted
range in facts/loss_laws.toml.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from deepwide.arithmetic import least
from deepwide.facts import loss_laws
from deepwide.quality.trained import FLOPS_PER_PARAMETER
from deepwide.units import Num, Real

SMALLEST, LARGEST = 256.0, 1e8  # bytes alone, and more than any tokenizer has: where the search ends
HALVINGS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """E, A1 and a1 of the body, A2 and a2 of the vocabulary's parameters, B and b of the tokens."""

    floor: float
    size: float
    size_power: float
    vocabulary: float
    vocabulary_power: float
    data: float
    data_power: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TokensPerCharacter:
    """A parabola in ln V, flat above the largest vocabulary."""

    level: float
    per_log: float
    per_log_squared: float
    flat_above: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimalVocabulary:
    """ln of FLOPs to body, and ln and exponent of FLOPs to the vocabulary's parameters."""

    log_size: float
    log_vocabulary: float
    vocabulary_power: float


def tokens_per_character(vocab: Num) -> Real:
    """Tokens that a character of text takes: D = H f(V).

    f = 0.0064 ln^2 V - 0.1581 ln V + 1.2047, and no further down above V = 200,000     Tao et al. 2024, section 2.2
    """
    import numpy as np

    law = loss_laws.constants("tao-2024-tokens", TokensPerCharacter)
    log = np.log(least(vocab, law.flat_above))
    share: Real = law.per_log_squared * log**2 + law.per_log * log + law.level
    return share


def below_unigram(body: Num, hidden: Num, vocab: Num, tokens: Real, constants: Vocabulary) -> Real:
    """Loss less that of token frequencies alone; negative, lower is better, comparable between vocabularies.

    L_u = -E + A1 / N^a1 + A2 / (V d)^a2 + B / D^b        Tao et al. 2024, eq. 6; N and V d in millions, D in billions
    """
    c = constants
    of_size = c.size * (body / 1e6) ** -c.size_power + c.vocabulary * (vocab * hidden / 1e6) ** -c.vocabulary_power
    loss: Real = -c.floor + of_size + c.data * (tokens / 1e9) ** -c.data_power
    return loss


def vocabulary_effect(body: Num, hidden: Num, vocab: Num, base_vocab: Num, tokens: Real) -> Real:
    """What another vocabulary changes in L_u when the same text is read; `tokens` are those of the base vocabulary.

    L_u(V) - L_u(V0) at equal characters, so with D(V) = D(V0) f(V) / f(V0); below 0 is better
    """
    law = loss_laws.constants("tao-2024", Vocabulary)
    as_many = tokens * (tokens_per_character(vocab) / tokens_per_character(base_vocab))
    return below_unigram(body, hidden, vocab, as_many, law) - below_unigram(body, hidden, base_vocab, tokens, law)


def best_flops(body: Num) -> Real:
    """The compute at which a body of this size is the best one: N = e^-2.485 C^0.5, Tao et al. 2024, approach 1."""
    law = loss_laws.constants("tao-2024-optimum", OptimalVocabulary)
    flops: Real = (body / math.exp(law.log_size)) ** 2
    return flops


def published_vocab(body: Num, hidden: Num) -> Real:
    """The best vocabulary of a body trained compute-optimally: V d ~ N^0.83.

    V d = e^-1.589 C^0.416                                        Tao et al. 2024, approach 1: 39K at 3B, 62K at 7B
    """
    law = loss_laws.constants("tao-2024-optimum", OptimalVocabulary)
    vocab: Real = math.exp(law.log_vocabulary) * best_flops(body) ** law.vocabulary_power / hidden
    return vocab


def optimal_vocab(body: Num, hidden: Num, flops: Real) -> Real:
    """The vocabulary of the lowest L_u at a number of FLOPs, C = 6 (N + V d) D: a larger one leaves fewer tokens.

    The root of dL_u/dV, which changes sign once             Tao et al. 2024, approach 3
    """
    import numpy as np

    law = loss_laws.constants("tao-2024", Vocabulary)
    low = np.log(SMALLEST) + np.zeros(np.broadcast(body, hidden, flops).shape)
    high = low + np.log(LARGEST / SMALLEST)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        falls = _slope(np.exp(middle), body, hidden, flops, law) < 0
        low, high = np.where(falls, middle, low), np.where(falls, high, middle)
    vocab: Real = np.exp((low + high) / 2)
    return vocab


def _slope(vocab: Real, body: Num, hidden: Num, flops: Real, law: Vocabulary) -> Real:
    """The sign of dL_u/dV: what the vocabulary's own parameters gain, and what the lost tokens cost."""
    of_vocab, of_all = vocab * hidden / 1e6, (body + vocab * hidden) / 1e6
    gained = law.vocabulary_power * law.vocabulary * of_vocab ** -(law.vocabulary_power + 1)
    tokens = flops / 1e15 / (FLOPS_PER_PARAMETER * of_all)
    slope: Real = law.data_power * law.data * tokens**-law.data_power / of_all - gained
    return slope
