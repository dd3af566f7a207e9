"""Bytes of activations: what training keeps for the backward pass, and what inference works in.

Two conventions of training stand side by side, and every figure should say which it is:

huggingface   what an unfused PyTorch run of the classes of transformers keeps, to the byte (measured on a CPU)
megatron      what a training engine with fused 16-bit kernels keeps, by the published formula (activation_megatron)
"""

from __future__ import annotations

from collections.abc import Iterable

from deepwide.architecture.ledger import Ledger, lower
from deepwide.architecture.model import Architecture
from deepwide.architecture.rows import Op
from deepwide.cost.activation_habits import NO_DROPOUT, Dropout, habit
from deepwide.cost.activation_megatron import megatron_activation_bytes
from deepwide.cost.activation_rules import Forward
from deepwide.cost.activation_stacks import model
from deepwide.cost.activation_tape import FLOAT32_BYTES, Tape
from deepwide.errors import BadInput, did_you_mean
from deepwide.units import Num, Real

ELEMENT_BYTES = {"fp32": 4, "float32": 4, "bf16": 2, "bfloat16": 2, "fp16": 2, "float16": 2}
ATTENTIONS = ("eager", "sdpa", "flash")
RECOMPUTES = ("none", "selective", "full")
CONVENTIONS = ("huggingface", "megatron")
# The matrices that write back to the residual stream: what they read is then free, so their output adds nothing.
WRITERS = frozenset({"output", "down", "shared_down"})


def saved_activation_bytes(
    architecture: Architecture,
    *,
    batch: Num,
    tokens: Num,
    attention: str = "sdpa",
    dtype: str = "bf16",
    recompute: str = "none",
    dropout: Dropout = NO_DROPOUT,
    convention: str = "huggingface",
) -> Real:
    """Bytes kept for the backward pass of one forward pass with a loss, parameters and buffers not counted.

    `attention` is eager (scores spelled out), sdpa (PyTorch's kernel, as it is on a CPU: with a dropout on scores or
    a learned bias it is spelled out too) or flash (always one kernel). `recompute` is none, selective (the scores) or
    full (all but the input of each layer). Labels are the inputs; no padding. `dropout` says where it acts, see
    `activation_habits.dropout` for what a config says.
    """
    _known("attention", attention, ATTENTIONS)
    _known("recompute", recompute, RECOMPUTES)
    _known("convention", convention, CONVENTIONS)
    _known("dtype", dtype, ELEMENT_BYTES)
    if convention == "megatron":
        return megatron_activation_bytes(
            architecture,
            batch=batch,
            tokens=tokens,
            recompute=recompute,
            flash=attention != "eager",
            dropout=dropout != NO_DROPOUT,
            element_bytes=ELEMENT_BYTES[dtype],
        )
    forward = Forward(
        tape=Tape(element_bytes=ELEMENT_BYTES[dtype]),
        habit=habit(architecture.family),
        dropout=dropout,
        batch=batch,
        tokens=tokens,
        attention=attention,
        recompute=recompute,
    )
    model(forward, architecture)
    return forward.tape.kept_bytes


def _known(name: str, value: str, known: Iterable[str]) -> None:
    """Refuse a word that is none of the known ones."""
    if value not in known:
        expected = ", ".join(known)
        raise BadInput(f"{name}={value!r} is not known{did_you_mean(value, known)}; expected one of {expected}")


def inference_activation_bytes(
    architecture: Architecture, *, batch: Num, tokens_at_once: Num, dtype_bytes: Num = 2, logits: str = "last"
) -> Num:
    """The most that inference works in at one time, weights and cache apart, for `tokens_at_once` of each sequence.

    Either the widest part of a layer: the residual stream, its normed copy, the outputs of the part's projections and
    what is made of them; or the head: the residual stream and logits in float32, of the last token of each sequence
    or of all. Scores are never written out, as every engine fuses them.
    """
    _known("logits", logits, ("last", "all"))
    rows, hidden = batch * tokens_at_once, architecture.main.hidden
    layers = [rows * dtype_bytes * (2 * hidden + width) for width in _widths(lower(architecture))]
    scored = batch if logits == "last" else rows
    head = rows * dtype_bytes * hidden + scored * FLOAT32_BYTES * architecture.vocab
    return _largest([head, *layers])


def _widths(ledger: Ledger) -> list[Num]:
    """Elements per token that each part of a layer has at once; parts on a fixed number of rows are left out."""
    parts: dict[str, Num] = {}
    for op in ledger.ops:
        part = op.name.rpartition(".")[0]
        if op.rows is None and op.part != "head":
            parts[part] = parts.get(part, 0) + _width(op)
    return list(parts.values())


def _width(op: Op) -> Num:
    """Elements per token that one operation writes and that stay until the part is done."""
    written = op.kind in ("attention", "activation", "scan", "conv")
    if op.kind == "matmul" and op.name.rpartition(".")[2] not in WRITERS:
        written = True
    return op.n * op.active if written else 0


def _largest(values: list[Num]) -> Num:
    """The largest of some numbers, or element by element of some arrays."""
    if all(isinstance(value, int) for value in values):
        return max(values)
    from functools import reduce

    import numpy as np

    return reduce(np.maximum, values)
