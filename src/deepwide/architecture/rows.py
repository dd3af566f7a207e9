"""The rows of the ledger: which weights exist, which operations run on them, what is cached.

Every size is a plain number or an array of numbers, so a row describes one model or ten million.
A part of a model (an attention, a feed-forward network) writes its rows through a `Site`,
which knows where the part stands: in which stack, how wide the residual stream is, in how many layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, Literal

from deepwide.units import Num

Part = Literal["embedding", "position", "attention", "ffn", "router", "norm", "head", "recurrent", "other"]
Split = Literal["column", "row", "vocabulary", "expert", "replicated"]
Kind = Literal["matmul", "attention", "scan", "conv", "norm", "activation", "gather"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """One tensor of the model, or one tensor per layer and expert.

    `repeat` layers own such a tensor, `copies` of them per layer (experts), of which a token meets `active`.
    `split` is how tensor parallelism cuts it. A row with `tied` names the row whose tensor it shares.
    """

    name: str
    part: Part
    role: str
    shape: tuple[Num, ...]
    repeat: Num = 1
    copies: Num = 1
    active: Num = 1
    split: Split = "replicated"
    tied: str = ""
    trained: bool = True

    @property
    def size(self) -> Num:
        """Elements of one tensor."""
        return prod(self.shape)

    @property
    def parameters(self) -> Num:
        """Parameters of all its layers and copies; a tied tensor was counted where it is owned."""
        return 0 if self.tied else prod(self.shape) * self.copies * self.repeat

    @property
    def active_parameters(self) -> Num:
        """Parameters that one token uses."""
        return 0 if self.tied else prod(self.shape) * self.active * self.repeat


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunks:
    """How a recurrence takes many tokens at once: `tokens` of them at a time, by matrix products.

    Beside the scan's own work per token this costs `pairs` multiply-adds for each pair of tokens of a chunk, and
    `carried` for each pair of chunks where states are handed on by a product over all chunks.
    """

    tokens: Num
    pairs: Num
    carried: Num = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """One operation of a forward pass, `repeat` times over the layers.

    matmul      [rows, k] x [k, n], once for each of the `active` experts
    attention   scores over k = heads * query width, and values over n = heads * value width, for each pair of
                a row and a key; `keys` names whose tokens are attended, `window` and `causal` which of them
    scan, conv  k * n multiply-adds per row
    norm, activation, gather   n elements per row
    `stream` names whose tokens are the rows; `rows` and `key_rows` are set where their number is fixed.
    `chunks` says how a scan runs over many tokens. A convolution has `groups` of channels; padded on both sides,
    as a causal one often is, it computes `padding` more outputs per sequence than it keeps.
    `latent_k` and `latent_n` are the widths when scores are taken on the cached latent itself (absorbed MLA);
    `expanded` is the multiply-adds of expanding one cached latent instead.
    """

    kind: Kind
    name: str
    part: Part
    k: Num
    n: Num
    repeat: Num = 1
    active: Num = 1
    stream: str = "decoder"
    rows: Num | None = None
    keys: str = ""
    key_rows: Num | None = None
    window: Num | None = None
    causal: bool = False
    heads: Num = 1
    latent_k: Num | None = None
    latent_n: Num | None = None
    expanded: Num = 0
    weight: str = ""
    chunks: Chunks | None = None
    groups: Num = 1
    padding: Num = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """What a layer remembers while generating: `elements` per token within `window`, or per sequence if `fixed`.

    Tensor parallelism can spread it over `heads` devices; with one head every device keeps it whole.
    """

    name: str
    elements: Num
    repeat: Num = 1
    heads: Num = 1
    window: Num | None = None
    fixed: bool = False
    stream: str = "decoder"


@dataclass(slots=True, kw_only=True)
class Site:
    """Where a part stands, and the lists its rows are written to.

    `stored` layers own the weights and `repeat` layers run them (they differ where layers share weights).
    `rows` is set in a stack whose number of tokens is fixed, such as the patches of an image.
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
        weight = Weight(
            name=name, part=self.part, role=role, shape=(rows, width), repeat=self.stored, split=split
        )
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
        tied: str = "",
    ) -> None:
        """A matrix [inputs, outputs] that every row of the stream is multiplied with, and its bias."""
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
        self.ops.append(
            Op(
                kind="matmul",
                name=name,
                part=part,
                k=inputs,
                n=outputs,
                repeat=self.repeat,
                active=active,
                stream=stream or self.stream,
                rows=self.rows if rows is None and not stream else rows,
                weight=name,
            )
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
        chunks: Chunks | None = None,
        groups: Num = 1,
        padding: Num = 0,
    ) -> None:
        """An operation on every row of the stream."""
        self.ops.append(
            Op(
                kind=kind,
                name=f"{self.prefix}.{role}",
                part=self.part,
                k=k,
                n=n,
                repeat=self.repeat,
                active=active,
                stream=self.stream,
                rows=self.rows,
                weight=weight,
                chunks=chunks,
                groups=groups,
                padding=padding,
            )
        )

    def scores(self, role: str, k: Num, n: Num, *, heads: Num, window: Num | None = None) -> None:
        """Scores of this stream's tokens on one another, over `k`, and sums of their values, over `n`."""
        self.ops.append(
            Op(
                kind="attention",
                name=f"{self.prefix}.{role}",
                part=self.part,
                k=k,
                n=n,
                repeat=self.repeat,
                stream=self.stream,
                rows=self.rows,
                keys=self.stream,
                key_rows=self.rows,
                window=window,
                causal=self.causal,
                heads=heads,
            )
        )

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
