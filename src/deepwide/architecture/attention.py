"""Attention: multi-head, multi-query, grouped, windowed, across stacks.

One description serves them all: multi-head has kv_heads = heads, multi-query has kv_heads = 1.
"""

from __future__ import annotations

from dataclasses import dataclass

from deepwide.architecture.parts import Norm, norm
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

    @property
    def query_dim(self) -> Num:
        """Width of a query head."""
        return self.head_dim


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
