"""Shapes of one size: from few layers to many, or from a narrow FFN to a wide one, at equal parameters or FLOPs.

The hidden size, a multiple of head_dim, is chosen so that the FFN comes out nearest to the ratio asked for; the width
of the FFN then makes the size equal. All counts are the ledger's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from deepwide.answers.models import Model, find_model
from deepwide.answers.train.setting import with_vocab
from deepwide.architecture.flops import Pass, backward_flops, forward_flops
from deepwide.architecture.ledger import Ledger
from deepwide.architecture.sizes import int_or_none, sizes
from deepwide.errors import BadInput

NATURAL_RATIO = 8 / 3  # FFN over hidden of a gated network with as many weights as an ungated one of 4 (Shazeer 2020)
MOST_OFF = 0.01  # of the size that was asked for: more than this is not equal
MOST_HIDDEN = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One shape of a sweep.

    name              unique in the sweep, and safe as part of a file's name
    body              parameters without embedding and output head
    flops_per_token   of training: forward and backward, the head included
    off_share         how far its size is from that of the sweep
    """

    name: str
    model: str
    layers: int
    hidden: int
    heads: int | None
    ffn: int | None
    body: int
    parameters: int
    flops_per_token: float
    off_share: float = 0.0

    @property
    def ratio(self) -> float | None:
        """FFN over hidden."""
        return self.ffn / self.hidden if self.ffn else None

    def to_dict(self) -> dict[str, Any]:
        """The shape as plain values."""
        return {**asdict(self), "ratio": self.ratio}


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What is equal in all shapes: parameters of the body, or training FLOPs per token at a context."""

    parameters: int | None = None
    flops_per_token: float | None = None
    context: int

    def __post_init__(self) -> None:
        if (self.parameters is None) == (self.flops_per_token is None):
            raise BadInput("give parameters (of the body) or flops_per_token: one of the two is equal in all shapes")
        if not self.wanted > 0:
            raise BadInput(f"{self.name}={self.wanted:g} must be positive")

    @property
    def name(self) -> str:
        """What is equal."""
        return "parameters" if self.parameters is not None else "flops_per_token"

    @property
    def wanted(self) -> float:
        """The size that was asked for."""
        return float(self.parameters if self.parameters is not None else self.flops_per_token or 0)

    def of(self, ledger: Ledger) -> float:
        """The size of a model."""
        return float(ledger.body_parameters()) if self.parameters is not None else flops_per_token(ledger, self.context)


def flops_per_token(ledger: Ledger, context: int) -> float:
    """FLOPs of training on one token of a sequence, forward and backward, with causal attention counted as such."""
    work = Pass(tokens=context, batch=1)
    return float(forward_flops(ledger, work) + backward_flops(ledger, work)) / context


def shapes_of_layers(
    size: Size, layers: Sequence[int], *, ratio: float, head_dim: int, family: str, vocab: int
) -> tuple[Shape, ...]:
    """A shape for each number of layers, the FFN as near to `ratio` times hidden as equal size allows."""
    return _named([_solved(size, number, ratio, head_dim, family, vocab) for number in layers], size)


def shapes_of_ratios(
    size: Size, ratios: Sequence[float], *, layers: int, head_dim: int, family: str, vocab: int
) -> tuple[Shape, ...]:
    """A shape for each ratio of FFN to hidden, at one number of layers."""
    return _named([_solved(size, layers, ratio, head_dim, family, vocab) for ratio in ratios], size)


def shapes_of_models(models: Sequence[str], context: int, vocab: int) -> tuple[Shape, ...]:
    """Shapes as they are given; how far their bodies are apart is told, not refused."""
    found = [find_model(with_vocab(text, vocab)) for text in models]
    size = Size(parameters=round(_mean([float(m.ledger.body_parameters()) for m in found])), context=context)
    return _named(found, size, most_off=math.inf)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _solved(size: Size, layers: int, ratio: float, head_dim: int, family: str, vocab: int) -> Model:
    """The model of that many layers whose FFN is nearest to `ratio` hidden, in logarithms, at the size asked for."""

    def model(hidden: int, ffn: int) -> Model:
        heads = hidden // head_dim
        return find_model(
            f"like={family},layers={layers},hidden={hidden},heads={heads},kv_heads={heads},head_dim={head_dim},"
            f"ffn={ffn},vocab={vocab}"
        )

    def ffn(hidden: int) -> int:
        """The width that makes the size equal; it is a straight line in it."""
        least, more = size.of(model(hidden, 1).ledger), size.of(model(hidden, 2).ledger)
        return 1 + round((size.wanted - least) / (more - least))

    low = head_dim * _last_below(lambda n: size.of(model(n * head_dim, 1).ledger) < size.wanted, head_dim)
    tried = [(hidden, ffn(hidden)) for hidden in _around(low, head_dim, ratio, ffn)]
    possible = [(hidden, width) for hidden, width in tried if width >= 1]
    if not possible or low < head_dim:
        raise BadInput(
            f"layers={layers}: the narrowest model, hidden={head_dim}, is over {size.name}={size.wanted:g}; take fewer "
            "layers, a smaller head_dim, or more of it"
        )
    return model(*min(possible, key=lambda pair: abs(math.log(pair[1] / pair[0] / ratio))))


def _around(low: int, step: int, ratio: float, ffn: Callable[[int], int]) -> tuple[int, int]:
    """The two neighbouring hidden sizes, the ratio of whose FFNs lies on both sides of the one asked for."""
    below = step * max(1, _last_below(lambda n: n * step <= low and ffn(n * step) > ratio * n * step, step))
    return below, below + step


def _last_below(holds: Callable[[int], bool], step: int) -> int:
    """The largest n at which it still holds, which it does up to some n; 0 where it never does."""
    if not holds(1):
        return 0
    first, last = 1, 2
    while holds(last):
        first, last = last, 2 * last
        if last * step > MOST_HIDDEN:
            raise BadInput(f"hidden={last * step} would be over {MOST_HIDDEN}; ask for a smaller size")
    while last - first > 1:
        middle = (first + last) // 2
        first, last = (middle, last) if holds(middle) else (first, middle)
    return first


def _named(models: Sequence[Model], size: Size, most_off: float = MOST_OFF) -> tuple[Shape, ...]:
    """The shapes with their sizes; one that is too far from what was asked for is refused."""
    found = [_shape(i, model, size) for i, model in enumerate(models, start=1)]
    if len(found) < 2:
        raise BadInput(f"{len(found)} shape is nothing to compare; give two or more")
    for shape in found:
        if abs(shape.off_share) > most_off:
            raise BadInput(
                f"{shape.model}: {size.name} off by {shape.off_share:+.1%}, more than {MOST_OFF:.0%}; leave it out, "
                "or take a smaller head_dim or a larger size"
            )
    if len({shape.model for shape in found}) < len(found):
        raise BadInput("two shapes of the sweep are the same; leave one out, or take a smaller head_dim")
    return tuple(found)


def _shape(number: int, model: Model, size: Size) -> Shape:
    own = sizes(model.described())
    return Shape(
        name=f"{number:02d}-{int(own.layers)}x{int(own.hidden)}",
        model=model.name,
        layers=int(own.layers),
        hidden=int(own.hidden),
        heads=int_or_none(own.heads),
        ffn=int_or_none(own.ffn),
        body=int(model.ledger.body_parameters()),
        parameters=int(model.ledger.parameters()),
        flops_per_token=flops_per_token(model.ledger, size.context),
        off_share=size.of(model.ledger) / size.wanted - 1,
    )
