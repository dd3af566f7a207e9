"""What each part of a model keeps for the backward pass, as the classes of transformers run it.

Every function here runs one part on a tape: it takes the part and its input and gives the output. The operations are
those of `activation_tape`, in the order in which the class calls them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from deepwide.architecture import rows as ledger_rows
from deepwide.architecture.attention import Attention
from deepwide.architecture.ffn import Experts, FeedForward
from deepwide.architecture.parts import Norm
from deepwide.cost.activation_habits import Dropout, Habit
from deepwide.cost.activation_tape import (
    FLOAT32_BYTES,
    INDEX_BYTES,
    Tape,
    Tensor,
    activated,
    cast,
    dropped,
    gathered,
    layer_norm,
    like,
    linear,
    multiplied,
    rms_norm,
    softmax,
    view,
)
from deepwide.units import Num


@dataclass(slots=True, kw_only=True)
class Run:
    """One forward pass: `batch` sequences of `tokens`, and what the layers share.

    `attention` is eager, sdpa or flash; `selective` recomputes the scores. `other` is the output of the other stack.
    """

    tape: Tape
    habit: Habit
    dropout: Dropout
    batch: Num
    tokens: Num
    attention: str
    selective: bool = False
    full: bool = False
    causal: bool = True
    other: Tensor | None = None
    other_tokens: Num = 0
    angles: tuple[Tensor, ...] = ()
    bias: bool = False
    cross_bias: Tensor | None = None

    @property
    def alone(self) -> bool:
        """Whether the batch is one sequence, so that heads and sequences fold into one axis without a copy."""
        return isinstance(self.batch, int) and self.batch == 1


def normed(r: Run, n: Norm, x: Tensor) -> Tensor:
    """A norm of the family's kind."""
    return layer_norm(r.tape, x) if n.kind == "layer" else rms_norm(r.tape, x, r.habit.rms)


def per_head(x: Tensor, heads: Num, head_dim: Num) -> Tensor:
    """The same tensor with a row for each head."""
    return Tensor(rows=x.rows * heads, width=head_dim, element_bytes=x.element_bytes, inside=x.inside or x)


def attention(r: Run, a: Attention, x: Tensor) -> Tensor:
    """Projections, norms of queries and keys, rotation, scores, output."""
    value_dim = a.head_dim if a.value_dim is None else a.value_dim
    query, key, value = _projected(r, a, x, value_dim)
    if a.qk_norm:
        query, key = (_head_normed(r, a, q, heads) for q, heads in ((query, a.heads), (key, a.kv_heads)))
    if r.angles and not a.keys:
        query, key = (_rotated(r, q) for q in (query, key))
    context = _attended(r, a, query, key, value, value_dim)
    return linear(r.tape, context, x.width if a.outputs is None else a.outputs)


def _projected(r: Run, a: Attention, x: Tensor, value_dim: Num) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values: three tensors, or three views of one."""
    widths = (a.heads * a.head_dim, a.kv_heads * a.head_dim, a.kv_heads * value_dim)
    source = r.other if a.keys and r.other else x
    if r.habit.fused_qkv and not a.keys:
        whole = linear(r.tape, x, sum(widths))
        return view(whole, widths[0]), view(whole, widths[1]), view(whole, widths[2])
    query = linear(r.tape, x, widths[0])
    return query, linear(r.tape, source, widths[1]), linear(r.tape, source, widths[2])


def _head_normed(r: Run, a: Attention, x: Tensor, heads: Num) -> Tensor:
    """Queries or keys, normed over each head or over all."""
    assert a.qk_norm is not None
    if a.qk_norm_over == "width":
        return normed(r, a.qk_norm, x)
    y = normed(r, a.qk_norm, per_head(x, heads, a.head_dim))
    return Tensor(rows=x.rows, width=x.width, element_bytes=x.element_bytes, inside=y)


def _rotated(r: Run, x: Tensor) -> Tensor:
    """x cos + rotate(x) sin keeps the cosines and sines, which need no gradient themselves."""
    r.tape.keep(*r.angles)
    return like(x)


def _attended(r: Run, a: Attention, query: Tensor, key: Tensor, value: Tensor, value_dim: Num) -> Tensor:
    """Softmax(q k) v: one kernel, or spelled out."""
    biased = r.bias and not a.keys
    if r.attention == "flash" or r.selective or (r.attention == "sdpa" and not (r.dropout.scores or biased)):
        return _fused(r, a, query, key, value, value_dim)
    return _spelled_out(r, a, query, key, value, value_dim)


def _fused(r: Run, a: Attention, query: Tensor, key: Tensor, value: Tensor, value_dim: Num) -> Tensor:
    """One kernel keeps q, k, v, its output and a float32 per row and head to redo the softmax (arXiv:2205.14135)."""
    context = r.tape.tensor(query.rows, a.heads * value_dim)
    if r.attention == "sdpa" and _past_window(r, a):
        # The mask of a window keeps PyTorch from sharing keys between heads.
        key, value = _repeated(r, a, key, a.head_dim), _repeated(r, a, value, value_dim)
        r.tape.keep(r.tape.tensor(query.rows, r.tokens))
    r.tape.keep(query, key, value, context)
    if not r.selective:
        r.tape.keep(r.tape.tensor(query.rows, a.heads, FLOAT32_BYTES))
    if a.keys and r.cross_bias is not None:
        r.tape.keep(r.cross_bias)
    # The output lies as the queries do; heads that were put together anew lie the other way and are copied back.
    return like(context) if r.habit.rotary_joins and r.attention == "sdpa" else context


def _past_window(r: Run, a: Attention) -> bool:
    """Whether some tokens lie outside the window, so that a mask is needed."""
    return isinstance(a.window, int) and isinstance(r.tokens, int) and r.tokens >= a.window


def _repeated(r: Run, a: Attention, x: Tensor, width: Num) -> Tensor:
    """Keys or values, repeated for the query heads; transformers does not copy a single head but looks at it again."""
    repeats_itself = r.attention == "sdpa" and not _past_window(r, a)
    if _same(a.kv_heads, a.heads) or (_same(a.kv_heads, 1) and not repeats_itself):
        return x
    return like(x, a.heads * width)


def _same(a: Num, b: Num) -> bool:
    return isinstance(a, int) and isinstance(b, int) and a == b


def _spelled_out(r: Run, a: Attention, query: Tensor, key: Tensor, value: Tensor, value_dim: Num) -> Tensor:
    """Two batched products with a softmax between; keys and values are repeated for the query heads.

    PyTorch's own unfused path (`sdpa` with dropout or a learned bias, on a CPU) scales queries and keys before, and
    does all in float32.
    """
    t, sdpa = r.tape, r.attention == "sdpa"
    size = FLOAT32_BYTES if sdpa else t.element_bytes
    keys = r.other_tokens if a.keys else r.tokens
    key, value = _repeated(r, a, key, a.head_dim), _repeated(r, a, value, value_dim)
    if sdpa:
        query, key = cast(like(query), size), cast(like(key, query.width), size)
    t.keep(_operand(r, query, query.width), _operand(r, key, query.width))
    scores = t.tensor(query.rows * a.heads, keys, size)
    if r.habit.capped_scores:
        t.keep(scores)
    weights = softmax(t, scores, FLOAT32_BYTES if r.habit.float32_softmax else size)
    weights = dropped(t, weights, r.dropout.scores)
    t.keep(weights, _operand(r, cast(value, size), a.heads * value_dim))
    if sdpa and r.bias and r.causal and not a.keys:
        t.keep(t.tensor(r.tokens, r.tokens, 1))
    return t.tensor(query.rows, a.heads * value_dim)


def _operand(r: Run, x: Tensor, width: Num) -> Tensor:
    """An operand of a batched product, [batch * heads, ...]: a copy, but of a single sequence a view."""
    return x if r.alone else like(x, width)


def feed_forward(r: Run, f: FeedForward, x: Tensor) -> Tensor:
    """down(act(up(x))), or down(act(gate(x)) * up(x))."""
    activation = r.habit.gated_gelu if f.gated and f.activation == "gelu" else f.activation
    inner = activated(r.tape, linear(r.tape, x, f.ffn), activation)
    if f.gated:
        inner = multiplied(r.tape, inner, linear(r.tape, x, f.ffn))
    inner = dropped(r.tape, inner, r.dropout.inner)
    return linear(r.tape, inner, x.width if f.outputs is None else f.outputs)


def experts(r: Run, e: Experts, x: Tensor) -> Tensor:
    """A router, and the networks of its choices on copies of the tokens sorted by expert (integrations/moe.py)."""
    t = r.tape
    choices = e.experts if e.router_outputs is None else e.router_outputs
    chances = softmax(t, linear(t, x, choices), FLOAT32_BYTES)
    shares = _shares(t, chances, e.active_experts)
    rows = x.rows * e.active_experts
    copies = gathered(t, x, rows)
    inner = _grouped(t, e, linear(t, copies, e.ffn * (2 if e.gated else 1)))
    out = linear(t, inner, x.width if e.width is None else e.width)
    weighted = multiplied(t, out, shares)
    gathered(t, weighted, rows)
    t.keep(t.tensor(e.experts, 1, 4))
    if e.shared:
        _shared(r, e, e.shared, x)
    return like(x)


def _shares(t: Tape, chances: Tensor, active: Num) -> Tensor:
    """The weights of the chosen experts: their indices, their sum, the quotient, and their order by expert."""
    top = t.tensor(chances.rows, active, FLOAT32_BYTES)
    t.keep(t.tensor(chances.rows, active, INDEX_BYTES), t.tensor(chances.rows, 1, FLOAT32_BYTES), top)
    return gathered(t, t.tensor(chances.rows * active, 1, FLOAT32_BYTES), chances.rows * active)


def _grouped(t: Tape, e: Experts, inner: Tensor) -> Tensor:
    """act(gate) * up, the two being views of one tensor."""
    if not e.gated:
        return activated(t, inner, e.activation)
    gate, up = view(inner, e.ffn), view(inner, e.ffn)
    return multiplied(t, activated(t, gate, e.activation), up)


def _shared(r: Run, e: Experts, shared: FeedForward, x: Tensor) -> None:
    """The network that every token passes, and its gate."""
    y = feed_forward(r, replace(shared, ffn=shared.ffn * e.shared_copies), x)
    if e.shared_gate:
        gate = activated(r.tape, linear(r.tape, x, 1), "sigmoid")
        multiplied(r.tape, y, gate)
