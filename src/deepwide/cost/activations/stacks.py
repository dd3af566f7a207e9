"""A whole model on the tape: embedding, stacks of layers, output head, loss."""

from __future__ import annotations

from dataclasses import replace

from deepwide.architecture import extras, parts
from deepwide.architecture.attention import Attention
from deepwide.architecture.composite import Beside
from deepwide.architecture.experts import Experts
from deepwide.architecture.ffn import FeedForward
from deepwide.architecture.latent import LatentAttention
from deepwide.architecture.model import Architecture, Body, Branch, Layer, Run, Small, Stack
from deepwide.cost.activations.attention import attention, latent_attention
from deepwide.cost.activations.rules import Forward, by_rows, experts, feed_forward, normed
from deepwide.cost.activations.tape import FLOAT32_BYTES, Tensor, activated, cross_entropy, dropped, like, linear
from deepwide.units import Num

STORED = ("learned", "sinusoidal")


def model(r: Forward, architecture: Architecture) -> None:
    """The stacks from bottom to top, the head, and the loss."""
    x: Tensor | None = None
    for stack in architecture.stacks:
        tokens = r.tokens if stack.tokens is None else stack.tokens
        # The layers above keep one output of the stack below, however many of them attend across to it.
        other = replace(x, once=True) if x else None
        here = replace(r, tokens=tokens, causal=stack.causal, other=other, biased=False, angles=())
        x = _stack(here, architecture, stack)
        r.other_tokens = tokens
    assert x is not None
    if architecture.head:
        _loss(r, architecture, _head(r, architecture, x))


def _stack(r: Forward, architecture: Architecture, stack: Stack) -> Tensor:
    """What stands before the layers, the layers, and the norm after them."""
    x = r.tape.tensor(r.batch * r.tokens, stack.hidden)
    for small in (*architecture.embedding, *stack.before):
        x = _embedded(r, stack, small, x)
    dropped(r.tape, x, r.dropout.embedding)
    for run in stack.runs:
        r.tape.layers = run.layers
        if r.recompute == "full":
            _checkpoint(r, stack, run)
        else:
            _layer(r, run.layer, r.tape.tensor(x.rows, stack.hidden))
        r.tape.layers = 1
    x = r.tape.tensor(x.rows, stack.hidden)
    for small in stack.after:
        if isinstance(small, parts.NormLayer):
            x = normed(r, small.norm, x)
    return dropped(r.tape, x, r.dropout.final)


def _embedded(r: Forward, stack: Stack, small: Small, x: Tensor) -> Tensor:
    """One part before the layers: a table keeps the indices looked up, rotary positions make their angles."""
    t = r.tape
    match small:
        case parts.TokenEmbedding():
            t.keep(t.indices(x.rows))
            return t.tensor(x.rows, stack.hidden if small.width is None else small.width)
        case parts.Positions(kind="rotary"):
            r.angles = tuple(t.tensor(r.tokens, _turned(r, stack), once=True) for _ in ("cos", "sin"))
        case parts.Positions(kind=kind) if kind in STORED and r.habit.position_rows:
            t.keep(t.indices(r.tokens * (r.batch if r.habit.position_rows == "batch" else 1)))
        case extras.Table(part="position"):
            _relative_bias(r, stack)
        case extras.Table(part="embedding", read=True):
            t.keep(t.indices(r.tokens))
        case parts.NormLayer():
            return normed(r, small.norm, x)
        case extras.Linear():
            return linear(t, x, stack.hidden if small.outputs is None else small.outputs)
    return x


def _turned(r: Forward, stack: Stack) -> Num:
    """How much of a head turns with its position."""
    for body in _bodies(stack):
        if isinstance(body, LatentAttention):
            return body.rope_dim
        if isinstance(body, Attention):
            return body.head_dim // r.habit.rotary_parts
    return 0


def _bodies(stack: Stack) -> list[Body]:
    return [branch.body for run in stack.runs for branch in run.layer.branches]


def _heads(stack: Stack) -> Num:
    return next((body.heads for body in _bodies(stack) if isinstance(body, Attention)), 0)


def _relative_bias(r: Forward, stack: Stack) -> None:
    """A learned bias for each distance: the table of distances is kept, and in `sdpa` a bias of zeros across stacks."""
    r.biased = True
    if r.recompute != "full":
        r.tape.keep(r.tape.indices(r.tokens, r.tokens))
    if r.attention == "sdpa":
        r.cross_bias = r.tape.tensor(_heads(stack) * r.tokens, r.tokens, once=True)


def _checkpoint(r: Forward, stack: Stack, run: Run) -> None:
    """A recomputed layer keeps its input and the tensors it is called with: mask, biases, the other stack's output."""
    t = r.tape
    t.keep(t.tensor(r.batch * r.tokens, stack.hidden))
    if r.other is not None and any(isinstance(b, Attention) and b.keys for b in _bodies(stack)):
        t.keep(r.other)
    if r.habit.mask_kept and r.attention == "eager" and stack.causal:
        t.keep(t.tensor(r.batch * r.tokens, r.tokens, once=True))
    several = not (isinstance(run.layers, int) and run.layers == 1)
    if r.biased and several:
        for _ in range(1 if r.other is None else 2):
            t.keep(t.tensor(_heads(stack) * r.tokens, r.tokens, once=True))


def _layer(r: Forward, layer: Layer, x: Tensor) -> None:
    """Residual branches, one after the other or side by side."""
    for small in layer.extra:
        if isinstance(small, extras.Table) and small.part == "position":
            _relative_bias(r, Stack(name="", hidden=x.width, runs=(Run(layer=layer, layers=1),)))
        elif isinstance(small, parts.NormLayer):
            normed(r, small.norm, like(x, small.width))
    h = x
    for branch in layer.branches:
        h = normed(r, branch.before, x) if branch.before else h if layer.parallel else x
        y = _branch(r, branch, h)
        if y is not None and not layer.parallel:
            x = like(x)
            if branch.after and branch.after_sum:
                x = normed(r, branch.after, x)


def _branch(r: Forward, branch: Branch, x: Tensor) -> Tensor | None:
    """The body, the norm after it, its dropout; nothing where it attends to a stack that is not there."""
    if isinstance(branch.body, Attention) and branch.body.keys and r.other is None:
        return None
    y = body(r, branch.body, x)
    if branch.after and not branch.after_sum:
        y = normed(r, branch.after, y)
    return dropped(r.tape, y, r.dropout.output)


def body(r: Forward, b: Body, x: Tensor) -> Tensor:
    """One part of a layer."""
    match b:
        case Attention():
            return attention(r, b, x)
        case LatentAttention():
            return latent_attention(r, b, x)
        case FeedForward():
            return feed_forward(r, b, x)
        case Experts():
            return experts(r, b, x)
        case Beside():
            return [body(r, mixer, x) for mixer in b.mixers][-1]
    return by_rows(r, b, x)


def _head(r: Forward, architecture: Architecture, x: Tensor) -> Tensor:
    """The logits. A transform before them has the layers' activation."""
    networks = [b.activation for b in _bodies(architecture.main) if isinstance(b, FeedForward)]
    for small in architecture.head:
        match small:
            case extras.Linear():
                x = linear(r.tape, x, x.width if small.outputs is None else small.outputs)
                if small.name == "transform":
                    x = activated(r.tape, x, networks[0] if networks else "gelu")
            case parts.NormLayer():
                x = normed(r, small.norm, x)
            case parts.Head():
                x = linear(r.tape, x, small.vocab)
    return x


def _loss(r: Forward, architecture: Architecture, logits: Tensor) -> None:
    """Cross-entropy: a decoder alone shifts the labels and takes the logits to float32; others mostly do neither."""
    t, alone = r.tape, architecture.lone_decoder
    if r.habit.capped_logits:
        t.keep(logits)
    raised = alone if r.habit.float32_loss is None else r.habit.float32_loss
    cross_entropy(t, logits, FLOAT32_BYTES if raised else t.element_bytes)
    if alone and raised:
        # Padded by one and cut again: of a single sequence that is a view of the padded labels.
        t.keep(t.indices(r.batch * r.tokens + int(r.alone)))
