"""Attention in which a token meets only a part: of the heads, of the other tokens, or of their channels.

Experts made of heads (JetMoE), keys summed over blocks of tokens (DeepSeek-V4), keys and queries mixed by short
convolutions in a narrow space (ZAYA), and the small indexers that choose which blocks of tokens are read.
"""

from __future__ import annotations

from dataclasses import dataclass

from deepwide.architecture.parts import RMS, norm
from deepwide.architecture.rows import Taps
from deepwide.architecture.site import Site, lowers
from deepwide.units import Num


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertAttention:
    """A mixture of attention heads (JetMoE, arXiv:2404.07413): experts hold queries and outputs, keys are shared.

    kv_heads, head_dim        heads of keys and values, and the width of any head
    experts, active_experts   experts, and how many a token meets: each brings `kv_heads` query heads
    output_bias               one bias [hidden] for all experts
    name                      the word for its rows in the ledger
    """

    kv_heads: Num
    head_dim: Num
    experts: Num
    active_experts: Num
    output_bias: bool = True
    name: str = "attention"


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressedAttention:
    """The attention of DeepSeek-V4: one key per token, which is its value too, within a window; beyond it, sums.

    heads, head_dim   query heads, and the width of a head and of the one key
    query_rank        width of the queries' latent
    groups            narrow projections of the output, each of rank output_rank
    window            how many tokens back a token sees one by one
    rate              tokens that leave one summed key; None where a layer has no sums
    spans             how many times as wide a sum is while it is formed
    indexer_heads     small heads that choose among the sums, with keys indexer_dim wide; indexer_top are then read,
                      and all where there is no indexer
    name              the word for its rows in the ledger
    """

    heads: Num
    head_dim: Num
    query_rank: Num
    groups: Num
    output_rank: Num
    window: Num
    rate: Num | None = None
    spans: Num = 1
    indexer_heads: Num | None = None
    indexer_dim: Num = 0
    indexer_top: Num | None = None
    name: str = "attention"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvolvedAttention:
    """Compressed convolutional attention (ZAYA): two short convolutions mix queries and keys before the scores.

    Half of each value comes from the token before.

    heads, kv_heads   query heads, and the heads of keys and values that groups of them share
    head_dim          width of any head
    kernels           taps of the two convolutions: the first is depthwise, the second within each head
    bias              of all projections
    window            how many tokens back a token sees, itself included; None means all
    name              the word for its rows in the ledger
    """

    heads: Num
    kv_heads: Num
    head_dim: Num
    kernels: tuple[Num, Num]
    bias: bool = False
    window: Num | None = None
    name: str = "attention"


@dataclass(frozen=True, slots=True, kw_only=True)
class Indexer:
    """Small `heads` beside an attention that choose which tokens it reads; one key per token, `dim` wide.

    `name` begins the names of its rows in the ledger.
    """

    heads: Num
    dim: Num
    name: str = "indexer"


@lowers(ExpertAttention)
def expert_attention(at: Site, a: ExpertAttention) -> None:
    """router [hidden, experts]; query [hidden, kv_heads * head_dim] and output, its transpose, in each expert.

    key and value [hidden, kv_heads * head_dim]   output bias [hidden], added once
    """
    at.part = "attention"
    width = a.kv_heads * a.head_dim
    heads = a.kv_heads * a.active_experts
    at.matrix("router", at.hidden, a.experts, part="router")
    at.matrix("query", at.hidden, width, split="column", copies=a.experts, active=a.active_experts)
    at.matrix("key", at.hidden, width, split="column")
    at.matrix("value", at.hidden, width, split="column")
    at.cache(a.name, 2 * width, heads=a.kv_heads)
    at.scores("scores", heads * a.head_dim, heads * a.head_dim, heads=heads)
    at.matrix("output", width, at.hidden, split="row", copies=a.experts, active=a.active_experts)
    if a.output_bias:
        at.bias("output", at.hidden, part="attention")


@lowers(CompressedAttention)
def compressed_attention(at: Site, a: CompressedAttention) -> None:
    """query_down [hidden, query_rank]   query [query_rank, heads * head_dim]   key [hidden, head_dim]

    output_down [heads * head_dim / groups, output_rank] in each group   output [groups * output_rank, hidden]
    """
    at.part = "attention"
    width = a.heads * a.head_dim
    at.matrix("query_down", at.hidden, a.query_rank)
    norm(at, RMS, a.query_rank, "query_norm")
    at.matrix("query", a.query_rank, width, split="column")
    at.matrix("key", at.hidden, a.head_dim)
    norm(at, RMS, a.head_dim, "key_norm")
    at.vector("sinks", a.heads)
    at.cache(a.name, a.head_dim, window=a.window)
    at.scores("scores", width, width, heads=a.heads, window=a.window)
    if a.rate is not None:
        _sums(at, a, a.rate)
    at.matrix("output_down", width // a.groups, a.output_rank, split="column", copies=a.groups, active=a.groups)
    at.matrix("output", a.groups * a.output_rank, at.hidden, split="row")


def _sums(at: Site, a: CompressedAttention, rate: Num) -> None:
    """What a block of `rate` tokens leaves, and the scores on it: per token, a `rate`-th of a key."""
    _compressor(at, "sum", a.head_dim, a.spans, rate)
    share = a.heads * a.head_dim // rate
    if a.indexer_heads is None:
        at.scores("sum_scores", share, share, heads=a.heads)
        return
    _compressor(at, "indexer", a.indexer_dim, a.spans, rate)
    at.matrix("indexer_query", a.query_rank, a.indexer_heads * a.indexer_dim)
    at.matrix("indexer_weight", at.hidden, a.indexer_heads)
    at.scores("indexer_scores", a.indexer_heads * a.indexer_dim // rate, 0, heads=a.indexer_heads)
    reach = None if a.indexer_top is None else a.indexer_top * rate
    at.scores("sum_scores", share, share, heads=a.heads, window=reach)


def _compressor(at: Site, role: str, dim: Num, spans: Num, rate: Num) -> None:
    """key and gate [hidden, spans * dim], position_bias [rate, spans * dim]; one key of `dim` per `rate` tokens."""
    at.matrix(f"{role}_key", at.hidden, spans * dim)
    at.matrix(f"{role}_gate", at.hidden, spans * dim)
    at.vector(f"{role}_position", rate, spans * dim)
    norm(at, RMS, dim, f"{role}_norm")
    at.cache(f"{role}_key", (dim + rate - 1) // rate)


@lowers(ConvolvedAttention)
def convolved_attention(at: Site, a: ConvolvedAttention) -> None:
    """query [hidden, heads * head_dim]   key and value [hidden, kv_heads * head_dim], the value in two halves

    convolution 1 [channels, 1, kernel]   convolution 2 [channels, head_dim, kernel], over queries and keys together
    """
    at.part = "attention"
    key_width = a.kv_heads * a.head_dim
    channels = a.heads * a.head_dim + key_width
    at.matrix("query", at.hidden, a.heads * a.head_dim, bias=a.bias, split="column")
    at.matrix("key", at.hidden, key_width, bias=a.bias, split="column")
    for role in ("value", "earlier_value"):
        at.matrix(role, at.hidden, key_width // 2, bias=a.bias, split="column")
    all_heads = a.heads + a.kv_heads
    for role, groups, inputs, kernel in (
        ("depthwise", channels, 1, a.kernels[0]),
        ("grouped", all_heads, a.head_dim, a.kernels[1]),
    ):
        at.vector(role, channels, inputs, kernel)
        at.vector(f"{role}.bias", channels)
        at.op("conv", role, inputs * kernel, channels, weight=f"{at.prefix}.{role}", how=Taps(groups=groups))
    at.vector("key_scale", a.kv_heads)
    at.cache(a.name, 2 * key_width, heads=a.kv_heads, window=a.window)
    at.cache("state", channels * (a.kernels[0] + a.kernels[1] - 2) + at.hidden, fixed=True)
    at.scores("scores", a.heads * a.head_dim, a.heads * a.head_dim, heads=a.heads, window=a.window)
    at.matrix("output", a.heads * a.head_dim, at.hidden, bias=a.bias, split="row")


@lowers(Indexer)
def indexer(at: Site, x: Indexer) -> None:
    """query [hidden, heads * dim], key [hidden, dim], a norm for each."""
    at.part = "attention"
    at.matrix(f"{x.name}_query", at.hidden, x.heads * x.dim)
    at.matrix(f"{x.name}_key", at.hidden, x.dim)
    norm(at, RMS, x.dim, f"{x.name}_query_norm")
    norm(at, RMS, x.dim, f"{x.name}_key_norm")
    at.cache(x.name, x.dim)
    at.scores(f"{x.name}_scores", x.heads * x.dim, 0, heads=x.heads)
