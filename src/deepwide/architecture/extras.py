"""The parts that describe what a family adds beyond the usual: table, matrix, vector, convolution, operation.

With them a family that differs in small ways needs no code of its own in the ledger.
"""

from __future__ import annotations

from dataclasses import dataclass

from deepwide.architecture.rows import Kind, Part, Scores, Split, Taps
from deepwide.architecture.site import Site, lowers
from deepwide.units import Num


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of vectors [rows, width] read by some index: token types, relative-position buckets, hashes of n-grams.

    `width` is the hidden size when left out, `part` where its parameters are summed, and `read` is false for a table
    that is kept though nothing looks anything up. `name` is the word for its row in the ledger.
    """

    name: str
    rows: Num
    width: Num | None = None
    part: Part = "embedding"
    read: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """A matrix [inputs, outputs] on every token, with or without a `bias`. Widths are the hidden size when left out.

    name, part        the word for its row in the ledger, and where its parameters are summed
    split             how tensor parallelism cuts it
    copies, active    matrices of this shape, and how many of them a token meets
    rows              rows that it multiplies, for each sequence, where their number is fixed
    once              once per pass, because the rows are those of a table
    tied              the row whose tensor it shares, "" for its own
    """

    name: str
    inputs: Num | None = None
    outputs: Num | None = None
    bias: bool = False
    part: Part = "other"
    split: Split = "replicated"
    copies: Num = 1
    active: Num = 1
    rows: Num | None = None
    once: bool = False
    tied: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vector:
    """A tensor of any `shape` that scales, shifts or starts something: never multiplied as a matrix.

    `name` is the word for its row in the ledger, `part` where its parameters are summed.
    """

    name: str
    shape: tuple[Num, ...]
    part: Part = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Convolution:
    """A convolution over time: weight [channels, inputs_per_group, kernel], and a `bias` [channels] where it has one.

    channels, kernel  outputs, and the taps of each (height times width over pictures)
    inputs_per_group  channels that each output reads: 1 is depthwise, with as many groups as channels
    groups            groups of channels; when left out, `channels` for a depthwise one, else 1
    causal            padded by kernel - 1 on both sides and cut, so a token sees none after it
    rows              outputs per sequence where they are not the stream's tokens: over pictures, or once shortened
    name, part        the word for its row in the ledger, and where its parameters are summed
    """

    name: str
    channels: Num
    kernel: Num
    inputs_per_group: Num = 1
    bias: bool = False
    part: Part = "recurrent"
    groups: Num | None = None
    causal: bool = False
    rows: Num | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """Work beside the matrices: scores against a table of relative positions, a kernel shared within a head.

    kind, k, n        as in the ledger's operations
    key_rows          for scores: rows of the table they are taken with; None means the stream's own tokens
    window            for scores: how many tokens back
    name, part        the word for its row in the ledger, and what it belongs to
    """

    name: str
    kind: Kind
    k: Num
    n: Num = 0
    key_rows: Num | None = None
    window: Num | None = None
    part: Part = "attention"


@lowers(Table)
def table(at: Site, t: Table) -> None:
    """Vectors [rows, width]."""
    at.part = t.part
    at.table(t.name, t.rows, at.hidden if t.width is None else t.width, read=t.read)


@lowers(Linear)
def linear(at: Site, p: Linear) -> None:
    """Matrix [inputs, outputs] and bias [outputs]."""
    at.part = p.part
    inputs = at.hidden if p.inputs is None else p.inputs
    outputs = at.hidden if p.outputs is None else p.outputs
    at.matrix(
        p.name,
        inputs,
        outputs,
        bias=p.bias,
        split=p.split,
        copies=p.copies,
        active=p.active,
        rows=p.rows,
        once=p.once,
        tied=p.tied,
    )


@lowers(Vector)
def vector(at: Site, v: Vector) -> None:
    """A tensor of the given shape."""
    at.vector(v.name, *v.shape, part=v.part)


@lowers(Convolution)
def convolution(at: Site, c: Convolution) -> None:
    """Kernel [channels, inputs_per_group, kernel] and bias [channels]."""
    at.part = c.part
    at.vector(c.name, c.channels, c.inputs_per_group, c.kernel)
    how = Taps(groups=_groups(c), padding=c.kernel - 1 if c.causal else 0)
    taps, weight = c.inputs_per_group * c.kernel, f"{at.prefix}.{c.name}"
    at.op("conv", c.name, taps, c.channels, weight=weight, rows=c.rows, how=how)
    if c.causal:
        at.cache(c.name, c.channels * c.kernel, fixed=True)
    if c.bias:
        at.vector(f"{c.name}.bias", c.channels)


def _groups(c: Convolution) -> Num:
    if c.groups is not None:
        return c.groups
    return c.channels if isinstance(c.inputs_per_group, int) and c.inputs_per_group == 1 else 1


@lowers(Operation)
def operation(at: Site, o: Operation) -> None:
    """One operation and no weight."""
    if o.kind != "attention":
        at.op(o.kind, o.name, o.k, o.n, part=o.part)
        return
    fixed = o.key_rows is not None
    how = Scores(
        keys=at.stream, key_rows=o.key_rows if fixed else at.rows, window=o.window, causal=at.causal and not fixed
    )
    at.op("attention", o.name, o.k, o.n, part=o.part, how=how)
