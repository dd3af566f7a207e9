"""Where a part of a model stands while it writes its rows: in which stack, how wide, in how many layers.

A part is a frozen description; the function that writes its rows is registered beside it with `@lowers`, so a new part
needs no list to be kept elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from deepwide.architecture.rows import Cache, Chunks, Kind, Latent, Op, Part, Scores, Split, Taps, Weight
from deepwide.units import Num

Described = TypeVar("Described")
Writer = Callable[["Site", Any], None]
LOWER: dict[type, Writer] = {}


def lowers(kind: type[Described]) -> Callable[[Callable[[Site, Described], None]], Callable[[Site, Described], None]]:
    """Registers the function that writes the rows of a part."""

    def registered(write: Callable[[Site, Described], None]) -> Callable[[Site, Described], None]:
        LOWER[kind] = write
        return write

    return registered


@dataclass(slots=True, kw_only=True)
class Site:
    """Where a part stands, and the lists its rows are written to.

    weights, ops, caches   the rows written so far, by all parts together
    prefix, part           what names of rows begin with, and what their parameters are summed under
    hidden                 width of the residual stream here
    repeat, stored         layers that run this, and layers that own weights (fewer where layers share them)
    stream, rows           whose tokens pass, and how many where their number is fixed: the patches of an image
    causal, generates      a token sees only earlier ones; this stack writes the output, so it keeps a cache
    """

    weights: list[Weight]
    ops: list[Op]
    caches: list[Cache]
    prefix: str
    hidden: Num
    part: Part = "other"
    repeat: Num = 1
    stored: Num = 1
    stream: str = "decoder"
    causal: bool = True
    generates: bool = True
    rows: Num | None = None

    def placed(self, **changes: Any) -> Site:
        """The same lists, standing elsewhere. (`dataclasses.replace` takes five times as long; this runs often.)"""
        other = Site.__new__(Site)
        for name in Site.__slots__:
            setattr(other, name, changes[name] if name in changes else getattr(self, name))
        return other

    def vector(self, role: str, *shape: Num, part: Part | None = None, repeat: Num | None = None) -> None:
        """A tensor that is not multiplied as a matrix: a bias, a gain, a table of scalars."""
        self.weights.append(
            Weight(
                name=f"{self.prefix}.{role}",
                part=part or self.part,
                role=role,
                shape=shape,
                repeat=self.stored if repeat is None else repeat,
            )
        )

    def table(self, role: str, rows: Num, width: Num, *, split: Split = "replicated", read: bool = True) -> None:
        """A table of vectors looked up by index: [rows, width]."""
        name = f"{self.prefix}.{role}"
        weight = Weight(name=name, part=self.part, role=role, shape=(rows, width), repeat=self.stored, split=split)
        self.weights.append(weight)
        if read:
            self.op("gather", role, 1, width, weight=name)

    def matrix(
        self,
        role: str,
        inputs: Num,
        outputs: Num,
        *,
        bias: bool = False,
        split: Split = "replicated",
        copies: Num = 1,
        active: Num = 1,
        part: Part | None = None,
        stream: str = "",
        rows: Num | None = None,
        once: bool = False,
        tied: str = "",
    ) -> None:
        """A matrix [inputs, outputs] that every row of the stream is multiplied with, and its bias.

        `rows` of them where their number is fixed; `once` per pass where they are those of a table.
        """
        name, part = f"{self.prefix}.{role}", part or self.part
        self.weights.append(
            Weight(
                name=name,
                part=part,
                role=role,
                shape=(inputs, outputs),
                repeat=self.stored,
                copies=copies,
                active=active,
                split=split,
                tied=tied,
            )
        )
        self.op(
            "matmul", role, inputs, outputs, weight=name, active=active, part=part, stream=stream, rows=rows, once=once
        )
        if bias:
            self.bias(role, outputs, copies=copies, active=active, split=split, part=part)

    def bias(
        self, role: str, size: Num, *, copies: Num = 1, active: Num = 1, split: Split = "replicated", part: Part
    ) -> None:
        """The bias of the matrix called `role`. A row-split matrix adds it once, after the sum."""
        self.weights.append(
            Weight(
                name=f"{self.prefix}.{role}.bias",
                part=part,
                role="bias",
                shape=(size,),
                repeat=self.stored,
                copies=copies,
                active=active,
                split="replicated" if split == "row" else split,
            )
        )

    def op(
        self,
        kind: Kind,
        role: str,
        k: Num,
        n: Num,
        *,
        weight: str = "",
        active: Num = 1,
        part: Part | None = None,
        stream: str = "",
        rows: Num | None = None,
        once: bool = False,
        how: Scores | Chunks | Taps | None = None,
    ) -> None:
        """An operation on every row of the stream: on `rows` of them, or `once` per pass, as a matrix has it."""
        name, part = f"{self.prefix}.{role}", part or self.part
        if rows is None and not stream:
            rows = self.rows
        stream = "" if once else stream or self.stream
        self.ops.append(Op(kind, name, part, k, n, self.repeat, active, stream, rows, weight, how))

    def scores(
        self,
        role: str,
        k: Num,
        n: Num,
        *,
        heads: Num,
        window: Num | None = None,
        keys: str = "",
        key_rows: Num | None = None,
        latent: Latent | None = None,
    ) -> None:
        """Scores of this stream's tokens over `k`, and sums of values over `n`: on one another, or on stream `keys`."""
        how = Scores(
            keys=keys or self.stream,
            key_rows=key_rows if keys else self.rows,
            window=window,
            causal=self.causal and not keys,
            heads=heads,
            latent=latent,
        )
        self.op("attention", role, k, n, how=how)

    def cache(
        self,
        role: str,
        elements: Num,
        *,
        heads: Num = 1,
        window: Num | None = None,
        fixed: bool = False,
        stream: str = "",
    ) -> None:
        """What this part remembers of each token of the stream (or, if `fixed`, of each sequence) while generating."""
        if self.generates:
            self.caches.append(
                Cache(
                    name=f"{self.prefix}.{role}",
                    elements=elements,
                    repeat=self.repeat,
                    heads=heads,
                    window=window,
                    fixed=fixed,
                    stream=stream or self.stream,
                )
            )


def place(at: Site, prefix: str, body: Any) -> None:
    """Writes the rows of a part under `prefix`, by the function registered for it."""
    at.prefix = prefix
    LOWER[type(body)](at, body)
