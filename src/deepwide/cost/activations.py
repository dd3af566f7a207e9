"""Bytes of activations: what training keeps for the backward pass, and what inference works in."""

from __future__ import annotations

from typing import Any

from deepwide.architecture.attention import Attention
from deepwide.architecture.ffn import Experts, FeedForward
from deepwide.architecture.model import Architecture, Body, Branch, Layer, Small, Stack
from deepwide.architecture import parts
from deepwide.cost import activation_rules as rules
from deepwide.cost.activation_habits import NO_DROPOUT, Dropout, habit
from deepwide.cost.activation_rules import Run
from deepwide.cost.activation_tape import INDEX_BYTES, FLOAT32_BYTES, Tape, Tensor, activated, cross_entropy, dropped, like, linear
from deepwide.errors import BadInput
from deepwide.units import Num

ELEMENT_BYTES = {"fp32": 4, "float32": 4, "bf16": 2, "bfloat16": 2, "fp16": 2, "float16": 2}


def saved_activation_bytes(
    architecture: Architecture,
    *,
    batch: Num,
    tokens: Num,
    attention: str = "eager",
    dtype: str = "bf16",
    recompute: str = "none",
    dropout: Dropout = NO_DROPOUT,
) -> Num:
    family = habit(architecture.family)
    tape = Tape(element_bytes=ELEMENT_BYTES[dtype])
    ids = tape.tensor(batch * tokens, 1, INDEX_BYTES)
    other: Tensor | None = None
    x = ids
    for i, stack in enumerate(architecture.stacks):
        run = Run(tape=tape, habit=family, dropout=dropout, batch=batch, tokens=tokens, attention=attention,
                  selective=recompute == "selective", causal=stack.causal, full=recompute == "full", other=other, other_tokens=tokens)
        first = ids if i == 0 else tape.tensor(batch * tokens, 1, INDEX_BYTES)
        x = _stack(run, architecture, stack, first, recompute == "full")
        other = Tensor(rows=x.rows, width=x.width, element_bytes=x.element_bytes, once=True)
    _head(run, architecture, x)
    return tape.kept_bytes


def _stack(r: Run, architecture: Architecture, stack: Stack, ids: Tensor, full: bool) -> Tensor:
    t = r.tape
    smalls = (*architecture.embedding, *stack.before)
    x = t.tensor(ids.rows, stack.hidden)
    for small in smalls:
        x = _embedded(r, small, x, ids, stack)
    x = dropped(t, x, r.dropout.embedding)
    layers = stack.layers
    first = True
    for run in stack.runs:
        t.layers = run.layers
        if full:
            t.keep(like(x))
            _checkpoint(r, stack, first and run.layers == 1)
            first = False
            x = like(x)
        else:
            x = _layer(r, run.layer, like(x))
        t.layers = 1
    x = like(x)
    for small in stack.after:
        if isinstance(small, parts.NormLayer):
            x = rules.normed(r, small.norm, x)
    return dropped(t, x, r.dropout.final)


def _checkpoint(r: Run, stack: Stack, single: bool) -> None:
    t = r.tape
    if r.other is not None:
        t.keep(r.other)
    if r.habit.mask_kept and r.attention == "eager" and stack.causal:
        t.keep(t.tensor(r.batch * r.tokens, r.tokens, once=True))
    if r.bias and not single:
        heads = stack.runs[0].layer.branches[0].body.heads
        for _ in range(2 if r.other is not None else 1):
            t.keep(t.tensor(heads * r.tokens, r.tokens, once=True))


def _embedded(r: Run, small: Small, x: Tensor, ids: Tensor, stack: Stack) -> Tensor:
    t = r.tape
    match small:
        case parts.TokenEmbedding():
            t.keep(ids)
            x = t.tensor(ids.rows, stack.hidden if small.width is None else small.width)
        case parts.Positions(kind="learned"):
            if r.habit.position_rows:
                t.keep(t.tensor(r.tokens * (r.batch if r.habit.position_rows == "batch" else 1), 1, INDEX_BYTES))
        case parts.Positions(kind="rotary"):
            hd = stack.runs[0].layer.branches[0].body.head_dim
            r.angles = tuple(t.tensor(r.tokens, hd // r.habit.rotary_parts, once=True) for _ in range(2))
        case parts.Table(part="position"):
            if not r.full:
                t.keep(t.tensor(r.tokens, r.tokens, INDEX_BYTES))
            r.bias = True
            heads = stack.runs[0].layer.branches[0].body.heads
            if r.attention != "eager":
                r.cross_bias = t.tensor(heads * r.tokens, r.tokens, once=True)
        case parts.Table():
            t.keep(t.tensor(r.tokens, 1, INDEX_BYTES))
        case parts.NormLayer():
            x = rules.normed(r, small.norm, x)
        case parts.Linear():
            x = linear(t, x, stack.hidden)
    return x


def _layer(r: Run, layer: Layer, x: Tensor) -> Tensor:
    h = x
    for branch in layer.branches:
        if branch.before:
            h = rules.normed(r, branch.before, x)
        elif not layer.parallel:
            h = x
        y = _body(r, branch.body, h)
        if branch.after and not branch.after_sum:
            y = rules.normed(r, branch.after, y)
        dropped(r.tape, y, r.dropout.output)
        if not layer.parallel:
            x = like(x)
            if branch.after and branch.after_sum:
                x = rules.normed(r, branch.after, x)
    return x


def _body(r: Run, body: Body, x: Tensor) -> Tensor:
    match body:
        case Attention():
            return rules.attention(r, body, x)
        case FeedForward():
            return rules.feed_forward(r, body, x)
        case Experts():
            return rules.experts(r, body, x)
    return x


def _head(r: Run, architecture: Architecture, x: Tensor) -> None:
    t = r.tape
    act = next((b.body.activation for run in architecture.main.runs for b in run.layer.branches if isinstance(b.body, FeedForward)), "gelu")
    for small in architecture.head:
        match small:
            case parts.Linear():
                x = linear(t, x, small.outputs or x.width)
                if small.name == "transform":
                    x = activated(t, x, act)
            case parts.NormLayer():
                x = rules.normed(r, small.norm, x)
            case parts.Head():
                x = linear(t, x, small.vocab)
    if r.habit.capped_logits:
        t.keep(x)
    cross_entropy(t, x, FLOAT32_BYTES if r.habit.float32_loss else t.element_bytes)
    if r.habit.float32_loss:
        n = r.tokens * r.batch + (1 if r.alone else 0)
        t.keep(t.tensor(n, 1, INDEX_BYTES))
