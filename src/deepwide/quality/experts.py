"""Mixtures of experts: two published laws, and what experts gain over a dense model that costs as much per token.

Data, fitted ranges and sources stand in facts/loss_laws.toml.
"""

from __future__ import annotations

from dataclasses import dataclass

from deepwide.facts import loss_laws
from deepwide.units import Num, Real


@dataclass(frozen=True, slots=True, kw_only=True)
class Granular:
    """c, a and its exponent, b and its exponent, g and its exponent."""

    floor: float
    size: float
    size_power: float
    data: float
    data_power: float
    granularity: float
    granularity_power: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JointExperts:
    """c; a, al, de, ga of the size; b, be, om, ze of the data; where experts start and stop to count."""

    floor: float
    size: float
    size_power: float
    size_experts: float
    size_log: float
    data: float
    data_power: float
    data_experts: float
    data_log: float
    start: float
    most: float


def granular(size: Num, tokens: Real, granularity: Num, constants: Granular) -> Real:
    """Loss of a mixture with 64 times the network that a token meets, cut into experts of a granularity.

    L = c + (g / G^y + a) / N^al + b / D^be                Krajewski et al. 2024, arXiv:2402.07871, eq. 9; N the body
    G: experts that share the work of one dense network. Dense: g = 0, and constants of their own.
    """
    c = constants
    of_size = (c.granularity / granularity**c.granularity_power + c.size) / size**c.size_power
    loss: Real = c.floor + of_size + c.data / tokens**c.data_power
    return loss


def joint(active: Num, expansion: Real, tokens: Real, constants: JointExperts) -> Real:
    """Loss from active parameters (embeddings counted), tokens, and how much larger the mixture is.

    L = a E'^de N^(al + ga ln E') + b E'^om D^(be + ze ln E') + c        Ludziejewski et al. 2025, arXiv:2502.05172
    E' as in `_counted`; E = 1 is the dense model.
    """
    c = constants
    counted, log = _counted(expansion, c)
    of_size = c.size * counted**c.size_experts * active ** (c.size_power + c.size_log * log)
    of_data = c.data * counted**c.data_experts * tokens ** (c.data_power + c.data_log * log)
    loss: Real = of_size + of_data + c.floor
    return loss


def experts_effect(active: Num, experts: Real, tokens: Real) -> Real:
    """Nats that experts gain (below 0) over a dense model of equal active parameters and tokens; 0 at experts = 1.

    joint(experts) - joint(1), at no more tokens than gain the most
    `experts`: how many times as many FFN parameters there are as a token meets, since the law was fitted with one
    expert per token; `active` counts an input and an output embedding. Past the tokens of the largest gain (1e11 to
    3e11) the joint law lets it shrink again; it is held there, so that added to a law that is nearly done falling it
    does not make further tokens harmful.
    """
    import numpy as np

    law = loss_laws.constants("ludziejewski-2025", JointExperts)
    counted = np.fmin(tokens, _most_gaining_tokens(experts, law))
    effect: Real = joint(active, experts, counted, law) - joint(active, 1.0, counted, law)
    return effect


def _counted(expansion: Real, c: JointExperts) -> tuple[Real, Real]:
    """How many experts count, with few and with many of them levelled off; and the logarithm of it.

    1 / E' = 1 / (E - 1 + 1 / (1 / start - 1 / most)) + 1 / most
    """
    import numpy as np

    counted = 1 / (1 / (expansion - 1 + 1 / (1 / c.start - 1 / c.most)) + 1 / c.most)
    return counted, np.log(counted)


def _most_gaining_tokens(expansion: Real, c: JointExperts) -> Real:
    """Tokens at which the data terms with and without experts fall equally fast; not a number for a dense model.

    b E'^om p D^p = b E1'^om q D^q,  p = be + ze ln E',  q = be + ze ln E1'
    """
    import numpy as np

    log, dense = _counted(expansion, c)[1], _counted(1.0, c)[1]
    p, q = c.data_power + c.data_log * log, c.data_power + c.data_log * dense
    with np.errstate(divide="ignore", invalid="ignore"):
        tokens: Real = np.exp((c.data_experts * (dense - log) + np.log(q / p)) / np.subtract(p, q))
    return tokens
