"""Latent attention (DeepSeek): keys and values are made from a small latent, and only the latent is cached."""

from __future__ import annotations

from dataclasses import dataclass

from deepwide.architecture.parts import Norm, norm
from deepwide.architecture.rows import Latent
from deepwide.architecture.site import Site, lowers
from deepwide.units import Num


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentAttention:
    """Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434): keys and values from one cached latent.

    heads             heads of queries, keys and values
    query_rank        width of the queries' own latent; None means a plain query projection
    kv_rank, rope_dim   numbers that are cached of a token: the latent, and the rotary key that all heads share
    nope_dim          width of a head's query and key without positions; `rope_dim` comes on top
    value_dim         width of a value head
    bias, output_bias   of the projections down to the latents, and of the output
    latent_norm       norm of both latents, None for none; rope_norm norms the rotary key too
    indexer_heads     small heads that choose which tokens are attended (DeepSeek-V3.2), with keys indexer_dim wide
    indexer_top       tokens attended then, also in layers that reuse an earlier choice and have no indexer
    window            how many tokens back a token sees, itself included; None means all
    sinks             one learned number per head that takes part in the softmax
    gate              scales the output: "width" a number per channel of it, "head" one per head, both from the hidden
                      state; "query" a number per channel that the query projection gives along, which then reads its
                      latent both normed and not; "" for none
    name              the word for its rows in the ledger
    """

    heads: Num
    query_rank: Num | None
    kv_rank: Num
    nope_dim: Num
    rope_dim: Num
    value_dim: Num
    bias: bool = False
    latent_norm: Norm | None = Norm()
    output_bias: bool = False
    indexer_heads: Num | None = None
    indexer_dim: Num = 0
    indexer_top: Num | None = None
    window: Num | None = None
    rope_norm: bool = False
    sinks: bool = False
    gate: str = ""
    name: str = "attention"

    @property
    def query_dim(self) -> Num:
        """Width of a query head."""
        return self.nope_dim + self.rope_dim


@lowers(LatentAttention)
def latent_attention(at: Site, a: LatentAttention) -> None:
    """Down- and up-projections of queries and of the shared latent, scores, and the cached latent.

    query_down [hidden, query_rank]   query [query_rank, heads * (nope_dim + rope_dim)]
    kv_down [hidden, kv_rank + rope_dim]   key_value [kv_rank, heads * (nope_dim + value_dim)]
    output [heads * value_dim, hidden]
    """
    at.part = "attention"
    query_dim = a.nope_dim + a.rope_dim
    _latent_query(at, a, query_dim)
    at.matrix("kv_down", at.hidden, a.kv_rank + a.rope_dim, bias=a.bias)
    if a.latent_norm:
        norm(at, a.latent_norm, a.kv_rank, "kv_norm")
    if a.rope_norm:
        norm(at, Norm(), a.rope_dim, "rope_norm")
    at.matrix("key_value", a.kv_rank, a.heads * (a.nope_dim + a.value_dim), split="column")
    at.cache(a.name, a.kv_rank + a.rope_dim, window=a.window)
    if a.indexer_heads is not None:
        _indexer(at, a, a.indexer_heads)
    if a.sinks:
        at.vector("sinks", a.heads)
    _latent_scores(at, a, query_dim)
    if a.gate in ("width", "head"):
        at.matrix("gate", at.hidden, a.heads * a.value_dim if a.gate == "width" else a.heads, split="column")
    at.matrix("output", a.heads * a.value_dim, at.hidden, bias=a.output_bias, split="row")


def _latent_query(at: Site, a: LatentAttention, query_dim: Num) -> None:
    """The query, straight from the hidden state or through a latent of its own."""
    if a.query_rank is None:
        at.matrix("query", at.hidden, a.heads * query_dim, split="column")
        return
    at.matrix("query_down", at.hidden, a.query_rank, bias=a.bias)
    if a.latent_norm:
        norm(at, a.latent_norm, a.query_rank, "query_norm")
    if a.gate == "query":
        at.matrix("query", 2 * a.query_rank, a.heads * (query_dim + a.value_dim), split="column")
    else:
        at.matrix("query", a.query_rank, a.heads * query_dim, split="column")


def _latent_scores(at: Site, a: LatentAttention, query_dim: Num) -> None:
    latent = Latent(
        k=a.heads * (a.kv_rank + a.rope_dim),
        n=a.heads * a.kv_rank,
        expanded=a.kv_rank * a.heads * (a.nope_dim + a.value_dim),
    )
    window = a.indexer_top if a.window is None else a.window
    at.scores("scores", a.heads * query_dim, a.heads * a.value_dim, heads=a.heads, window=window, latent=latent)


def _indexer(at: Site, a: LatentAttention, heads: Num) -> None:
    """The lightning indexer of DeepSeek-V3.2: small heads that choose which tokens are attended.

    indexer_query [query_rank, heads * dim]   indexer_key [hidden, dim]   indexer_weight [hidden, heads]
    """
    source = at.hidden if a.query_rank is None else a.query_rank
    at.matrix("indexer_query", source, heads * a.indexer_dim)
    at.matrix("indexer_key", at.hidden, a.indexer_dim)
    norm(at, Norm(kind="layer", bias=True), a.indexer_dim, "indexer_norm")
    at.matrix("indexer_weight", at.hidden, heads)
    at.cache(f"{a.name}.indexer", a.indexer_dim)
    at.scores("indexer_scores", heads * a.indexer_dim, 0, heads=heads)
