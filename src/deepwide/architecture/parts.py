"""The small parts that every model shares: norms, embeddings, positions, output heads.

Each part is a frozen description; the function of the same name, further down, writes its rows.
"""

from __future__ import annotations

from dataclasses import dataclass

from deepwide.architecture.site import Site, lowers
from deepwide.units import Num


@dataclass(frozen=True, slots=True, kw_only=True)
class Norm:
    """A normalisation of `kind` "rms" or "layer", with or without a learned gain (`scale`) and a learned `bias`."""

    kind: str = "rms"
    scale: bool = True
    bias: bool = False

    @property
    def vectors(self) -> int:
        """Learned vectors: gain, bias, both or none."""
        return int(self.scale) + int(self.bias)


RMS = Norm()
LAYER = Norm(kind="layer", bias=True)
LAYER_NO_BIAS = Norm(kind="layer")


@dataclass(frozen=True, slots=True, kw_only=True)
class NormLayer:
    """A `norm` that stands by itself: after the embedding, or before the head.

    `width` is the hidden size when left out; `name` is the word for its rows in the ledger.
    """

    norm: Norm
    name: str = "norm"
    width: Num | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenEmbedding:
    """The table of token vectors [vocab, width]; `width` is the hidden size unless it is factorised.

    `name` is the word for its row in the ledger.
    """

    vocab: Num
    width: Num | None = None
    name: str = "tokens"


@dataclass(frozen=True, slots=True, kw_only=True)
class Positions:
    """What tells the order of tokens, by its `kind`:

    learned           a table [rows, width] that is trained
    sinusoidal        a table [rows, width] that is computed; `stored` where it counts as a parameter all the same
    rotary, alibi     computed on the fly: no table
    relative, axial   tables that the family describes as parts of their own
    none              nothing does
    `width` is the hidden size when left out.
    """

    kind: str
    rows: Num = 0
    width: Num | None = None
    stored: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The output head [width, vocab], tied to the token embedding or not.

    `width` is the hidden size when left out; `tied` says that its tensor is that of the row `tied_to`; its `bias` is
    always its own; `name` is the word for its row in the ledger.
    """

    vocab: Num
    width: Num | None = None
    tied: bool = False
    bias: bool = False
    name: str = "output"
    tied_to: str = "embedding.tokens"


def norm(at: Site, n: Norm, width: Num, role: str = "norm") -> None:
    """A gain [width] and a bias [width], where the norm learns them."""
    if n.scale:
        at.vector(f"{role}.gain" if n.bias else role, width, part="norm")
    if n.bias:
        at.vector(f"{role}.bias", width, part="norm")
    at.op("norm", role, n.vectors, width)


@lowers(NormLayer)
def norm_layer(at: Site, n: NormLayer) -> None:
    """A norm of the hidden size, or of `width`."""
    norm(at, n.norm, at.hidden if n.width is None else n.width, n.name)


@lowers(TokenEmbedding)
def token_embedding(at: Site, e: TokenEmbedding) -> None:
    """Token vectors [vocab, width]."""
    at.part = "embedding"
    at.table(e.name, e.vocab, at.hidden if e.width is None else e.width, split="vocabulary")


@lowers(Positions)
def positions(at: Site, p: Positions) -> None:
    """Learned or stored sinusoidal tables [rows, width]; nothing for rotary and ALiBi."""
    if p.kind == "learned" or (p.kind == "sinusoidal" and p.stored):
        at.part = "position"
        at.table("positions", p.rows, at.hidden if p.width is None else p.width)


@lowers(Head)
def head(at: Site, h: Head) -> None:
    """Matrix [width, vocab]; a tied one is read, not owned. Its bias [vocab] is always its own."""
    at.part = "head"
    width = at.hidden if h.width is None else h.width
    at.matrix(h.name, width, h.vocab, bias=h.bias, split="vocabulary", tied=h.tied_to if h.tied else "")
