"""Loss from the number of parameters and of tokens: Kaplan, Chinchilla and its refit, and the over-training law.

N counts what the law's row in facts/loss_laws.toml says, D is the tokens trained on. Data, fitted ranges and sources
stand in those rows.
"""

from __future__ import annotations

from dataclasses import dataclass

from deepwide.quality.trained import FLOPS_PER_PARAMETER
from deepwide.units import Real


@dataclass(frozen=True, slots=True, kw_only=True)
class Kaplan:
    """Nc, aN, Dc, aD of the joint law."""

    size_scale: float
    size_power: float
    data_scale: float
    data_power: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """(scale / x)^power."""

    scale: float
    power: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Coupled:
    """E, A, a, B, b, and k: how the two terms join. k = 1 adds them."""

    floor: float
    capacity: float
    capacity_power: float
    data: float
    data_power: float
    coupling: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OverTraining:
    """E, a, b and h of the over-training law."""

    floor: float
    size: float
    data: float
    power: float


def power_law(value: Real, constants: Power) -> Real:
    """Loss where parameters alone, or tokens alone, are short.

    L = (Nc / N)^aN,  L = (Dc / D)^aD           Kaplan et al. 2020, arXiv:2001.08361, eq. 1.1 and 1.2; N the body
    """
    loss: Real = (constants.scale / value) ** constants.power
    return loss


def kaplan(size: Real, tokens: Real, constants: Kaplan) -> Real:
    """Loss of so many body parameters after so many tokens.

    L = [(Nc / N)^(aN / aD) + Dc / D]^aD        Kaplan et al. 2020, arXiv:2001.08361, eq. 1.5
    """
    short_of_size = (constants.size_scale / size) ** (constants.size_power / constants.data_power)
    loss: Real = (short_of_size + constants.data_scale / tokens) ** constants.data_power
    return loss


def coupled(size: Real, tokens: Real, constants: Coupled) -> Real:
    """Loss over a floor, from a term of size and a term of data that join with coupling k.

    L = E + [(A N^-a)^(1/k) + (B D^-b)^(1/k)]^k
    k = 1: Hoffmann et al. 2022, arXiv:2203.15556; E = 0: Kaplan's form; k < 1 fits wide ranges of D / N better.
    """
    k = constants.coupling
    of_size = (constants.capacity * size**-constants.capacity_power) ** (1 / k)
    of_data = (constants.data * tokens**-constants.data_power) ** (1 / k)
    loss: Real = constants.floor + (of_size + of_data) ** k
    return loss


def over_trained(flops: Real, tokens_per_parameter: Real, constants: OverTraining) -> Real:
    """Loss of a compute budget spent at a given ratio of tokens to parameters.

    L = E + (a M^h + b M^-h) C^-h,  C = 6 N D,  M = D / N        Gadre et al. 2024, arXiv:2403.08540, eq. 4
    """
    h = constants.power
    ratio: Real = tokens_per_parameter**h
    loss: Real = constants.floor + (constants.size * ratio + constants.data / ratio) * flops**-h
    return loss


def compute_optimal(flops: Real, constants: Coupled) -> tuple[Real, Real]:
    """Parameters and tokens of the lowest loss that C = 6 N D buys, by an additive law (k = 1).

    N = G (C/6)^(b/(a+b)),  D = G^-1 (C/6)^(a/(a+b)),  G = (a A / (b B))^(1/(a+b))
    Hoffmann et al. 2022, arXiv:2203.15556, eq. 4
    """
    a, b = constants.capacity_power, constants.data_power
    gain = (a * constants.capacity / (b * constants.data)) ** (1 / (a + b))
    size: Real = gain * (flops / FLOPS_PER_PARAMETER) ** (b / (a + b))
    return size, flops / FLOPS_PER_PARAMETER / size
