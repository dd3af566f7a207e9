"""The space of shapes: every combination of layers, hidden, head width, KV heads and FFN that hardware likes.

A block of the space is one template whose layers, hidden and FFN are columns of float64, so that one pass of the
ledger evaluates all of its shapes. Choices that are not numbers (the family, gating, tying) stay fixed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deepwide.architecture.model import Architecture
from deepwide.formats.huggingface import read_config

if TYPE_CHECKING:
    from numpy.typing import NDArray

MULTIPLE = 128  # what matrix units fill: hidden and FFN are multiples of it, and so is each slice of 8-way parallelism
# The loss law is silent about head width, KV heads and FFN ratio, so these stay among what published decoders use;
# a wider range would only be traded for speed by a judge that cannot see what it costs.
HEAD_DIMS = (64, 128)
KV_HEADS = (8, None)  # None: as many as query heads
FFN_RATIOS = (2.5, 8 / 3, 3.0, 3.5, 4.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """What is searched, and what stays fixed. Bounds are inclusive; `ffn_ratios` are FFN / hidden."""

    family: str = "llama"
    vocab: int = 128_256
    tied: bool = False
    layers: tuple[int, int] = (4, 160)
    hidden: tuple[int, int] = (512, 24_576)
    head_dims: tuple[int, ...] = HEAD_DIMS
    kv_heads: tuple[int | None, ...] = KV_HEADS
    ffn_ratios: tuple[float, ...] = FFN_RATIOS


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Shapes that share head width and KV heads; the columns have one entry per shape."""

    layers: NDArray[Any]
    hidden: NDArray[Any]
    heads: NDArray[Any]
    kv_heads: NDArray[Any]
    head_dim: int
    ffn: NDArray[Any]

    def chosen(self, keep: NDArray[Any]) -> Block:
        """The shapes that `keep` selects: a mask or indices."""
        columns = {name: getattr(self, name)[keep] for name in ("layers", "hidden", "heads", "kv_heads", "ffn")}
        return Block(head_dim=self.head_dim, **columns)

    def __len__(self) -> int:
        return len(self.layers)


def blocks(space: Space) -> Iterator[Block]:
    """Every shape of the space, block by block."""
    import numpy as np

    for head_dim in space.head_dims:
        step = max(MULTIPLE, head_dim)
        layers, hidden, ratio = np.meshgrid(
            np.arange(space.layers[0], space.layers[1] + 1, dtype=float),
            np.arange(-(-space.hidden[0] // step) * step, space.hidden[1] + 1, step, dtype=float),
            np.asarray(space.ffn_ratios, dtype=float),
            indexing="ij",
        )
        layers, hidden, ratio = layers.ravel(), hidden.ravel(), ratio.ravel()
        ffn = np.round(ratio * hidden / MULTIPLE) * MULTIPLE
        heads = hidden // head_dim
        for groups in space.kv_heads:
            kv_heads = heads if groups is None else np.full_like(heads, groups)
            whole = Block(layers=layers, hidden=hidden, heads=heads, kv_heads=kv_heads, head_dim=head_dim, ffn=ffn)
            # A KV head serves a whole number of query heads; as many KV heads as query heads is the case None.
            keep = np.ones(len(heads), bool) if groups is None else (heads % groups == 0) & (heads > groups)
            yield whole.chosen(keep)


def template(space: Space, block: Block) -> Architecture:
    """The architecture whose sizes are the block's columns: the same rules that read a config."""
    sizes = {name: getattr(block, name) for name in ("layers", "hidden", "heads", "kv_heads", "head_dim", "ffn")}
    return read_config(
        {"model_type": space.family}, changes={**sizes, "vocab": space.vocab, "tied": space.tied}, where="design"
    )
