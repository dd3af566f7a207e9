"""What the figure of aspect ratios shows: the catalogue's decoders, and the best ratio that the shape law finds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deepwide.answers.figures.aspects import Aspect, BestAspect
from deepwide.answers.models import Model, find_model
from deepwide.answers.shape import TOKENS_PER_PARAMETER
from deepwide.architecture.sizes import sizes
from deepwide.facts.models import model_facts
from deepwide.quality.shape import ASPECT_RANGE, BODY_RANGE, DIFFERENCE_SD, expected_loss

if TYPE_CHECKING:
    from numpy.typing import NDArray

STEPS = 121  # ratios that are tried at each size: 4% apart
SIZES = 41


def aspect_of(model: Model, year: int = 0) -> Aspect:
    """A model's size and shape."""
    own = sizes(model.described())
    return Aspect(
        model=model.name,
        parameters=int(model.ledger.parameters()),
        layers=int(own.layers),
        hidden=int(own.hidden),
        year=year,
        experts=own.experts is not None,
    )


def catalogue_aspects() -> tuple[Aspect, ...]:
    """The dense decoders of the catalogue whose shape is public: those that the shape law speaks of."""
    known = ((fact, find_model(fact.name)) for fact in model_facts() if fact.config is not None)
    return tuple(
        shape
        for fact, model in known
        if model.architecture and model.architecture.lone_decoder
        if not (shape := aspect_of(model, fact.year)).experts
    )


def best_aspects(
    vocab: int, tied: bool = False, smallest: float = 30e6, largest: float = 300e9
) -> tuple[BestAspect, ...]:
    """The ratio of lowest predicted loss at each size, embedding included, trained on 20 tokens a parameter.

    Every ratio is tried at the same size, with blocks of 12 layers hidden^2. Those whose loss is within one standard
    deviation of a difference between shapes are as good.
    """
    import numpy as np

    aspect = np.geomspace(*ASPECT_RANGE, STEPS)
    found = []
    for parameters in np.geomspace(smallest, largest, SIZES):
        layers = _layers(parameters, aspect, vocab * (1 if tied else 2))
        hidden = aspect * layers
        body = 12 * layers * hidden**2
        tokens = TOKENS_PER_PARAMETER * float(parameters)
        loss = np.asarray(expected_loss(body, vocab * hidden, layers, hidden, tokens))
        at = int(np.argmin(loss))
        good = aspect[loss <= loss[at] + DIFFERENCE_SD]
        found.append(
            BestAspect(
                parameters=float(parameters),
                best=float(aspect[at]),
                low=float(good.min()),
                high=float(good.max()),
                inside=bool(BODY_RANGE[0] <= body[at] <= BODY_RANGE[1]),
            )
        )
    return tuple(found)


def _layers(parameters: float, aspect: NDArray[Any], rows: int) -> NDArray[Any]:
    """The layers L with 12 L hidden^2 + rows hidden = parameters, hidden = aspect L, to the last digit by halving."""
    import numpy as np

    low, high = np.zeros_like(aspect), np.cbrt(parameters / (12 * aspect**2))
    for _ in range(60):
        middle = (low + high) / 2
        hidden = aspect * middle
        above = 12 * middle * hidden**2 + rows * hidden > parameters
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    layers: NDArray[Any] = (low + high) / 2
    return layers
