"""What the shape does to the loss: the project's own law, with its interval and the range it was fitted on.

L = E + [(A (N/1e8)^-a e^(c u^2))^(1/k) + (B (D/1e11)^-b e^(g u^2))^(1/k)]^k,   u = ln(hidden/layers / R) - r ln(N/1e8)

A floor E; a capacity and a data term, coupled by k < 1; and a shape that is off its best hidden/layers, R at 1e8
parameters, costs both terms in the square of its logarithmic distance u. N is the body with the output head in one
member and the body alone in the other; their mean is the prediction, half their distance part of the uncertainty.
D is the tokens trained on. The FFN ratio and the KV heads do not enter: no public data set varies them.

The loss falls with tokens everywhere, and with parameters at fixed hidden/layers wherever the capacity term has a say;
where data are short of all proportion (under a token per ten parameters) an extreme shape can cost more than it brings.

Every logarithm is of one axis where the arguments broadcast. numpy's exp and log give the same bits wherever an entry
stands in an array (unless the array runs backwards), so one shape alone equals its row in a search to the last digit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeAlias

from deepwide.facts.shape_law import RECIPE, ShapeConstants, shape_law_draws, shape_laws
from deepwide.units import Num, Real

# The box of the fitted runs (Gemstones, 16 shapes): hidden / layers, body parameters, tokens.
ASPECT_RANGE = (3.0, 320.0)
BODY_RANGE = (22e6, 1.8e9)
TOKENS_RANGE = (10e9, 350e9)
RECIPE_SD = 0.015  # nats: what another recipe adds
RECIPE_SHARE = 0.5  # of the predicted effect of the shape, on another recipe
EXTRAPOLATION_SD = 0.02  # nats for each factor e outside the box; a judgement, not a fit
DIFFERENCE_SD = 0.009  # nats: held-out standard deviation of the difference of two shapes, inside the box
TIE = 0.02  # nats: a difference of two shapes below this is no difference on another recipe
Z = 1.96  # two-sided 95%
LOG_SIZE, LOG_TOKENS = math.log(1e8), math.log(1e11)

# Body, head, layers, hidden: a shape as the functions below take it.
Sizes: TypeAlias = "tuple[Num, Num, Num, Num]"


@dataclass(frozen=True, slots=True, kw_only=True)
class LossPrediction:
    """A loss in nats per token, its 95% interval, and how far outside the fitted box it stands (in factors of e)."""

    loss: Real
    low: Real
    high: Real
    shape_effect: Real
    outside: Real
    law: str = "shape law (coupled, log-quadratic in hidden/layers; two members)"
    fitted_range: str = "hidden/layers 3 to 320, body 22M to 1.8B, 10B to 350B tokens; Gemstones recipe and tokenizer"


def expected_loss(body: Num, head: Num, layers: Num, hidden: Num, tokens: Real, *, trained: str = RECIPE) -> Real:
    """The loss of a shape after `tokens`, from its body and head parameters: the mean of both members.

    Numbers or arrays that broadcast, `trained` by a recipe that the law was fitted on.
    """
    first, second = _members(trained)
    return _mean((body, head, layers, hidden), tokens, first, second)


def shape_loss(
    body: Num,
    head: Num,
    layers: Num,
    hidden: Num,
    tokens: Real,
    *,
    trained: str = RECIPE,
    recipe: Literal["same", "other"] = "other",
) -> LossPrediction:
    """The same loss with its interval, and how much of it a better hidden/layers would save.

    The interval is that of a run by the very recipe of the fit, or by another one.
    """
    import numpy as np

    shape = (body, head, layers, hidden)
    members = _members(trained)
    values = [_loss(_size(shape, i), _aspect(shape), tokens, m) for i, m in enumerate(members)]
    ideal = [_loss(_size(shape, i), None, tokens, m) for i, m in enumerate(members)]
    loss = (values[0] + values[1]) * 0.5
    effect = loss - (ideal[0] + ideal[1]) * 0.5
    outside = sum(
        factors_outside(x, r)
        for x, r in ((np.divide(hidden, layers), ASPECT_RANGE), (body, BODY_RANGE), (tokens, TOKENS_RANGE))
    )
    variance = shape_laws(trained)[0].held_out_sd ** 2 + (0.5 * (values[0] - values[1])) ** 2
    variance += np.var(np.array([_mean(shape, tokens, *draw) for draw in shape_law_draws()]), axis=0)
    variance += (EXTRAPOLATION_SD * outside) ** 2
    if recipe == "other":
        variance += (RECIPE_SD + RECIPE_SHARE * effect) ** 2
    reach = Z * np.sqrt(variance)
    return LossPrediction(loss=loss, low=loss - reach, high=loss + reach, shape_effect=effect, outside=outside)


def best_aspect(body: Num, head: Num) -> Real:
    """The hidden/layers that the law holds best at a size: the geometric mean of what its members hold best."""
    import numpy as np

    logs = [
        math.log(m.best_aspect) + m.aspect_drift * (np.log(_size((body, head, 1, 1), i)) - LOG_SIZE)
        for i, m in enumerate(_members(RECIPE))
    ]
    aspect: Real = np.exp((logs[0] + logs[1]) * 0.5)
    return aspect


def difference_sd(first: Sizes, second: Sizes, tokens: Real) -> Real:
    """The deviation of a difference of two shapes' losses [nats], on the recipe of the fit.

    What remains between shapes that the law has not seen, and how the difference varies as shapes are resampled.
    """
    import numpy as np

    differences = [_mean(first, tokens, *draw) - _mean(second, tokens, *draw) for draw in shape_law_draws()]
    sd: Real = np.sqrt(DIFFERENCE_SD**2 + np.var(np.array(differences), axis=0))
    return sd


@cache
def _members(recipe: str) -> tuple[ShapeConstants, ShapeConstants]:
    first, second = shape_laws(recipe)
    return first.constants, second.constants


def _mean(shape: Sizes, tokens: Real, first: ShapeConstants, second: ShapeConstants) -> Real:
    aspect = _aspect(shape)
    return (_loss(_size(shape, 0), aspect, tokens, first) + _loss(_size(shape, 1), aspect, tokens, second)) * 0.5


def _size(shape: Sizes, member: int) -> Num:
    """What a member counts: body and head, or body."""
    body, head, _, _ = shape
    return body if member else body + head


def _aspect(shape: Sizes) -> Real:
    """ln(hidden/layers), each logarithm on its own axis."""
    import numpy as np

    _, _, layers, hidden = shape
    aspect: Real = np.log(np.asarray(hidden, dtype=float)) - np.log(np.asarray(layers, dtype=float))
    return aspect


def _loss(size: Num, aspect: Real | None, tokens: Real, m: ShapeConstants) -> Real:
    """One member; at its own best aspect ratio when none is given. Four logarithms and exponentials a shape.

    With h = c - g:  L = E + e^(g u^2) [e^((ln A - a n + h u^2) / k) + e^((ln B - b t) / k)]^k.
    """
    import numpy as np

    n = np.log(np.asarray(size, dtype=float))
    data = np.log(np.asarray(tokens, dtype=float)) * (-m.data_power / m.coupling)
    data += (math.log(m.data) + m.data_power * LOG_TOKENS) / m.coupling
    capacity = n * (-m.capacity_power / m.coupling)
    capacity += (math.log(m.capacity) + m.capacity_power * LOG_SIZE) / m.coupling
    if aspect is None:
        excess = np.log(np.exp(capacity) + np.exp(data)) * m.coupling
    else:
        off = aspect - n * m.aspect_drift
        off -= math.log(m.best_aspect) - m.aspect_drift * LOG_SIZE
        off *= off
        capacity = capacity + off * ((m.curvature - m.data_curvature) / m.coupling)
        excess = np.log(np.exp(capacity) + np.exp(data))
        excess *= m.coupling
        off *= m.data_curvature
        excess = excess + off
    loss: Real = np.exp(excess)
    loss += m.floor
    return loss


def factors_outside(value: Real, limits: tuple[float, float]) -> Real:
    """How many factors of e a value lies outside its range; 0 inside."""
    import numpy as np

    low, high = limits
    logs = np.log(np.asarray(value, dtype=float))
    distance: Real = np.maximum(0.0, np.maximum(math.log(low) - logs, logs - math.log(high)))
    return distance
