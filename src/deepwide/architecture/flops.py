"""How many floating-point operations a pass takes, by a convention that is named.

A multiply-add counts 2. Two conventions are offered, because published figures follow one or the other:

counter    what a counter of matrix products sees in an unfused run (PyTorch's FlopCounterMode): the full square of
           scores whatever the mask, every cached latent expanded again at each step
hardware   what a good kernel does: causal and windowed scores only, latent attention absorbed at decode
Norms, activations and softmax are left out of both: they are not matrix work.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from deepwide.architecture.ledger import Ledger
from deepwide.architecture.rows import Chunks, Op, Scores, Taps
from deepwide.arithmetic import least, repeated
from deepwide.units import Num

Convention = Literal["counter", "hardware"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """What goes through the model at once: `batch` sequences of `tokens` new tokens after `past` cached ones.

    `streams` gives the number of tokens of other stacks where it differs, e.g. {"encoder": 512}.
    """

    tokens: Num
    batch: Num = 1
    past: Num = 0
    streams: Mapping[str, Num] = field(default_factory=dict)

    def rows(self, op: Op) -> Num:
        """Rows that an operation works on, over the batch."""
        if not op.stream:
            return op.rows or 0
        each = self.streams.get(op.stream, self.tokens) if op.rows is None else op.rows
        return each * self.batch


def forward_flops(ledger: Ledger, work: Pass, convention: Convention = "hardware") -> Num:
    """Matrix work of one forward pass, output head on every token."""
    return _total((op.repeat, layer_flops(op, work, convention)) for op in ledger.ops)


def backward_flops(ledger: Ledger, work: Pass, convention: Convention = "hardware") -> Num:
    """Matrix work of the backward pass: each product is followed by two, for its input and its weight.

    For the weight of a grouped convolution, the counter takes every channel with every other, not those of its group.
    """
    return _total((op.repeat, _backward(op, work, convention)) for op in ledger.ops)


def token_flops(ledger: Ledger) -> Num:
    """Matrix work of one more token (in every stack that reads text), attention over earlier tokens left out."""
    per_token = [op for op in ledger.ops if op.rows is None and op.kind in ("matmul", "scan", "conv")]
    return _total((op.repeat, 2 * op.k * op.n * op.active) for op in per_token)


def context_flops(ledger: Ledger) -> Num:
    """Attention work that each earlier token in view adds to a new one; windows are not yet full."""
    scores = [op for op in ledger.ops if isinstance(op.how, Scores) and op.rows is None and op.how.key_rows is None]
    return _total((op.repeat, 2 * (op.k + op.n)) for op in scores)


def op_flops(op: Op, work: Pass, convention: Convention) -> Num:
    """Matrix work of one operation, over its layers and the batch."""
    return layer_flops(op, work, convention) * op.repeat


def layer_flops(op: Op, work: Pass, convention: Convention) -> Num:
    """Matrix work of one operation in one of its layers, over the batch."""
    if isinstance(op.how, Scores):
        return _attention(op, op.how, work, convention)
    if op.kind == "matmul":
        return 2 * work.rows(op) * op.k * op.n * op.active
    if op.kind == "scan":
        return 2 * _scanned(op, work, convention)
    if op.kind == "conv":
        return 2 * _convolved(op, work, convention) * op.k * op.n
    return 0


def _total(terms: Iterable[tuple[Num, Num]]) -> Num:
    total: Num = repeated(terms)
    return total


def _convolved(op: Op, work: Pass, convention: Convention) -> Num:
    """Outputs of a convolution; the counter sees those of the padding too, which a cached past replaces."""
    fresh = not (isinstance(work.past, int) and work.past > 0)
    padding = op.how.padding if isinstance(op.how, Taps) else 0
    return work.rows(op) + (padding * work.batch if convention == "counter" and fresh else 0)


def _scanned(op: Op, work: Pass, convention: Convention) -> Num:
    """Multiply-adds of a recurrence: token by token, or in chunks where many tokens come at once.

    rows (k n + chunk pairs) + batch (chunks + 1)^2 carried; an unfused run fills the last chunk up with padding
    """
    rows, new = work.rows(op), work.streams.get(op.stream, work.tokens)
    chunks = op.how
    if not isinstance(chunks, Chunks) or op.rows is not None or (isinstance(new, int) and new == 1):
        return rows * op.k * op.n
    if convention == "hardware":
        pairs: Num = least(chunks.tokens, new) * chunks.pairs
        return rows * (op.k * op.n + pairs)
    number = (new + chunks.tokens - 1) // chunks.tokens
    filled = number * chunks.tokens * (op.k * op.n + chunks.tokens * chunks.pairs)
    return work.batch * (filled + (number + 1) * (number + 1) * chunks.carried)


def _backward(op: Op, work: Pass, convention: Convention) -> Num:
    forward = layer_flops(op, work, convention)
    if isinstance(op.how, Taps) and convention == "counter":
        return forward * (1 + op.how.groups)
    return 2 * forward


def _attention(op: Op, how: Scores, work: Pass, convention: Convention) -> Num:
    """Scores and values: 2 (heads * query width + heads * value width) for each pair of a row and a key."""
    new = work.streams.get(op.stream, work.tokens) if op.rows is None else op.rows
    keys = _keys(op, how, work, new)
    k, n = op.k, op.n
    if convention == "counter":
        expanded = how.latent.expanded * work.past if how.latent else 0
        return 2 * ((k + n) * new * _kept(op, how, keys, new) + expanded) * work.batch
    if how.latent and isinstance(new, int) and new == 1:
        k, n = how.latent.k, how.latent.n
    return _seen(how, 2 * (k + n) * work.batch, new, keys)


def _keys(op: Op, how: Scores, work: Pass, new: Num) -> Num:
    if how.key_rows is not None:
        return how.key_rows
    if how.keys == op.stream:
        return new + work.past
    return work.streams.get(how.keys, work.tokens)


def _kept(op: Op, how: Scores, keys: Num, new: Num) -> Num:
    """Keys that an unfused run multiplies with: all, whatever the mask, but a windowed cache keeps its window alone."""
    if how.window is None or how.keys != op.stream or how.key_rows is not None:
        return keys
    kept: Num = new + least(keys - new, how.window - 1)
    return kept


def _seen(how: Scores, flops_per_pair: Num, new: Num, keys: Num) -> Num:
    """Work over the pairs that a mask lets through: the i-th new token sees past + i keys, at most a window of them.

    causal   new * past + new (new + 1) / 2          window w   the same, less the keys further than w
    """
    if not how.causal:
        return flops_per_pair * new * (keys if how.window is None else least(keys, how.window))
    past = keys - new
    pairs = new * past + new * (new + 1) // 2
    if how.window is not None:
        pairs = pairs - (_beyond(keys, how.window) - _beyond(past, how.window))
    return flops_per_pair * pairs


def _beyond(keys: Num, window: Num) -> Num:
    """Pairs further apart than the window among the first `keys` tokens: 0 + 1 + ... + (keys - window)."""
    over: Num = keys - least(keys, window)
    return over * (over + 1) // 2
