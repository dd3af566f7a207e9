"""What one layer of each run holds and keeps: a fold over an architecture and its ledger, made once for many plans."""

from __future__ import annotations

from typing import NamedTuple

from deepwide.architecture.experts import Experts
from deepwide.architecture.ffn import FeedForward
from deepwide.architecture.ledger import Ledger
from deepwide.architecture.model import Architecture, Layer, Run, Stack
from deepwide.architecture.rows import Op, Weight
from deepwide.arithmetic import largest, least, pieces
from deepwide.cost.activations.megatron import kept_per_token
from deepwide.cost.training.memory_habits import MemoryHabits
from deepwide.cost.training.plan import Recompute
from deepwide.units import Num, Real

ELEMENT_BYTES = 2  # activations, their gradients and gathered weights are in 16 bits


class LayerRow(NamedTuple):
    """One run of equal layers: parameters of one of them, and bytes per token that one keeps or needs.

    cut, uncut, experts   parameters that tensor parallelism cuts, that it leaves whole, and those of routed experts
    kept, kept_cut        bytes per token kept for the backward pass, uncut and cut
    again, again_cut      bytes per token that a recomputed layer holds for a moment
    outputs               bytes per token, cut, of what attention puts out
    passing               bytes per token, cut, of the widest gradient on its way through
    """

    cut: Real
    uncut: Real
    experts: Real
    kept: Num
    kept_cut: Num
    again: Num
    again_cut: Num
    outputs: Num
    passing: Num


def layer_rows(
    architecture: Architecture, ledger: Ledger, sequence: Num, recompute: Recompute, habits: MemoryHabits
) -> list[LayerRow]:
    """The runs of an architecture from bottom to top."""
    return [
        _row(stack, run, ledger, sequence, recompute, habits) for stack in architecture.stacks for run in stack.runs
    ]


def _row(stack: Stack, run: Run, ledger: Ledger, sequence: Num, recompute: Recompute, habits: MemoryHabits) -> LayerRow:
    weights = [w for w in ledger.weights if w.name.startswith(_prefix(stack, run))]
    ops = [op for op in ledger.ops if op.name.startswith(_prefix(stack, run))]
    dense = [w for w in weights if not _routed(w)]
    kept, again = _kept(run.layer, stack.hidden, ops, sequence, recompute, habits)
    outputs = ELEMENT_BYTES * sum(op.n for op in ops if op.kind == "attention")
    return LayerRow(
        cut=_each([w for w in dense if w.split != "replicated"], run),
        uncut=_each([w for w in dense if w.split == "replicated"], run),
        experts=_each([w for w in weights if _routed(w)], run),
        kept=kept[0],
        kept_cut=kept[1],
        again=again[0],
        again_cut=again[1],
        outputs=0 if recompute == "full" else outputs,
        passing=ELEMENT_BYTES * _fan_out(run.layer),
    )


def _each(weights: list[Weight], run: Run) -> Real:
    """Parameters for each layer of a run; of what layers share, each has its part."""
    own = [w.layer_parameters if w.repeat is run.layers else w.parameters / run.layers for w in weights]
    return sum(own)


def _kept(
    layer: Layer, hidden: Num, ops: list[Op], sequence: Num, recompute: Recompute, habits: MemoryHabits
) -> tuple[tuple[Num, Num], tuple[Num, Num]]:
    """Bytes per token, (uncut, cut): what a layer keeps, and what of it is computed again when its turn comes."""
    scored = 0 if habits.flash else sequence
    all_of_it = kept_per_token(layer, hidden, scored=scored, flash=habits.flash, dropout=habits.dropout)
    if recompute == "none":
        return all_of_it, (0, 0)
    if recompute == "full":
        return (ELEMENT_BYTES * hidden, 0), all_of_it
    if habits.selective == "products":
        return _every_second(hidden, ops), all_of_it
    without = kept_per_token(layer, hidden, scored=0, flash=habits.flash, dropout=habits.dropout)
    return without, (0, all_of_it[1] - without[1])


def _every_second(hidden: Num, ops: list[Op]) -> tuple[Num, Num]:
    """Bytes per token where a layer keeps its input, its attention's output, and that of every second product."""
    products = [op.n * op.active for op in ops if op.kind == "matmul"]
    attention = sum(op.n for op in ops if op.kind == "attention")
    return ELEMENT_BYTES * hidden, ELEMENT_BYTES * (sum(products[::2]) + attention)


def _fan_out(layer: Layer) -> Num:
    """Elements per token that the first products of the widest network write side by side."""
    widest: Num = 0
    for body in (branch.body for branch in layer.branches):
        if isinstance(body, Experts):
            widest = largest(widest, (1 + body.gated) * body.active_experts * body.ffn)
        elif isinstance(body, FeedForward):
            widest = largest(widest, (1 + body.gated) * body.ffn)
    return widest


def _prefix(stack: Stack, run: Run) -> str:
    return f"{stack.name}.{run.name}." if run.name else f"{stack.name}."


def _routed(w: Weight) -> bool:
    return w.role.startswith("expert_")


def stage_layers(architecture: Architecture, pp: Num, ends_as_layers: bool = False) -> tuple[list[Real], list[Real]]:
    """Layers of each run on the first and on the last of `pp` stages, as on the fuller ones where they do not divide.

    Runs that follow one another are dealt out in order; of runs that alternate every stage has its share.
    """
    runs = [run.layers for stack in architecture.stacks for run in stack.runs]
    total = sum(runs)
    on_stage = pieces(total + 2, pp) - 1 - (pp == 1) if ends_as_layers else pieces(total, pp)
    if any(list(stack.order) != sorted(stack.order) for stack in architecture.stacks):
        shares: list[Real] = [layers * on_stage / total for layers in runs]
        return shares, shares
    return _dealt(runs, on_stage), _dealt(runs[::-1], on_stage)[::-1]


def _dealt(runs: list[Num], on_stage: Num) -> list[Real]:
    """How many layers of each run are among the first so many."""
    left: Real = on_stage
    dealt: list[Real] = []
    for layers in runs:
        here = least(layers, left)
        left = left - here
        dealt.append(here)
    return dealt


def ends(architecture: Architecture, ledger: Ledger, pp: Num) -> tuple[tuple[Num, Num], tuple[Num, Num]]:
    """Parameters (cut, uncut) of what stands before the layers, and of what stands after them; one stage has both.

    A head that is tied to the embedding is a second copy of it where they are on different stages.
    """
    prefixes = tuple(_prefix(stack, run) for stack in architecture.stacks for run in stack.runs)
    outside = [w for w in ledger.weights if not w.name.startswith(prefixes)]
    before = _parted([w for w in outside if w.part in ("embedding", "position")])
    after = [w for w in outside if w.part not in ("embedding", "position")]
    tied = sum(w.size for w in after if w.tied)
    own = _parted(after)
    alone = pp == 1
    return before, (own[0] + before[0] * alone + tied * (1 - alone), own[1] + before[1] * alone)


def _parted(weights: list[Weight]) -> tuple[Num, Num]:
    """Parameters that tensor parallelism cuts, and those that it leaves whole."""
    cut = sum(w.parameters for w in weights if w.split != "replicated")
    return cut, sum(w.parameters for w in weights) - cut
