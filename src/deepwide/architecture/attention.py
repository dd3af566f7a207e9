"""Attention: multi-head, multi-query, grouped, windowed, across stacks; and DeepSeek's latent attention.

One description serves them all: multi-head has kv_heads = heads, multi-query has kv_heads = 1.
"""

from __future__ import annotations

from dataclasses import dataclass

from deepwide.architecture.parts import Norm, norm
from deepwide.architecture.rows import Latent
from deepwide.architecture.site import Site, lowers
from deepwide.units import Num


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """Softmax attention with separate projections for queries, keys, values and output.

    `bias` names the projections that have one: "qkv", "qkvo", "qvo"; "g" is the gate's. `qk_norm` norms queries
    and keys, over each head (`qk_norm_over` "head"), over the whole projection ("width"), or with a gain per head
    ("heads"). `keys` names the stack attended across; its hidden size is `keys_width`. `gate` adds an output gate of
    the projection's width ("width") or one number per head ("head"). `shared_kv` means that another layer's keys and
    values are used; `value_is_key` that values are the keys; `value_width` what values are projected from.
    `window` limits how far a token looks back. `key_rows` is set where the number of keys attended across is fixed.
    `joined` is what the output matrix reads where it is not the heads together. `also` names another stack whose
    tokens are attended together with the own ones, through the same projections.
    """

    heads: Num
    kv_heads: Num
    head_dim: Num
    value_dim: Num | None = None
    bias: str = ""
    qk_norm: Norm | None = None
    qk_norm_over: str = "head"
    value_norm: Norm | None = None
    window: Num | None = None
    sinks: bool = False
    gate: str = ""
    keys: str = ""
    keys_width: Num | None = None
    key_rows: Num | None = None
    shared_kv: bool = False
    value_is_key: bool = False
    inputs: Num | None = None
    outputs: Num | None = None
    joined: Num | None = None
    value_width: Num | None = None
    also: str = ""
    name: str = "attention"


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentAttention:
    """Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434): keys and values from one cached latent.

    A token's keys and values come from `kv_rank` numbers and `rope_dim` shared rotary ones.
    `query_rank` None means a plain query projection. `indexer_heads` adds the sparse-attention indexer of
    DeepSeek-V3.2, whose keys are `indexer_dim` wide; `indexer_top` tokens are then attended, also in layers that
    reuse the choice of an earlier one and so have no indexer of their own. `rope_norm` norms the rotary key.
    `gate` scales the output: "width" a number per channel of it, "head" one per head, both from the hidden state;
    "query" a number per channel that the query projection gives along, reading its latent both normed and not.
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


@lowers(Attention)
def attention(at: Site, a: Attention) -> None:
    """Projections, norms of queries and keys, scores, and the cache of keys and values.

    query [hidden, heads * head_dim]        key [hidden, kv_heads * head_dim]
    value [hidden, kv_heads * value_dim]    output [heads * value_dim, hidden]
    """
    at.part = "attention"
    value_dim = a.head_dim if a.value_dim is None else a.value_dim
    source = at.hidden if a.inputs is None else a.inputs
    at.matrix("query", source, a.heads * a.head_dim, bias="q" in a.bias, split="column")
    if not a.shared_kv:
        _keys_and_values(at, a, source, value_dim)
    if a.gate:
        width = a.heads * value_dim if a.gate == "width" else a.heads
        at.matrix("gate", source, width, bias="g" in a.bias, split="column")
    if a.qk_norm:
        _query_key_norm(at, a, a.qk_norm)
    if a.sinks:
        at.vector("sinks", a.heads)
    _scores(at, a, value_dim)
    if a.also:
        _other_tokens(at, a, source, value_dim)
    outputs = at.hidden if a.outputs is None else a.outputs
    joined = a.heads * value_dim if a.joined is None else a.joined
    at.matrix("output", joined, outputs, bias="o" in a.bias, split="row")


def _keys_and_values(at: Site, a: Attention, source: Num, value_dim: Num) -> None:
    width = source if a.keys_width is None else a.keys_width
    stream, rows = a.keys, a.key_rows
    at.matrix("key", width, a.kv_heads * a.head_dim, bias="k" in a.bias, split="column", stream=stream, rows=rows)
    if not a.value_is_key:
        values = width if a.value_width is None else a.value_width
        at.matrix("value", values, a.kv_heads * value_dim, bias="v" in a.bias, split="column", stream=stream, rows=rows)
    if a.value_norm and a.value_norm.vectors:
        norm(at, a.value_norm, value_dim, "value_norm")
    held = a.kv_heads * (a.head_dim + value_dim)
    if a.key_rows is None:
        at.cache(a.name, held, heads=a.kv_heads, window=a.window, stream=a.keys)
    else:
        at.cache(a.name, held * a.key_rows, heads=a.kv_heads, fixed=True, stream=a.keys)


def _query_key_norm(at: Site, a: Attention, n: Norm) -> None:
    widths = {"head": (1, 1), "width": (a.heads, a.kv_heads), "heads": (a.heads, a.kv_heads)}[a.qk_norm_over]
    norm(at, n, widths[0] * a.head_dim, "query_norm")
    if not a.shared_kv:
        norm(at, n, widths[1] * a.head_dim, "key_norm")


def _scores(at: Site, a: Attention, value_dim: Num, keys: str = "") -> None:
    """Scores on the stack's own tokens, or on those of `keys`, which are whole and without a window."""
    at.scores(
        "scores",
        a.heads * a.head_dim,
        a.heads * value_dim,
        heads=a.heads,
        window=None if keys else a.window,
        keys=keys or a.keys,
        key_rows=None if keys else a.key_rows,
    )


def _other_tokens(at: Site, a: Attention, source: Num, value_dim: Num) -> None:
    """Keys and values of another stack's tokens by the matrices that are there already, their scores and their cache."""
    for role, width in (("key", a.kv_heads * a.head_dim), ("value", a.kv_heads * value_dim)):
        at.op("matmul", f"{a.also}_{role}", source, width, weight=f"{at.prefix}.{role}", stream=a.also)
    at.cache(f"{a.name}.{a.also}", a.kv_heads * (a.head_dim + value_dim), heads=a.kv_heads, stream=a.also)
    _scores(at, a, value_dim, keys=a.also)


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
