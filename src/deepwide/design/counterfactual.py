"""What a model would be with another shape at the same parameters, and by how much two shapes have to differ to differ.

A shape is widened or narrowed by whole heads, its FFN by whole tiles; the number of layers is then solved for, so that
the parameters come out as near as whole layers allow:

parameters = beside + layers * each      each is one layer, beside the embedding, the head and what stands alone
"""

from __future__ import annotations

import math
from math import lcm
from typing import NamedTuple

from deepwide.arithmetic import largest
from deepwide.quality.shape import EXTRAPOLATION_SD, RECIPE_SHARE, TIE, Z
from deepwide.units import Num, Real

# Two shapes on the same devices and runtime share most of what a predicted time is off by. What is left was measured
# on pairs of models that differ in nothing else (benchmarks/pairs.py): two of three predicted ratios are within 4.4%
# (391 pairs of training steps, sizes within 1.5 of each other), 4.9% (148 of decoding), and 15% (58 of prompts, most of
# sizes far apart).
TIME_RESOLUTION = {"step": 0.05, "decode": 0.05, "prefill": 0.15}
NEAR_SHARE = 0.1  # of the heads asked for: further off, another width would be shown than was asked for


class Sized(NamedTuple):
    """Width by the head: what hidden, heads and KV heads become together."""

    hidden: Num
    heads: Num
    kv_heads: Num


def widened(hidden: int, heads: int, kv_heads: int, ratio: float, tp: int = 1) -> Sized:
    """The width times about `ratio`: heads of the same width, as many as KV heads can share, at least one for each.

    Where every head had keys of its own it still has; else the KV heads stay. What `tp` devices share they still do if
    that is near, so that widths are compared and not how well they are cut.

    >>> widened(4096, 32, 8, 0.5)
    Sized(hidden=2048, heads=16, kv_heads=8)
    >>> widened(768, 12, 12, 1.5)
    Sized(hidden=1152, heads=18, kv_heads=18)
    >>> widened(14400, 80, 80, 2 / 3, tp=8)
    Sized(hidden=10080, heads=56, kv_heads=56)
    """
    step = kv_heads if kv_heads < heads else 1
    shared = tp if heads % tp == 0 else 1
    count = _multiple(heads * ratio, lcm(step, shared))
    while shared > 1 and abs(count / (heads * ratio) - 1) > NEAR_SHARE:
        shared //= 2
        count = _multiple(heads * ratio, lcm(step, max(1, shared)))
    return Sized(round(hidden * count / heads), count, count if kv_heads == heads else kv_heads)


def _multiple(target: float, of: int) -> int:
    return max(1, round(target / of)) * of


def scaled(size: int, ratio: float, multiple: int = 64) -> int:
    """A size times `ratio`, to the nearest multiple.

    >>> scaled(14336, 0.5)
    7168
    """
    return _multiple(size * ratio, multiple)


def layers_for(parameters: Real, first: tuple[Num, Real], second: tuple[Num, Real]) -> Real:
    """Layers with which a shape comes nearest to so many parameters, from two (layers, parameters) that it may have.

    >>> layers_for(100, (1, 30), (2, 40))
    8
    """
    each = (second[1] - first[1]) / (second[0] - first[0])
    more = (parameters - first[1]) / each
    if hasattr(more, "dtype"):
        import numpy as np

        whole: Real = largest(1, first[0] + np.round(more))
        return whole
    return max(1, first[0] + round(more))


def loss_resolution(sd: Real, effects: tuple[Real, Real], outside: tuple[Real, Real] = (0.0, 0.0)) -> Real:
    """By how many nats the losses of two shapes have to differ for the better one to be known (95%).

    `sd` is the deviation of their difference on the recipe of the fit; `effects` are what each loses by its
    hidden/layers, half of which another recipe may move; `outside` is how far each stands outside the fitted runs, in
    factors of e. Never less than the tie between recipes.
    """
    apart = RECIPE_SHARE * (effects[0] - effects[1])
    beyond = EXTRAPOLATION_SD * (outside[0] - outside[1])
    resolution: Real = largest(TIE, Z * (sd**2 + apart**2 + beyond**2) ** 0.5)
    return resolution


def per_tenth(before: Real, after: Real, size: Num, changed: Num) -> Real:
    """What +10% of a size would change a quantity by, as a share of it, from what a step to `changed` really does.

    >>> per_tenth(100.0, 150.0, 8, 16)
    0.05
    """
    share: Real = (after / before - 1) * 0.1 / (changed / size - 1)
    return share


def ratio_apart(first: float, second: float) -> float:
    """How far apart two quantities are, whichever is the larger: the logarithm of their ratio."""
    low, high = sorted((first, second))
    if low == high:
        return 0.0
    return math.log(high / low) if low > 0 else math.inf
