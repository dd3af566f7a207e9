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

    heads, kv_heads   query heads, and the heads of keys and values that groups of them share
    head_dim          width of a query or key head; value_dim is that of a value head, head_dim when left out
    bias              letters of the projections that have one: q, k, v, o (output) and g (the gate's), as in "qkvo"
    qk_norm           norm of queries and keys, qk_norm_over each head alone ("head"), the whole projection ("width"),
                      or each head with gains of its own ("heads"); value_norm is that of each value head
    window            how many tokens back a token sees, itself included; None means all
    sinks             one learned number per head that takes part in the softmax
    gate              an output gate as wide as the projection ("width"), one number per head ("head"), or "" for none
    keys              stack attended across, "" for its own; keys_width is the hidden size of that stack, and key_rows
                      the number of its tokens where it is fixed
    shared_kv         keys and values are another layer's
    value_is_key      values are the keys, without a projection of their own
    one_projection    queries, keys and values are one and the same: the query matrix makes them all (kv_heads = heads)
    inputs, outputs   widths that are read and written where they are not the hidden size
    joined            width that the output matrix reads where it is not that of the heads together
    value_width       width that values are projected from where it is not that of the keys
    also              another stack whose tokens are attended together with the own ones, by the same projections
    name              the word for its rows in the ledger
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
    one_projection: bool = False
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
    With `one_projection` there are query and output alone, and a token leaves heads * head_dim numbers in the cache.
    """
    at.part = "attention"
    value_dim = a.head_dim if a.value_dim is None else a.value_dim
    source = at.hidden if a.inputs is None else a.inputs
    at.matrix("query", source, a.heads * a.head_dim, bias="q" in a.bias, split="column")
    if a.one_projection:
        _value_norm(at, a, value_dim)
        at.cache(a.name, a.heads * a.head_dim, heads=a.heads, window=a.window)
    elif not a.shared_kv:
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
    _value_norm(at, a, value_dim)
    held = a.kv_heads * (a.head_dim + value_dim)
    if a.key_rows is None:
        at.cache(a.name, held, heads=a.kv_heads, window=a.window, stream=a.keys)
    else:
        at.cache(a.name, held * a.key_rows, heads=a.kv_heads, fixed=True, stream=a.keys)


def _value_norm(at: Site, a: Attention, value_dim: Num) -> None:
    if a.value_norm and a.value_norm.vectors:
        norm(at, a.value_norm, value_dim, "value_norm")


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
    """Keys and values of another stack's tokens by the matrices that are there already, their scores and cache."""
    for role, width in (("key", a.kv_heads * a.head_dim), ("value", a.kv_heads * value_dim)):
        at.op("matmul", f"{a.also}_{role}", source, width, weight=f"{at.prefix}.{role}", stream=a.also)
    at.cache(f"{a.name}.{a.also}", a.kv_heads * (a.head_dim + value_dim), heads=a.kv_heads, stream=a.also)
    _scores(at, a, value_dim, keys=a.also)
