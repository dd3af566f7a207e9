"""The parts that describe what a family adds beyond the usual: a table, a matrix, a vector, a convolution, an operation.

With them a family that differs in small ways needs no code of its own in the ledger.
"""

from __future__ import annotations

from dataclasses import dataclass

from deepwide.architecture.rows import Kind, Part, Scores, Split, Taps
from deepwide.architecture.site import Site, lowers
from deepwide.units import Num


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of vectors read by some index: token types, relative-position buckets, hashes of n-grams."""

    name: str
    rows: Num
    width: Num | None = None
    part: Part = "embedding"
    read: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """A matrix [inputs, outputs] on every token, with or without a bias. Widths are the hidden size when left out.

    `rows` of them where their number is fixed for each sequence, or `once` per pass where they are those of a table.
    `tied` names the row whose tensor it shares.
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
    """A tensor that scales, shifts or starts something: never multiplied as a matrix."""

    name: str
    shape: tuple[Num, ...]
    part: Part = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Convolution:
    """A convolution over time: weight [channels, inputs / groups, kernel].

    Depthwise, with as many groups as channels, when inputs_per_group is 1; else of one group unless `groups` says
    more. A `causal` one is padded by kernel - 1 on both sides and cut. `rows` is the number of its outputs where it is
    not that of the stream's tokens: a convolution over pictures, or one that others shorten.
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

    `k`, `n` as in the ledger's operations; scores are with the stream's own tokens, or with `key_rows` of a table.
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
    depthwise = isinstance(c.inputs_per_group, int) and c.inputs_per_group == 1
    (at if c.rows is None else at.placed(rows=c.rows)).op(
        "conv",
        c.name,
        c.inputs_per_group * c.kernel,
        c.channels,
        weight=f"{at.prefix}.{c.name}",
        how=Taps(
            groups=c.groups if c.groups is not None else c.channels if depthwise else 1,
            padding=c.kernel - 1 if c.causal else 0,
        ),
    )
    if c.causal:
        at.cache(c.name, c.channels * c.kernel, fixed=True)
    if c.bias:
        at.vector(f"{c.name}.bias", c.channels)


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
