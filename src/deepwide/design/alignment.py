"""Which sizes matrix units like: what each device gets of a size, what a misfit costs, and the nearest better sizes.

Tensor parallelism cuts a size into `tp` slices, and it is the slice that has to fill whole tiles. What a misfit costs
was measured, everything else equal: hidden 14,400 over 8 devices (1,800 each) instead of 13,824 (1,728 each) makes
products a third longer, head_dim 108 instead of 216 the whole step (bigscience-workshop, tr11 chronicles).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import lcm
from typing import NamedTuple

from deepwide.architecture.ledger import Ledger
from deepwide.architecture.rows import Op, Weight
from deepwide.arithmetic import largest, least, pieces, rounded_up
from deepwide.cost.inference.passes import ELEMENT_BYTES, TILE
from deepwide.cost.roofline import misaligned
from deepwide.cost.training.work import awkward_heads
from deepwide.units import Num, Real

FAST = 8  # elements: a size that is no multiple of it misses the matrix units' fast path
HEAD_DIMS = (64, 128)  # the widths of heads that attention kernels are written for
MOST_HEAD_DIM = 256  # of fused attention kernels (github.com/Dao-AILab/flash-attention)


@dataclass(frozen=True, slots=True, kw_only=True)
class Widths:
    """The sizes of a shape that are cut into slices; None where a model has no such part."""

    hidden: int
    heads: int | None
    kv_heads: int | None
    head_dim: int | None
    ffn: int | None
    vocab: int

    @property
    def width(self) -> int:
        """What attention works on, all heads together: the hidden size in most models."""
        return self.heads * self.head_dim if self.heads and self.head_dim else self.hidden


class Misfit(NamedTuple):
    """A size that misses what hardware likes: into how many `parts` it is cut, and how much longer its work takes.

    `better` holds the nearest sizes that fit; `why` says in words what is amiss.
    """

    name: str
    size: int
    parts: int
    slower: float
    better: tuple[int, ...]
    why: str


def tile_fill(size: Num) -> Real:
    """The share of whole tiles that a size fills.

    >>> tile_fill(100)
    0.78125
    """
    share: Real = size / rounded_up(size, TILE)
    return share


def around(size: int, multiple: int) -> tuple[int, ...]:
    """The nearest multiples below and above; the size itself where it is one.

    >>> around(14400, 8 * 64)
    (14336, 14848)
    """
    below = size // multiple * multiple
    return (below,) if below == size else tuple(n for n in (below, below + multiple) if n)


def head_slowdown(head_dim: Real, heads: Real, tp: int = 1) -> Real:
    """How much longer attention without a fused kernel takes for heads of a width, spread over `tp` devices."""
    return awkward_heads(head_dim, heads / tp)


def misfits(of: Widths, tp: int = 1) -> tuple[Misfit, ...]:
    """Every size that `tp` devices cut into slices that miss whole tiles, the heads among them."""
    return (*_heads(of, tp), *_widths(of, tp))


def _widths(of: Widths, tp: int) -> Iterator[Misfit]:
    for name, size in (("hidden", of.width), ("ffn", of.ffn or 0)):
        slower = float(misaligned(size / tp))
        if slower > 1:
            why = f"{_slice(name, size, tp)}, no multiple of {TILE if size % (FAST * tp) == 0 else FAST}"
            yield Misfit(name, size, tp, slower, around(size, TILE * tp), why)
    padded = int(rounded_up(of.vocab, TILE * tp))
    if padded > of.vocab:  # engines pad it: tokens cannot be left out
        why = f"vocab={of.vocab} is padded to {padded}"
        yield Misfit("vocab", of.vocab, tp, padded / of.vocab, (padded,), why)


def _heads(of: Widths, tp: int) -> Iterator[Misfit]:
    if not of.heads or not of.head_dim:
        return
    if of.heads % tp:
        yield Misfit("heads", of.heads, tp, 1.0, around(of.heads, tp), f"heads={of.heads}, which {tp} cannot share")
    if of.kv_heads and of.kv_heads % tp and tp % of.kv_heads:
        why = f"kv_heads={of.kv_heads}, which {tp} cannot share"
        yield Misfit("kv_heads", of.kv_heads, tp, 1.0, around(of.kv_heads, tp), why)
    rule = f"no multiple of {FAST}" if of.head_dim % FAST else ""
    if not rule and not min(HEAD_DIMS) <= of.head_dim <= MOST_HEAD_DIM:
        rule = f"outside {min(HEAD_DIMS)} to {MOST_HEAD_DIM}, which attention kernels are written for"
    if rule:
        better = tuple(of.width // n for n in better_heads(of.width, of.heads, tp)[:3])
        slower = float(head_slowdown(of.head_dim, of.heads))
        yield Misfit("head_dim", of.head_dim, 1, slower, better, f"head_dim={of.head_dim}, {rule}")


def better_heads(width: int, heads: int, tp: int = 1, kv_heads: int = 1) -> tuple[int, ...]:
    """Numbers of heads that part a width evenly, that devices and KV heads share, and whose width fits kernels.

    Those that kernels take in fours first, the nearest to `heads` before others. A head is a multiple of 8 wide,
    between 64 and 256.

    >>> better_heads(13824, 128, 8)
    (96, 192, 64, 144, 216, 72)
    """
    step = lcm(tp, kv_heads)
    fitting = [n for n in range(step, width // min(HEAD_DIMS) + 1, step) if width % n == 0 and _fits(width // n)]
    return tuple(sorted(fitting, key=lambda n: (head_slowdown(width // n, n, tp), max(n, heads) / min(n, heads))))


def _fits(head_dim: int) -> bool:
    return head_dim % FAST == 0 and min(HEAD_DIMS) <= head_dim <= MOST_HEAD_DIM


def realigned(of: Widths, tp: int = 1) -> Widths:
    """The nearest shape whose slices fill whole tiles; where its heads were as many as its KV heads, they still are."""
    width = _nearest(of.width, TILE * tp)
    shared = of.kv_heads if of.kv_heads and of.kv_heads != of.heads else 1
    heads, head_dim = of.heads, of.head_dim
    if heads:
        heads = next(iter(better_heads(width, heads, tp, shared)), heads)
        head_dim = width // heads
    return replace(
        of,
        hidden=width if of.width == of.hidden else _nearest(of.hidden, TILE),
        heads=heads,
        kv_heads=heads if of.kv_heads == of.heads else of.kv_heads,
        head_dim=head_dim,
        ffn=_nearest(of.ffn, TILE * tp) if of.ffn else of.ffn,
        vocab=int(rounded_up(of.vocab, TILE * tp)),
    )


def _nearest(size: int, multiple: int) -> int:
    return min(around(size, multiple), key=lambda n: abs(n - size))


def _slice(name: str, size: int, parts: int) -> str:
    return f"{name}={size}" if parts == 1 else f"{name}={size}: {size / parts:g} on each of {parts} devices"


def aligned_up_to(of: Widths) -> int:
    """The most devices, a power of two up to 128, that share heads and widths in whole tiles; 0 where one cannot."""
    fitting = [2**i for i in range(8) if not [m for m in misfits(of, 2**i) if m.name != "vocab"]]
    return max(fitting, default=0)


def shared_by(heads: int | None, kv_heads: int | None, most: int) -> int:
    """The most devices, a power of two up to `most`, that can share heads of both kinds.

    >>> shared_by(28, 4, 8)
    4
    """
    counts = [1 << i for i in range(most.bit_length())]
    shared = [n for n in counts if not heads or heads % n == 0]
    return max(n for n in shared if not kv_heads or kv_heads % n == 0 or n % kv_heads == 0)


class Products(NamedTuple):
    """The matrix products of a pass together: real work as a share of whole tiles, how much longer misfits make it.

    `intensity` is FLOPs for each byte that has to move.
    """

    fill: float
    slower: float
    intensity: float


def products(ledger: Ledger, rows: Num, tp: int = 1) -> Products:
    """How well the matrix units are filled by `rows` tokens, on one of `tp` devices; each product by its work."""
    weights = {w.name: w for w in ledger.weights}
    flops: Real = 0.0
    padded: Real = 0.0
    slow: Real = 0.0
    moved: Real = 0.0
    for op in (op for op in ledger.ops if op.kind == "matmul" and op.rows is None):
        weight = weights.get(op.weight)
        k, n = _cut(op, weight, tp)
        work = 2 * rows * op.active * op.repeat * k * n
        flops, padded = flops + work, padded + work / (tile_fill(k) * tile_fill(n))
        # Engines pad the vocabulary, so that the head is never slower for it.
        slow = slow + work * (1 if op.part == "head" else largest(misaligned(k), misaligned(n)))
        moved = moved + ELEMENT_BYTES * op.repeat * (_met(op, weight, rows) * k * n + op.active * rows * (k + n))
    return Products(*(float(v) for v in (flops / padded, slow / flops, flops / moved))) if flops else Products(1, 1, 0)


def _cut(op: Op, weight: Weight | None, tp: int) -> tuple[Num, Num]:
    """Inputs and outputs of a product on one device."""
    split = weight.split if weight else "replicated"
    k = pieces(op.k, tp) if split == "row" else op.k
    return k, pieces(op.n, tp) if split in ("column", "vocabulary") else op.n


def _met(op: Op, weight: Weight | None, rows: Num) -> Num:
    """Matrices of an operation that `rows` tokens meet: all experts where the tokens are many."""
    met: Num = least(weight.copies if weight else 1, op.active * rows)
    return met
