"""The space of shapes: every combination of layers, hidden, head width, KV heads, FFN and experts that hardware likes.

A block of the space is one template whose layers lie on one axis and whose other sizes lie on another. The ledger's
rows then stay as narrow as what they depend on, and one pass of it evaluates all shapes of the block. Choices that are
not numbers (the family, gating, tying), or of which there are few (head width, experts), are the same within a block.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice, product
from typing import TYPE_CHECKING, Any, NamedTuple

from deepwide.architecture.ledger import lower
from deepwide.architecture.model import Architecture
from deepwide.errors import BadInput
from deepwide.formats.huggingface import read_config

if TYPE_CHECKING:
    from numpy.typing import NDArray

MULTIPLE = 128  # what matrix units fill: hidden and FFN are multiples of it
TILE = 64  # elements that a device's slice of a matrix should be a multiple of (cost/roofline.py, misaligned)
# The loss law is silent about head width, KV heads and FFN ratio, so these stay among what published decoders use;
# a wider range would only be traded for speed by a judge that cannot see what it costs.
HEAD_DIMS = (128, 64)  # of equals the first is taken
SHARING = (1, 2, 3, 4, 5, 6, 7, 8)  # query heads to a KV head: Llama 3 70B has 8, and few published decoders more
FFN_RATIOS = tuple(sorted({8 / 3, *(2.5 + n / 16 for n in range(25))}))  # 2.5 to 4, fine enough to fill a budget
BLOCK = 65_536  # shapes at once: 512 KiB an array, so that a few of them stay in a core's second cache
# The C library hands freed memory back to the system above a threshold that follows the largest block freed so far:
# one that is never touched keeps it from fetching every array of every block anew (1,900 page faults a block).
KEPT_BYTES = 32_000_000


class Mixture(NamedTuple):
    """Experts of a layer, and how many of them a token meets; 1 and 1 is a dense FFN."""

    experts: int = 1
    active: int = 1

    @property
    def dense(self) -> bool:
        """Whether there is nothing to choose."""
        return self.experts == 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """What all shapes share: the family's rules, its vocabulary and tying; `mixture` is the family with experts."""

    family: str = "llama"
    mixture_family: str = "mixtral"
    tied: bool = False
    context: int | None = None

    def changes(self) -> dict[str, Any]:
        """The sizes of a config that are the same for all."""
        own: dict[str, Any] = {"tied": self.tied}
        return own if self.context is None else {**own, "context": self.context}


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """What is searched. Bounds are inclusive; `ffn_ratios` are FFN / hidden, of all active experts together.

    query_widths   the width of all heads over hidden
    sharing        query heads that share a KV head; or, where given, the numbers of KV heads
    tp             tensor parallelism that a shape has to suit: whole heads, and slices that fill matrix units
    apart          whether each depth is a block of its own, as where layers of a family differ by their place
    """

    template: Template = Template()
    layers: tuple[int, int] = (2, 160)
    hidden: tuple[int, int] = (256, 24_576)
    multiple: int = MULTIPLE
    head_dims: tuple[int, ...] = HEAD_DIMS
    query_widths: tuple[float, ...] = (1.0,)
    sharing: tuple[int, ...] = SHARING
    kv_heads: tuple[int, ...] = ()
    ffn_ratios: tuple[float, ...] = FFN_RATIOS
    vocabs: tuple[int, ...] = (128_256,)
    mixtures: tuple[Mixture, ...] = (Mixture(),)
    tp: int = 1
    apart: bool = False


class Kind(NamedTuple):
    """What is the same for all shapes of a block; `kv_heads` or, where it is None, `sharing`.

    query_width   the width of all heads over hidden
    """

    head_dim: int
    sharing: int
    kv_heads: int | None
    vocab: int
    mixture: Mixture
    query_width: float = 1.0


class Block(NamedTuple):
    """Shapes of one kind. The columns broadcast against each other: layers [L, 1], the rest [1, M]; or all of them [n].

    number   of each shape in the whole space: it settles ties
    ffn      width of one expert where there are several
    """

    kind: Kind
    number: NDArray[Any]
    layers: NDArray[Any]
    hidden: NDArray[Any]
    heads: NDArray[Any]
    kv_heads: NDArray[Any]
    ffn: NDArray[Any]

    @property
    def size(self) -> int:
        """How many shapes."""
        import numpy as np

        return int(np.broadcast(self.layers, self.hidden).size)

    def part(self, rows: Any, columns: Any) -> Block:
        """Some layers, and some of the other sizes, of a block with two axes."""
        rest = (column[:, columns] for column in (self.hidden, self.heads, self.kv_heads, self.ffn))
        return Block(self.kind, self.number[rows][:, columns], self.layers[rows], *rest)

    def flat(self, chosen: Any) -> Block:
        """Single shapes, as a mask or as indices of the flattened block."""
        import numpy as np

        shape = np.broadcast(self.layers, self.hidden).shape
        return Block(self.kind, *(np.broadcast_to(column, shape).ravel()[chosen] for column in self[1:]))


def kinds(space: Space) -> list[Kind]:
    """Every kind of block."""
    groups: list[tuple[int, int | None]] = [(1, n) for n in space.kv_heads] or [(n, None) for n in space.sharing]
    return [
        Kind(head_dim, sharing, kv_heads, vocab, mixture, query_width)
        for vocab in space.vocabs
        for mixture in space.mixtures
        for head_dim in space.head_dims
        for query_width in space.query_widths
        for sharing, kv_heads in groups
    ]


def blocks(space: Space) -> Iterator[Block]:
    """Every shape of the space, block by block, narrow ones first."""
    import numpy as np

    np.empty(KEPT_BYTES, np.uint8)
    every = np.arange(space.layers[0], space.layers[1] + 1, dtype=float)[:, None]
    depths = list(every[:, None]) if space.apart else [every]
    wide, first = max(1, BLOCK // len(depths[0])), 0
    for kind, layers in product(kinds(space), depths):
        columns = _columns(space, kind)
        for start in range(0, columns[0].shape[1], wide):
            some = [column[:, start : start + wide] for column in columns]
            shape = (len(layers), some[0].shape[1])
            number = np.arange(first, first + shape[0] * shape[1], dtype=float).reshape(shape)
            yield Block(kind, number, layers, *some)
            first += number.size


@lru_cache(maxsize=64)  # every shard asks for all of them
def _columns(space: Space, kind: Kind) -> tuple[NDArray[Any], ...]:
    """hidden, heads, kv_heads and ffn of one kind [1, M], by hidden."""
    import numpy as np

    step = int(np.lcm(space.multiple, kind.head_dim)) if kind.query_width == 1 else space.multiple
    first = -(-space.hidden[0] // step) * step
    widths = np.arange(first, space.hidden[1] + 1, step, dtype=float)
    hidden, ratio = (each.ravel() for each in np.meshgrid(widths, np.asarray(space.ffn_ratios, float), indexing="ij"))
    filled = float(np.lcm(space.multiple, TILE * space.tp)) if space.tp > 1 else float(space.multiple)
    ffn = np.maximum(np.round(ratio * hidden / kind.mixture.active / filled), 1) * filled
    heads = hidden * kind.query_width // kind.head_dim
    kv_heads = heads // kind.sharing if kind.kv_heads is None else np.full_like(heads, kind.kv_heads)
    # A KV head serves a whole number of query heads; devices have whole heads, or a copy of the same one.
    shared = (kv_heads > 0) & (heads % np.maximum(kv_heads, 1) == 0) & (heads % kind.sharing == 0)
    spread = (kv_heads % space.tp == 0) | (space.tp % np.maximum(kv_heads, 1) == 0)
    keep = shared & spread & (heads % space.tp == 0) & (heads * kind.head_dim == hidden * kind.query_width)
    _, once = np.unique(hidden * (ffn.max(initial=0) + 1) + ffn, return_index=True)
    chosen = np.sort(once[keep[once]])
    return tuple(column[None, chosen] for column in (hidden, heads, kv_heads, ffn))


def template(space: Space, block: Block) -> Architecture:
    """The architecture whose sizes are the block's columns: the same rules that read a config."""
    own, kind = space.template, block.kind
    changes: dict[str, Any] = {
        "layers": _depth(block.layers),
        "hidden": block.hidden,
        "heads": block.heads,
        "kv_heads": block.kv_heads,
        "head_dim": kind.head_dim,
        "ffn": block.ffn,
        "vocab": kind.vocab,
        **own.changes(),
    }
    if kind.mixture.dense:
        return read_config({"model_type": own.family}, changes=changes, where="design")
    changes |= {"experts": kind.mixture.experts, "active_experts": kind.mixture.active}
    return read_config({"model_type": own.mixture_family}, changes=changes, where="design")


def _depth(layers: Any) -> Any:
    """The layers as a whole number where all shapes have as many: which layers differ then follows from their place."""
    if not hasattr(layers, "dtype") or (layers != layers.flat[0]).any():
        return layers
    return int(layers.flat[0])


def uneven(family: str) -> bool:
    """Whether layers of a family differ by their place (windows, experts, other mixers): depth then says which are."""
    import numpy as np

    sizes = {"hidden": 2048, "heads": 16, "kv_heads": 16, "head_dim": 128, "ffn": 8192, "vocab": 1024}
    one, many = (
        read_config({"model_type": family}, changes={**sizes, "layers": layers}, where="design")
        for layers in (24, np.array([24.0]))
    )
    ledgers = lower(one), lower(many)
    told = [(ledger.parameters(), [cache.window for cache in ledger.caches]) for ledger in ledgers]
    return len(one.main.runs) > 1 or told[0] != told[1]


def searchable(space: Space) -> bool:
    """Whether many shapes of the family can be read at once: of a few families widths decide how layers are built."""
    try:
        deepest = space.layers[1]  # some parts first appear at a depth
        for each in (space, replace(space, layers=(deepest, deepest))):
            for block in islice(blocks(each), 1):
                lower(template(space, block))
    except BadInput:
        raise
    except (TypeError, ValueError):
        return False
    return True


def spelled(space: Space, row: Mapping[str, Any]) -> str:
    """The MODEL that repeats a shape in any other command."""
    names = ["layers", "hidden", "heads", "kv_heads", "head_dim", "ffn"]
    family = space.template.family
    if row["experts"] > 1:
        names, family = [*names, "experts", "active_experts"], space.template.mixture_family
    words = [f"like={family}", *(f"{name}={row[name]}" for name in (*names, "vocab"))]
    if space.template.context is not None:
        words.append(f"context={space.template.context}")
    return ",".join([*words, "tied" if space.template.tied else "untied"])
