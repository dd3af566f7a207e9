"""What leads from a tower to the language model: matrices, most often, on one token for every few of the tower's."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from deepwide.architecture.extras import Linear
from deepwide.architecture.model import Small
from deepwide.architecture.parts import RMS, NormLayer
from deepwide.formats.fields import Fields
from deepwide.formats.readers.inner_configs import Join


def matrices(*widths: Any, rows: Any, bias: bool = False, name: str = "projector") -> tuple[Small, ...]:
    """Matrices one after the other, from each width to the next, on so many tokens."""
    return tuple(
        Linear(name=f"{name}_{i}", inputs=inputs, outputs=outputs, bias=bias, rows=rows)
        for i, (inputs, outputs) in enumerate(pairwise(widths), start=1)
    )


def tokens(tower: Fields, merged: Any = 1) -> Any:
    """Tokens that a tower hands over, one for every `merged` of its own."""
    return tower.number("tokens", 0) // max(1, merged)


def one_matrix(width: str, merged: int = 1, bias: bool = False) -> Join:
    """A matrix from the tower's field `width`, on one token for every `merged`."""
    return lambda c, tower, hidden: matrices(tower.number(width), hidden, rows=tokens(tower, merged), bias=bias)


def two_matrices(width: str, wide: int = 1, bias: bool = False) -> Join:
    """Four frames as wide together as the tower's `width`, and two matrices, `wide` times the text's width between."""
    return lambda c, tower, hidden: matrices(
        tower.number(width), wide * hidden, hidden, rows=tokens(tower, 4), bias=bias
    )


def shuffled(factor: str) -> Join:
    """A square of patches, of the side that the config's field `factor` gives, joined to one token and projected."""

    def join(c: Fields, tower: Fields, hidden: Any) -> tuple[Small, ...]:
        merged = c.number(factor) ** 2
        return matrices(tower.number("hidden") * merged, hidden, rows=tokens(tower, merged))

    return join


def soft_tokens(c: Fields, tower: Fields, hidden: Any) -> tuple[Small, ...]:
    """Gemma 3: patches averaged to a fixed number of tokens, normed and projected."""
    width = tower.number("hidden")
    norm = NormLayer(norm=RMS, name="projector_norm", width=width)
    return (*matrices(width, hidden, rows=c.number("mm_tokens_per_image", 256)), norm)
