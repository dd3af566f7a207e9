"""What a budget buys along one shape: the best size and tokens for its FLOPs, and what one doubling would gain.

A model is grown or shrunk with hidden / layers and vocabulary kept, so that any law can be asked, not only those
whose optimum is known in closed form.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from deepwide.quality.serving import cheapest, tokens_left
from deepwide.quality.trained import Trained, resized
from deepwide.units import Real

LossOf = Callable[[Trained], Real]
FACTORS = (0.01, 100.0)  # of layers and hidden size: a millionth to a million times the body
STEPS = 4001  # in between: 0.7% of the body from one to the next


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A size along a shape, and the tokens it is trained on. `flops` are those of training, and of serving if asked."""

    body: float
    layers: float
    hidden: float
    tokens: float
    tokens_per_parameter: float
    loss: float
    flops: float


def doubled_tokens(loss: LossOf, of: Trained) -> Real:
    """What the loss changes by with twice the tokens, unique ones too."""
    return loss(replace(of, tokens=2 * of.tokens, unique_tokens=2 * of.unique_tokens)) - loss(of)


def doubled_body(loss: LossOf, of: Trained) -> Real:
    """What the loss changes by with twice the body, in the same shape."""
    return loss(resized(of, 2 ** (1 / 3))) - loss(of)


def best_for_compute(loss: LossOf, of: Trained) -> Point | None:
    """The size and tokens of the lowest loss at the FLOPs of this training, repeating nothing.

    None where the law knows no such point: its loss falls to the end of the range in one direction.
    """
    import numpy as np

    grown = _sizes(of)
    tokens = tokens_left(of.flops, grown.working)
    choices = replace(grown, tokens=tokens, unique_tokens=tokens)
    losses = np.asarray(loss(choices))
    best = int(losses.argmin())
    if not 0 < best < STEPS - 1:
        return None
    return _point(choices, best, float(losses[best]), float(of.flops))


def best_for_serving(loss: LossOf, of: Trained, serve_tokens: float) -> Point | None:
    """The size and tokens that reach the loss of this model with the fewest FLOPs of training and serving."""
    grown = _sizes(of)

    def after(tokens: Real) -> Real:
        return loss(replace(grown, tokens=tokens, unique_tokens=tokens))

    target = float(loss(of))
    found = cheapest(after, grown.working, target, serve_tokens)
    best = int(found.choice)
    if not 0 < best < STEPS - 1 or not found.tokens < float("inf"):
        return None
    choices = replace(grown, tokens=found.tokens, unique_tokens=found.tokens)
    return _point(choices, best, target, float(found.flops))


def _sizes(of: Trained) -> Trained:
    import numpy as np

    return resized(of, np.geomspace(*FACTORS, STEPS))


def _point(choices: Trained, best: int, loss: float, flops: float) -> Point:
    import numpy as np

    def at(value: Real) -> float:
        return float(np.broadcast_to(value, STEPS)[best])

    return Point(
        body=at(choices.body),
        layers=at(choices.layers),
        hidden=at(choices.hidden),
        tokens=at(choices.tokens),
        tokens_per_parameter=at(choices.tokens_per_parameter),
        loss=loss,
        flops=flops,
    )
