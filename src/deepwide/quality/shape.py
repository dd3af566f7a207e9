"""What the shape does to the loss: the shape law, with its interval and the range it was fitted on.

L = E + [(A (N/1e8)^-a e^(c u^2))^(1/k) + (B (D/1e11)^-b)^(1/k)]^k,   u = ln(hidden/layers) - ln R - r ln(N/1e8)

N is the body with the output head in one member and the body alone in the other; their mean is the prediction and
half their distance part of the uncertainty. D is the tokens trained on. The FFN ratio and the KV heads do not
enter: no public data set varies them, so the law is silent about them.
"""

from __future__ import annotations

from dataclasses import dataclass

from deepwide.facts.tables import ShapeLaw, shape_laws
from deepwide.units import Num, Real

# The box of the fitted runs (Gemstones, 16 shapes): hidden / layers, body parameters, tokens.
ASPECT_RANGE = (3.0, 320.0)
BODY_RANGE = (22e6, 1.8e9)
TOKENS_RANGE = (10e9, 350e9)
FIT_SD = 0.008  # nats: held-out standard deviation of an absolute loss, inside the box, on the same recipe
RECIPE_SD = 0.015  # nats: what another recipe adds
RECIPE_SHARE = 0.5  # of the predicted effect of the shape, on another recipe
EXTRAPOLATION_SD = 0.02  # nats for each factor e outside the box; a judgement, not a fit
DIFFERENCE_SD = 0.009  # nats: held-out standard deviation of the difference of two shapes, inside the box
TIE = 0.02  # nats: a difference of two shapes below this is no difference on another recipe
Z = 1.96  # two-sided 95%


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


def shape_loss(body: Num, head: Num, layers: Num, hidden: Num, tokens: Real) -> LossPrediction:
    """The loss of a shape after `tokens`, from its body and head parameters.

    Numbers or arrays. Sources and constants: facts/laws.toml.
    """
    import numpy as np

    aspect = np.asarray(hidden, dtype=float) / layers
    values: list[Real] = []
    effects: list[Real] = []
    for member in shape_laws():
        size = body + head if member.counts == "body and head" else body
        values.append(_member(member, np.asarray(size, dtype=float), aspect, tokens))
        effects.append(values[-1] - _member(member, np.asarray(size, dtype=float), None, tokens))
    mean, effect = (values[0] + values[1]) / 2, (effects[0] + effects[1]) / 2
    outside = _outside(aspect, ASPECT_RANGE) + _outside(body, BODY_RANGE) + _outside(tokens, TOKENS_RANGE)
    spread = np.abs(values[0] - values[1]) / 2
    recipe = RECIPE_SD + RECIPE_SHARE * effect
    sd = np.sqrt(FIT_SD**2 + spread**2 + recipe**2 + (EXTRAPOLATION_SD * outside) ** 2)
    return LossPrediction(loss=mean, low=mean - Z * sd, high=mean + Z * sd, shape_effect=effect, outside=outside)


def _member(law: ShapeLaw, size: Real, aspect: Real | None, tokens: Real) -> Real:
    """One member of the law; at its own best aspect ratio when none is given."""
    import numpy as np

    scale = np.log(size / 1e8)
    best = np.log(law.best_aspect) + law.aspect_drift * scale
    u = 0.0 if aspect is None else np.log(aspect) - best
    # (A N^-a e^(c u^2))^(1/k), written as one exponential.
    capacity = np.exp((np.log(law.capacity) - law.capacity_power * scale + law.curvature * u**2) / law.coupling)
    data = (law.data * (np.asarray(tokens, dtype=float) / 1e11) ** -law.data_power) ** (1 / law.coupling)
    loss: Real = law.floor + (capacity + data) ** law.coupling
    return loss


def _outside(value: Real, limits: tuple[float, float]) -> Real:
    """How many factors of e a value lies outside its range."""
    import numpy as np

    low, high = limits
    logs = np.log(np.asarray(value, dtype=float))
    distance: Real = np.maximum(0.0, np.maximum(np.log(low) - logs, logs - np.log(high)))
    return distance
