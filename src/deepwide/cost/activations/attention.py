"""What attention keeps for the backward pass: projections, rotation, and the scores, spelled out or in one kernel."""

from __future__ import annotations

from dataclasses import dataclass

from deepwide.architecture.attention import Attention
from deepwide.architecture.latent import LatentAttention
from deepwide.cost.activations.rules import Forward, normed
from deepwide.cost.activations.tape import (
    FLOAT32_BYTES,
    Tensor,
    activated,
    cast,
    dropped,
    like,
    linear,
    multiplied,
    reshaped,
    softmax,
    view,
)
from deepwide.units import Num


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """The shape of one set of scores; `across` when keys come from another stack."""

    heads: Num
    kv_heads: Num
    head_dim: Num
    value_dim: Num
    window: Num | None = None
    across: bool = False
    sinks: bool = False


def attention(r: Forward, a: Attention, x: Tensor) -> Tensor:
    """Projections, norms of queries and keys, rotation, scores, gate, output."""
    value_dim = a.head_dim if a.value_dim is None else a.value_dim
    query, key, value = _projected(r, a, x, value_dim)
    if a.qk_norm:
        query, key = _head_normed(r, a, query, a.heads), _head_normed(r, a, key, a.kv_heads)
    if r.angles and not a.keys:
        query, key = _rotated(r, query), _rotated(r, key)
    shape = Heads(
        heads=a.heads,
        kv_heads=a.kv_heads,
        head_dim=a.head_dim,
        value_dim=value_dim,
        window=a.window,
        across=bool(a.keys),
        sinks=a.sinks,
    )
    context = attended(r, shape, query, key, value)
    if a.gate:
        gate = linear(r.tape, x, a.heads * value_dim if a.gate == "width" else a.heads)
        context = multiplied(r.tape, context, activated(r.tape, gate, "sigmoid"))
    return linear(r.tape, context, x.width if a.outputs is None else a.outputs)


def _projected(r: Forward, a: Attention, x: Tensor, value_dim: Num) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values: three tensors, or three views of one."""
    widths = (a.heads * a.head_dim, a.kv_heads * a.head_dim, a.kv_heads * value_dim)
    if r.habit.fused_qkv and not a.keys:
        whole = linear(r.tape, x, sum(widths))
        return view(whole, widths[0]), view(whole, widths[1]), view(whole, widths[2])
    query = linear(r.tape, x, widths[0])
    source = r.other if a.keys and r.other else x
    key = linear(r.tape, source, widths[1])
    return query, key, key if a.value_is_key else linear(r.tape, source, widths[2])


def _head_normed(r: Forward, a: Attention, x: Tensor, heads: Num) -> Tensor:
    """Queries or keys, normed over each head or over all."""
    assert a.qk_norm is not None
    if a.qk_norm_over == "width":
        return normed(r, a.qk_norm, x)
    y = normed(r, a.qk_norm, reshaped(x, x.rows * heads, a.head_dim))
    return reshaped(y, x.rows, x.width)


def _rotated(r: Forward, x: Tensor) -> Tensor:
    """x cos + rotate(x) sin keeps the cosines and sines alone, as these need no gradient."""
    r.tape.keep(*r.angles)
    return like(x)


def latent_attention(r: Forward, a: LatentAttention, x: Tensor) -> Tensor:
    """Queries and keys are put together of a part that turns and one that does not; values look into their product."""
    t, query_dim = r.tape, a.nope_dim + a.rope_dim
    query = linear(t, _latent(r, a, x, a.query_rank), a.heads * query_dim)
    down = linear(t, x, a.kv_rank + a.rope_dim)
    latent = view(down, a.kv_rank)
    latent = normed(r, a.latent_norm, latent) if a.latent_norm else latent
    pair = linear(t, latent, a.heads * (a.nope_dim + a.value_dim))
    t.keep(*r.angles)
    shape = Heads(heads=a.heads, kv_heads=a.heads, head_dim=query_dim, value_dim=a.value_dim, window=a.window)
    context = attended(r, shape, like(query), like(query), view(pair, a.heads * a.value_dim))
    return linear(t, context, x.width)


def _latent(r: Forward, a: LatentAttention, x: Tensor, rank: Num | None) -> Tensor:
    """What queries are made of: the hidden state, or a normed latent of it."""
    if rank is None:
        return x
    latent = linear(r.tape, x, rank)
    return normed(r, a.latent_norm, latent) if a.latent_norm else latent


def attended(r: Forward, s: Heads, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Softmax(q k) v: in one kernel, or spelled out.

    `sdpa` on a CPU falls back to the spelled-out way where scores have a dropout or a learned bias, and where values
    are not as wide as keys.
    """
    uneven = isinstance(s.head_dim, int) and isinstance(s.value_dim, int) and s.head_dim != s.value_dim
    plain = not r.dropout.scores and not uneven and (s.across or not r.biased)
    if r.attention == "flash" or r.recompute == "selective" or (r.attention == "sdpa" and plain):
        return _fused(r, s, query, key, value)
    return _spelled_out(r, s, query, key, value)


def _fused(r: Forward, s: Heads, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """One kernel keeps q, k, v, its output and a float32 per row and head to redo the softmax (arXiv:2205.14135).

    Where scores are recomputed, q, k, v are what is kept for that, and the output is the next matrix's input.
    """
    t, context = r.tape, r.tape.tensor(query.rows, s.heads * s.value_dim)
    if r.attention == "sdpa" and _past_window(r, s):
        # A window needs a mask, and with a mask transformers does not let PyTorch share keys between heads.
        key, value = _repeated(r, s, key, query.width), _repeated(r, s, value, context.width)
        t.keep(t.tensor(query.rows, r.tokens))
    t.keep(query, key, value, context)
    if r.recompute != "selective":
        t.keep(t.tensor(query.rows, s.heads, FLOAT32_BYTES))
    if s.across and r.cross_bias is not None:
        t.keep(r.cross_bias)
    # The output lies as the queries do: heads that were put together anew lie the other way, and are copied back.
    return like(context) if r.habit.rotary_joins and r.attention == "sdpa" else context


def _spelled_out(r: Forward, s: Heads, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Two batched products with a softmax between; keys and values are repeated for the query heads.

    PyTorch's own spelling (`sdpa`) scales queries and keys first, and does all of it in float32.
    """
    t, sdpa, values = r.tape, r.attention == "sdpa", s.heads * s.value_dim
    size = FLOAT32_BYTES if sdpa else t.element_bytes
    key, value = _repeated(r, s, key, query.width), _repeated(r, s, value, values)
    if sdpa:
        query, key = cast(like(query), size), cast(like(key, query.width), size)
        value = value if value.element_bytes == size else cast(like(value, values), size)
    t.keep(_operand(r, query, query.width), _operand(r, key, query.width))
    keys = (r.other_tokens if s.across else r.tokens) + int(s.sinks)
    scores = t.tensor(query.rows * s.heads, keys, size)
    if r.habit.capped_scores:
        t.keep(scores)
    weights = dropped(t, softmax(t, scores, FLOAT32_BYTES if r.habit.float32_softmax else size), r.dropout.scores)
    t.keep(weights, _operand(r, value, values))
    if sdpa and r.biased and r.causal and not s.across:
        t.keep(t.tensor(r.tokens, r.tokens, 1))  # which of the bias's entries the causal mask lets through
    return t.tensor(query.rows, values)


def _operand(r: Forward, x: Tensor, width: Num) -> Tensor:
    """An operand of a batched product, [batch * heads, ...]: a copy, but of a single sequence a view."""
    return x if r.alone else like(x, width)


def _repeated(r: Forward, s: Heads, x: Tensor, width: Num) -> Tensor:
    """Keys or values repeated for the query heads; transformers does not copy a single head but looks at it again."""
    by_pytorch = r.attention == "sdpa" and not _past_window(r, s)
    if _same(s.kv_heads, s.heads) or (_same(s.kv_heads, 1) and not by_pytorch):
        return x
    return like(x, width)


def _past_window(r: Forward, s: Heads) -> bool:
    """Whether some tokens lie outside the window."""
    return isinstance(s.window, int) and isinstance(r.tokens, int) and r.tokens >= s.window


def _same(a: Num, b: Num) -> bool:
    """Whether two sizes are known to be equal; arrays are taken to differ."""
    return isinstance(a, int) and isinstance(b, int) and a == b
