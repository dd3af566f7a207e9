"""Data that are short: what repeated tokens are worth, and the law that says it.

Source: Muennighoff et al. 2023, arXiv:2305.16264. Constants, data and fitted range: facts/loss_laws.toml.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from deepwide.arithmetic import largest, least
from deepwide.facts import loss_laws
from deepwide.quality.trained import Trained
from deepwide.units import Num, Real

REPEATS = "muennighoff-2023"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConstrained:
    """ln E, ln A, ln B, the exponent of both, and how fast repeated tokens and excess parameters lose their worth."""

    log_floor: float
    log_capacity: float
    log_data: float
    power: float
    repeat_decay: float
    excess_decay: float


def fresh_tokens(tokens: Real, unique_tokens: Real, constants: DataConstrained) -> Real:
    """How many fresh tokens would do what `tokens`, repeating `unique_tokens`, do.

    U + U r (1 - e^(-R/r)),  R = tokens / U - 1, r = repeat_decay        Muennighoff et al. 2023, eq. 5
    As many as `tokens` up to one epoch, never more; 1 + r epochs' worth at the very most.
    """
    unique = least(unique_tokens, tokens)
    worth = _diminishing(unique, tokens / unique - 1, constants.repeat_decay)
    fresh: Real = least(worth, tokens)  # rounding may put it above by a digit
    return fresh


def effective(of: Trained) -> Trained:
    """The same training with repeated tokens counted as the fresh ones that they are worth, for any law."""
    fresh = fresh_tokens(of.tokens, of.unique_tokens, loss_laws.constants(REPEATS, DataConstrained))
    return replace(of, tokens=fresh, unique_tokens=fresh)


def useful_size(size: Num, unique_tokens: Real, constants: DataConstrained) -> Real:
    """How many parameters of a model the unique data can use.

    U_N + U_N r (1 - e^(-R/r)),  R = N / U_N - 1, where U_N = U G^2 is the size that is best for U tokens read once,
    G = (A / B)^(1/(2 a)); Muennighoff et al. 2023, eq. 6, with equal exponents
    """
    gain = math.exp((constants.log_capacity - constants.log_data) / (2 * constants.power))
    best = unique_tokens * gain**2
    used = least(best, size)
    useful: Real = least(_diminishing(used, size / used - 1, constants.excess_decay), size)
    return useful


def data_constrained(size: Num, tokens: Real, unique_tokens: Real, constants: DataConstrained) -> Real:
    """Loss where tokens repeat: an additive law of the useful parameters and the fresh tokens' worth.

    L = E + A / N'^a + B / D'^a                                     Muennighoff et al. 2023, eq. 4
    """
    c = constants
    unique = least(unique_tokens, tokens)
    of_size = math.exp(c.log_capacity) * useful_size(size, unique, c) ** -c.power
    of_data = math.exp(c.log_data) * fresh_tokens(tokens, unique, c) ** -c.power
    loss: Real = math.exp(c.log_floor) + of_size + of_data
    return loss


def _diminishing(once: Real, again: Real, decay: float) -> Real:
    """What something is worth that is there once and `again` times more, each time worth less."""
    import numpy as np

    worth: Real = once - once * decay * np.expm1(-largest(0.0, again) / decay)
    return worth
