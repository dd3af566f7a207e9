"""What published laws say of depth, width and the FFN ratio: Gemstones, aspect ratio, inverse depth, Levine's width.

Data, fitted ranges and sources stand in facts/loss_laws.toml. Depth is layers, width the hidden size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from deepwide.units import Num, Real

MOST_LAYERS = 10_000.0  # far deeper than any law here was fitted; where the search for a depth ends
HALVINGS = 80  # of that range: more than a float has digits


@dataclass(frozen=True, slots=True, kw_only=True)
class WidthDepth:
    """E, then factor and exponent for width, depth, parameters and tokens."""

    floor: float
    width: float
    width_power: float
    depth: float
    depth_power: float
    size: float
    size_power: float
    data: float
    data_power: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Aspect:
    """E, A, B, the exponent a they share, g and the exponent e of hidden / layers."""

    floor: float
    size: float
    data: float
    power: float
    aspect: float
    aspect_power: float


@dataclass(frozen=True, slots=True, kw_only=True)
class InverseDepth:
    """E, then factor and exponent for width, depth and tokens."""

    floor: float
    width: float
    width_power: float
    depth: float
    depth_power: float
    data: float
    data_power: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditional:
    """a0, a1, a2 of hidden / sqrt(body) and b0, b1, b2 of FFN / attention."""

    width_level: float
    width_log: float
    width_inverse: float
    ratio_level: float
    ratio_log: float
    ratio_inverse: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimalWidth:
    """ln hidden = log_width + per_layer * layers."""

    log_width: float
    per_layer: float


def width_and_depth(hidden: Num, layers: Num, size: Num, tokens: Real, constants: WidthDepth) -> Real:
    """Loss from width, depth, parameters and tokens, each with a term of its own.

    L = E + A / w^a + B / d^b + C / P^c + D / T^z          McLeish et al. 2025, arXiv:2502.06857; P all parameters
    """
    c = constants
    shape = c.width / hidden**c.width_power + c.depth / layers**c.depth_power
    loss: Real = c.floor + shape + c.size / size**c.size_power + c.data / tokens**c.data_power
    return loss


def by_aspect(size: Num, tokens: Real, aspect: Real, constants: Aspect) -> Real:
    """Loss of size and data, times what hidden / layers adds to it.

    L = (E + A / N^a + B / D^a) (1 + g R^e)                 Bian, Yan, Venkataraman 2025, arXiv:2501.18107
    e = a in the paper; N all parameters.
    """
    c = constants
    loss: Real = (c.floor + c.size / size**c.power + c.data / tokens**c.power) * (1 + c.aspect * aspect**c.aspect_power)
    return loss


def inverse_depth(hidden: Num, layers: Num, tokens: Real, constants: InverseDepth) -> Real:
    """Loss from width, depth and tokens alone.

    L = E + cm / m^am + cl / (100 l)^al + cD / (D / 1e6)^aD          Liu et al. 2026
    """
    c = constants
    of_shape = c.width / hidden**c.width_power + c.depth / (100 * layers) ** c.depth_power
    loss: Real = c.floor + of_shape + c.data / (tokens / 1e6) ** c.data_power
    return loss


def width_factor(relative_width: Real, constants: Conditional) -> Real:
    """Loss over that of the best hidden size, for x = hidden / sqrt(body).

    (a0 + a1 ln x + a2 / x) over its lowest value, at x = a2 / a1    Bian, Yu et al. 2025, arXiv:2510.18245
    Depth was fixed for each size, so x stands for depth where the FFN ratio is fixed.
    """
    return _factor(relative_width, constants.width_level, constants.width_log, constants.width_inverse)


def ratio_factor(mlp_ratio: Real, constants: Conditional) -> Real:
    """Loss over that of the best FFN, for r = parameters of the FFN / of attention.

    (b0 + b1 ln r + b2 / r) over its lowest value, at r = b2 / b1    Bian, Yu et al. 2025, arXiv:2510.18245
    """
    return _factor(mlp_ratio, constants.ratio_level, constants.ratio_log, constants.ratio_inverse)


def conditional(relative_width: Real, mlp_ratio: Real, constants: Conditional) -> Real:
    """Loss over that of the best shape of the same size and depth.

    (a0 + a1 ln x + a2 / x) (b0 + b1 ln r + b2 / r), over its lowest value    Bian, Yu et al. 2025, arXiv:2510.18245
    """
    return width_factor(relative_width, constants) * ratio_factor(mlp_ratio, constants)


def _factor(x: Real, level: float, log: float, inverse: float) -> Real:
    import numpy as np

    lowest = level + log * math.log(inverse / log) + log  # at x = inverse / log
    factor: Real = (level + log * np.log(x) + inverse / x) / lowest
    return factor


def optimal_width(layers: Real, constants: OptimalWidth) -> Real:
    """The width at which a depth is used best: wider is better spent on depth, narrower on width.

    ln d = 5.039 + 0.0555 L                                 Levine et al. 2020, arXiv:2006.12467
    """
    import numpy as np

    width: Real = np.exp(constants.log_width + constants.per_layer * layers)
    return width


def optimal_layers(body: Num, constants: OptimalWidth) -> Real:
    """The depth whose best width makes a body of this size: 12 L d^2 = N, d as in `optimal_width`."""
    import numpy as np

    low = np.zeros_like(np.asarray(body, dtype=float))
    high = low + MOST_LAYERS
    wanted = np.log(np.asarray(body, dtype=float) / 12)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        too_small = np.log(middle) + 2 * (constants.log_width + constants.per_layer * middle) < wanted
        low, high = np.where(too_small, middle, low), np.where(too_small, high, middle)
    layers: Real = (low + high) / 2
    return layers


def optimal_aspect(body: Num, constants: OptimalWidth) -> Real:
    """The best hidden / layers of a body of this size: 24 at 1e8, 36 at 1e9, 66 at 1e10."""
    layers = optimal_layers(body, constants)
    return optimal_width(layers, constants) / layers
