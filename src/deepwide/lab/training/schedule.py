"""How the learning rate moves over a run: a share of the full rate as a pure function of the step."""

from __future__ import annotations

import math
from collections.abc import Callable

from deepwide.lab.training.recipe import Recipe


def rate_share(step: int, recipe: Recipe) -> float:
    """The share of the learning rate at which step 0, 1, ... is taken.

    Warm-up rises linearly to 1 at its last step; the shape of the schedule takes over from there, and the run's last
    step is taken at `minimum_share`.
    """
    steps = recipe.total_steps
    warmup = math.floor(recipe.warmup_share * steps)
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup + 1) / (steps - warmup)
    return SHAPES[recipe.schedule](progress, recipe, steps - warmup)


def _cosine(progress: float, recipe: Recipe, _: int) -> float:
    """Half a wave from 1 to the minimum (Loshchilov and Hutter 2016, arXiv:1608.03983)."""
    return recipe.minimum_share + (1 - recipe.minimum_share) * (1 + math.cos(math.pi * progress)) / 2


def _wsd(progress: float, recipe: Recipe, steps: int) -> float:
    """Stable, then a decay by 1 - sqrt (Hu et al. 2024, arXiv:2404.06395; Hägele et al. 2024, arXiv:2405.18392)."""
    decay = math.floor(recipe.decay_share * recipe.total_steps)
    fallen = progress * steps - (steps - decay)
    if fallen <= 0 or decay == 0:
        return 1.0
    return recipe.minimum_share + (1 - recipe.minimum_share) * (1 - math.sqrt(fallen / decay))


SHAPES: dict[str, Callable[[float, Recipe, int], float]] = {"cosine": _cosine, "wsd": _wsd}
