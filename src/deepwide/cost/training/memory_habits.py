"""What each training engine holds on a device: bytes per parameter, what it keeps, and what stands beside all that.

What an engine keeps is read off its code. Where `fitted` says so, a number is fitted on published peaks of that engine:
one value for all its models and plans, never one for a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from deepwide.errors import BadInput, did_you_mean


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryHabits:
    """How one engine keeps what it keeps.

    weight_bytes, gradient_bytes, optimizer_bytes   per parameter, before sharing
    accumulated_bytes  of each whole gradient that a pipeline stage sums over its micro-batches under FSDP, where it
                       also keeps its weights gathered; 0 for an engine that lets both go after every layer
    logit_bytes        for each logit while the loss is taken
    dropout, flash     whether layers keep masks of dropouts, and whether scores stay on the chip
    selective          what `recompute="selective"` drops: the scores, or every second product's output
    wgrad_buffers      whether a 16-bit gradient of each matrix of a layer stays allocated beside the gradients
    context_copies     whether attention keeps its output twice under context parallelism
    ends_as_layers     whether embedding and head count as a layer each where stages are cut
    fixed_bytes        context, communication and bucket buffers
    slack              what an allocator caches for each byte of activations while the device is empty
    spread             half the width of a 90 % interval, as a share
    """

    name: str
    weight_bytes: float = 2
    gradient_bytes: float = 4
    optimizer_bytes: float = 12
    accumulated_bytes: float = 0
    logit_bytes: float = 6
    dropout: bool = False
    flash: bool = True
    selective: Literal["scores", "products"] = "scores"
    wgrad_buffers: bool = False
    context_copies: bool = False
    ends_as_layers: bool = False
    fixed_bytes: float = 0
    slack: float = 0
    spread: float = 0.1
    source: str
    fitted: str = ""


MEGATRON = MemoryHabits(
    name="megatron",
    logit_bytes=2,
    wgrad_buffers=True,
    context_copies=True,
    spread=0.011,
    source="Megatron-LM with Transformer Engine 2.11: bf16 weights, fp32 main gradients, fp32 master weights and "
    "moments; fused cross entropy, which writes its gradient over 16-bit logits; all-to-all context parallelism",
)
# DeepSpeed's flat buffers and the fp32 gradients of a device's own share are in its bytes per parameter.
MEGATRON_DEEPSPEED = MemoryHabits(
    name="megatron-deepspeed",
    gradient_bytes=2.93,
    optimizer_bytes=19.4,
    logit_bytes=10,
    dropout=True,
    flash=False,
    fixed_bytes=0.35 * 2**30,
    slack=1.22,
    spread=0.06,
    source="bigscience-workshop/Megatron-DeepSpeed, February 2022: fp16 gradients, scores kept, ZeRO 1",
    fitted="gradient, optimizer, fixed and slack on 71 peaks of 177B to 205B models as nvidia-smi showed them",
)
MEGATRON_DEEPSPEED_BF16 = MemoryHabits(
    name="megatron-deepspeed-bf16",
    gradient_bytes=8.47,
    optimizer_bytes=19.4,
    logit_bytes=10,
    dropout=True,
    flash=False,
    ends_as_layers=True,
    fixed_bytes=0.35 * 2**30,
    slack=1.22,
    spread=0.06,
    source="the same with its BF16 optimizer, which sums gradients in fp32 beside the bf16 ones",
    fitted="gradient on 15 such peaks, the rest with megatron-deepspeed",
)
# FSDP2 keeps one fp32 copy of its share of the weights, and computes with bf16 copies that it gathers.
FSDP = MemoryHabits(
    name="fsdp",
    weight_bytes=4,
    gradient_bytes=4,
    optimizer_bytes=8,
    accumulated_bytes=4,
    logit_bytes=5.1,
    selective="products",
    spread=0.06,
    source="torchtitan, June 2025: loss compiled, every second matrix product saved",
    fitted="logit on 2 peaks of an 8B model",
)
FSDP_EAGER_LOSS = MemoryHabits(
    name="fsdp-eager-loss",
    weight_bytes=4,
    gradient_bytes=4,
    optimizer_bytes=8,
    accumulated_bytes=4,
    logit_bytes=16.8,
    selective="products",
    fixed_bytes=7.0e9,
    spread=0.09,
    source="torchtitan, December 2024: loss not compiled, tensor and pipeline parallel buffers",
    fitted="logit and fixed on 8 peaks of 70B and 405B models",
)
INTERNEVO = MemoryHabits(
    name="internevo",
    gradient_bytes=2,
    optimizer_bytes=16.1,
    fixed_bytes=25.8e9,
    spread=0.09,
    source="InternEvo v0.2.1, hybrid ZeRO: bf16 weights and gradients, fp32 gradients, masters and moments",
    fitted="optimizer and fixed on 6 peaks of 7B and 20B models",
)
INTERNEVO_FSDP = MemoryHabits(
    name="internevo-fsdp",
    gradient_bytes=2,
    optimizer_bytes=24.2,
    fixed_bytes=3.7e9,
    spread=0.06,
    source="InternEvo v0.2.1 over PyTorch's FSDP, its optimizer's flat copies of weights and gradients included",
    fitted="optimizer and fixed on 10 peaks of 7B and 20B models",
)
# A training script of one process or a few: torch.nn, AMP or bf16 weights, and PyTorch's own cross entropy. Logits
# themselves are kept for the backward pass; the loss adds their gradient, in fp32 and then in 16 bits.
PYTORCH = MemoryHabits(name="pytorch", logit_bytes=6, source="torch.nn.functional.cross_entropy on fp32 logits")
MEMORY_HABITS = (
    MEGATRON,
    MEGATRON_DEEPSPEED,
    MEGATRON_DEEPSPEED_BF16,
    FSDP,
    FSDP_EAGER_LOSS,
    INTERNEVO,
    INTERNEVO_FSDP,
    PYTORCH,
)


def memory_habits(name: str) -> MemoryHabits:
    """The engine of that name."""
    known = {engine.name: engine for engine in MEMORY_HABITS}
    if name not in known:
        raise BadInput(f"engine={name!r} is unknown{did_you_mean(name, known)}; known: {', '.join(known)}")
    return known[name]
