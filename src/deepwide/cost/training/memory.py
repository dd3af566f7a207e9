"""Bytes on the fullest device of a training plan: states, kept activations, and what one step needs beside them.

The fullest pipeline stage is the first, which has most micro-batches in flight, or the last, which has the head. Both
are summed, for one plan or for millions: nothing here branches on a number, and every term is taken on as few axes as
it depends on, so that open meshes are widened by the last sums only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from deepwide.architecture.ledger import Ledger
from deepwide.architecture.model import Architecture
from deepwide.arithmetic import largest, least
from deepwide.cost.training.memory_habits import MEGATRON, MemoryHabits
from deepwide.cost.training.memory_rows import ELEMENT_BYTES, LayerRow, ends, layer_rows, stage_layers
from deepwide.cost.training.plan import Job, Plan
from deepwide.units import Num, Real

GATHERED_LAYERS = 2  # FSDP computes with one layer's weights while the next one's arrive


@dataclass(frozen=True, slots=True, kw_only=True)
class StageMemory:
    """Bytes on one device of one pipeline stage.

    weights, gradients, optimizer   what lives as long as the run, after sharing
    activations                     what all micro-batches in flight keep for their backward pass
    working                         the widest moment: gradients in passing, a recomputed layer, gathered weights,
                                    logits
    overhead                        what the engine holds beside all that
    """

    weights_bytes: Real
    gradients_bytes: Real
    optimizer_bytes: Real
    activations_bytes: Real
    working_bytes: Real
    overhead_bytes: Real

    @property
    def total_bytes(self) -> Real:
        """All of it, narrow meshes first."""
        states = self.weights_bytes + self.gradients_bytes + self.optimizer_bytes
        return states + (self.working_bytes + self.overhead_bytes + self.activations_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingMemory:
    """The two stages that can be the fullest; the same one where there is no pipeline."""

    first: StageMemory
    last: StageMemory

    @property
    def total_bytes(self) -> Real:
        """Bytes on the fullest device."""
        if self.first is self.last:
            return self.last.total_bytes
        total: Real = largest(self.first.total_bytes, self.last.total_bytes)
        return total


class Stage(NamedTuple):
    """One pipeline stage: layers of each run, parameters of its end (cut, uncut), micro-batches in flight."""

    layers: list[Real]
    end: tuple[Num, Num]
    in_flight: Real


class Devices(NamedTuple):
    """Into how many pieces things are cut: matrices, tokens between them, and all experts of a layer."""

    tensor: Num
    tokens: Num
    experts: Num


def peak_training_bytes(
    architecture: Architecture, job: Job, plan: Plan, habits: MemoryHabits = MEGATRON, *, adapters: Num = 0
) -> TrainingMemory:
    """What the fullest devices hold at the worst moment of a step; `adapters` is how many parameters LoRA trains.

    first   ceil(layers / pp) layers, the embedding, and pp micro-batches in flight; with interleave v
            pp (1 + (pp-1) / (pp v)) of them (Korthikanti et al. 2022, arXiv:2205.05198, section 4.2.3)
    last    as many layers, the head and its logits, and (1 + (v-1) pp) / v micro-batches in flight
    Experts are taken to have equal loads. What an allocator caches beside is `reserved_bytes`.
    """
    rows = layer_rows(architecture, job.ledger, job.sequence, plan.recompute, habits)
    layers_first, layers_last = stage_layers(architecture, plan.pp, habits.ends_as_layers)
    embedding, head = ends(architecture, job.ledger, plan.pp)
    waiting = (plan.interleave > 1) * (plan.pp - 1) / plan.interleave
    steady = (1 + (plan.interleave - 1) * plan.pp) / plan.interleave
    micro_batches = plan.micro_batches(job.global_batch)
    first = Stage(layers_first, embedding, least(plan.pp + waiting, micro_batches))
    last = Stage(layers_last, head, least(steady, micro_batches))
    tokens = plan.micro_batch * job.sequence / plan.cp
    layer_bytes = _layer_working(rows, architecture.main.hidden, plan) * tokens
    loss_bytes = _loss_working(architecture, tokens, plan, habits)
    trained = None if job.trainable == "all" else adapters / (plan.tp * plan.pp)
    of_last = _stage_memory(rows, last, tokens, largest(layer_bytes, loss_bytes), plan, habits, trained)
    if isinstance(plan.pp, int) and plan.pp == 1:
        return TrainingMemory(first=of_last, last=of_last)
    return TrainingMemory(
        first=_stage_memory(rows, first, tokens, layer_bytes, plan, habits, trained),
        last=of_last,
    )


def reserved_bytes(memory: TrainingMemory, capacity_bytes: Real, habits: MemoryHabits) -> Real:
    """What an allocator holds on the fullest device: beside what it needs, freed blocks, as long as there is room.

    needed + slack * activations * (1 - needed / capacity)
    """

    def held(stage: StageMemory) -> Real:
        room: Real = largest(1 - stage.total_bytes / capacity_bytes, 0)
        return stage.total_bytes + habits.slack * stage.activations_bytes * room

    reserved: Real = largest(held(memory.first), held(memory.last))
    return reserved


def working_bytes(
    architecture: Architecture, ledger: Ledger, *, batch: Num, tokens: Num, plan: Plan, habits: MemoryHabits
) -> Real:
    """What a step needs at its widest moment beside states and kept activations, without pipeline."""
    rows = layer_rows(architecture, ledger, tokens, plan.recompute, habits)
    at_once = batch * tokens / plan.cp
    layer_bytes = _layer_working(rows, architecture.main.hidden, plan) * at_once
    moment = largest(layer_bytes, _loss_working(architecture, at_once, plan, habits))
    layers, _ = stage_layers(architecture, 1)
    _, end = ends(architecture, ledger, 1)
    total: Real = moment + _weights_in_passing(rows, Stage(layers, end, 1), plan, habits)
    return total


def _devices(plan: Plan) -> Devices:
    """Experts are parted among `ep` devices, and each of them among tensor-parallel devices that are left."""
    return Devices(plan.tp, plan.tp if plan.sequence_parallel else 1, largest(plan.ep, plan.tp))


def _stage_memory(
    rows: list[LayerRow],
    stage: Stage,
    tokens: Real,
    moment_bytes: Real,
    plan: Plan,
    habits: MemoryHabits,
    trained: Real | None,
) -> StageMemory:
    """The sums of one stage; `trained` parameters on a device where not all are."""
    by = _devices(plan)
    dense, experts = _held(rows, stage, by)
    expert_sharing = largest(plan.sharing * by.tensor / by.experts, 1)
    whole, part = dense + experts, dense / plan.sharing + experts / expert_sharing
    sizes = [part if plan.zero >= shared else whole for shared in (1, 2, 3)]
    learned = sizes if trained is None else [trained, trained, trained]
    copies = habits.context_copies * (plan.cp > 1)
    kept = sum(
        n * (r.kept / by.tokens + (r.kept_cut + copies * r.outputs) / by.tensor)
        for r, n in zip(rows, stage.layers, strict=True)
    )
    return StageMemory(
        weights_bytes=habits.weight_bytes * sizes[2],
        gradients_bytes=habits.gradient_bytes * learned[1],
        optimizer_bytes=0 if plan.offload else habits.optimizer_bytes * learned[0],
        activations_bytes=kept * (stage.in_flight * tokens),
        working_bytes=moment_bytes + _weights_in_passing(rows, stage, plan, habits),
        overhead_bytes=habits.fixed_bytes,
    )


def _held(rows: list[LayerRow], stage: Stage, by: Devices) -> tuple[Real, Real]:
    """Parameters on one device: those of which every data-parallel device has a copy, and experts."""
    dense: Real = stage.end[0] / by.tensor + stage.end[1]
    experts: Real = 0
    for r, n in zip(rows, stage.layers, strict=True):
        dense = dense + n * (r.cut / by.tensor + r.uncut)
        experts = experts + n * r.experts
    return dense, experts / by.experts


def _layer_working(rows: list[LayerRow], hidden: Num, plan: Plan) -> Real:
    """Bytes per token of the backward pass through the widest layer.

    The gradients of the residual stream and of a branch's input, gathered where tokens are cut; the widest gradient
    between them; and the layer again where it is recomputed.
    """
    by = _devices(plan)
    widest: Real = 0
    for r in rows:
        widest = largest(widest, (r.passing + r.again_cut) / by.tensor + r.again / by.tokens)
    return 2 * ELEMENT_BYTES * hidden + widest


def _loss_working(architecture: Architecture, tokens: Real, plan: Plan, habits: MemoryHabits) -> Real:
    """Bytes at the loss: logits, the last norm's input and output, the head's gathered input and its gradient."""
    by = _devices(plan)
    hidden, vocab = architecture.main.hidden, architecture.vocab
    around = 2 * ELEMENT_BYTES * hidden / by.tokens + 2 * ELEMENT_BYTES * hidden
    buffer = habits.wgrad_buffers * ELEMENT_BYTES * vocab * hidden / by.tensor
    return tokens * (habits.logit_bytes * vocab / by.tensor + around) + buffer


def _weights_in_passing(rows: list[LayerRow], stage: Stage, plan: Plan, habits: MemoryHabits) -> Real:
    """Weights that sharing took apart and a layer needs whole, and gradients on their way to those who keep them.

    FSDP      16-bit weights of two layers and of the stage's end, and the gradient of one layer; over a pipeline that
              keeps them gathered, weights and gradients of all its layers
    buffers   16-bit gradients of one layer's matrices; experts are alike, so that one of them is no size
    """
    if not rows:
        return 0.0
    by = _devices(plan)
    layer = rows[-1].cut / by.tensor + rows[-1].uncut
    if plan.zero < 3:
        return habits.wgrad_buffers * ELEMENT_BYTES * layer
    end = stage.end[0] / by.tensor + stage.end[1]
    passing = ELEMENT_BYTES * ((GATHERED_LAYERS + 1) * (layer + rows[-1].experts / by.experts) + end)
    if not habits.accumulated_bytes:
        return passing
    gathered = (ELEMENT_BYTES + habits.accumulated_bytes) * sum(_held(rows, stage, by))
    return passing + (plan.pp > 1) * (gathered - passing)
