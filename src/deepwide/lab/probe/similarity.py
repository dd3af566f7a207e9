"""How alike the tokens of a text become on their way through the layers, and how many directions they still span.

Shapes: T tokens, D hidden.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from deepwide.lab.network import Transformer
from deepwide.lab.probe.watching import at_rest, read, reading_stack, streams


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """The tokens' vectors X [T, D] after a layer; layer 0 is what enters the first. A mean over texts.

    cosine            mean cosine between two different tokens
    effective_rank    exp(entropy of the singular values, as shares of their sum) (Roy and Vetterli 2007)
    distance          ||X - 1m|| / ||X||, m the mean token: how far X is from rank one, in the norm
                      sqrt(||X||_1 ||X||_inf) of Dong et al. 2021, arXiv:2103.03404; 0 where all tokens are one vector
    None where the vectors are nothing in fp32.
    """

    layer: int
    cosine: float | None
    effective_rank: float | None
    distance: float | None

    def to_dict(self) -> dict[str, Any]:
        """The numbers as plain values."""
        return asdict(self)


@torch.no_grad()
def likeness(model: Transformer, tokens_BT: Tensor) -> tuple[Likeness, ...]:
    """How alike the tokens of each text are, from what enters the first layer to what leaves the last."""
    entered: list[Tensor] = []
    with at_rest(model), streams(reading_stack(model), entered.append) as left:
        read(model, tokens_BT.to(next(model.parameters()).device))
    return tuple(_level(i, x_BTD) for i, x_BTD in enumerate((entered[0], *left)))


def _level(layer: int, x_BTD: Tensor) -> Likeness:
    rows = [_of_one(x_TD) for x_TD in x_BTD.double()]
    cosine, rank, distance = (_mean(column) for column in zip(*rows, strict=True))
    return Likeness(layer=layer, cosine=cosine, effective_rank=rank, distance=distance)


def _of_one(x_TD: Tensor) -> tuple[float, float, float]:
    """Cosine, effective rank and distance to rank one of one text; not numbers where it is nothing."""
    largest = float(x_TD.abs().max())
    if not (0 < largest < math.inf):
        return math.nan, math.nan, math.nan
    x_TD = x_TD / largest  # squares of tiny numbers are none
    T = x_TD.shape[0]
    unit_TD = torch.nn.functional.normalize(x_TD, dim=-1)
    cosine = (float(unit_TD.sum(0).square().sum()) - float(unit_TD.square().sum())) / (T * (T - 1))
    shares = torch.linalg.svdvals(x_TD)
    shares = shares / shares.sum()
    rank = float(torch.special.entr(shares).sum().exp())
    return cosine, rank, _composite(x_TD - x_TD.mean(0)) / _composite(x_TD)


def _composite(x_TD: Tensor) -> float:
    """sqrt(||X||_1 ||X||_inf): the largest column sum and the largest row sum of absolute values."""
    absolute = x_TD.abs()
    return math.sqrt(float(absolute.sum(0).max()) * float(absolute.sum(1).max()))


def _mean(values: Iterable[float]) -> float | None:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else None
