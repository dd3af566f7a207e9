"""Bytes of activations: what training keeps for the backward pass, and what inference works in.

Two conventions of training stand side by side, and every figure should say which it is:

huggingface   what an unfused PyTorch run of the classes of transformers keeps, to the byte (measured on a CPU)
megatron      what a training engine with fused 16-bit kernels keeps, by the published formula (activation_megatron)
"""

from __future__ import annotations

from collections.abc import Iterable

from deepwide.architecture.model import Architecture
from deepwide.cost.activations.habits import NO_DROPOUT, Dropout, habit
from deepwide.cost.activations.megatron import megatron_activation_bytes
from deepwide.cost.activations.rules import Forward
from deepwide.cost.activations.stacks import model
from deepwide.cost.activations.tape import Tape
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
