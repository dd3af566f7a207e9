"""What devices send to each other for one micro-batch and for one step, in seconds, before compute hides any of it.

Neighbours share tensors first, then context, then data; pipeline stages are furthest apart. Experts are spread over
what lies outside tensor parallelism.
"""

from __future__ import annotations

from dataclasses import dataclass

from deepwide.architecture.ledger import Ledger
from deepwide.architecture.rows import Weight
from deepwide.arithmetic import largest, least, repeated
from deepwide.cost.collectives import (
    Group,
    Network,
    all_gather_s,
    all_reduce_s,
    dispatch_s,
    group,
    reduce_scatter_s,
    send_s,
)
from deepwide.cost.training.plan import Job, Plan
from deepwide.cost.training.work import ELEMENT_BYTES
from deepwide.units import Num, Real


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Seconds of one micro-batch forward over all layers (backward takes as long), and of what a step sends once.

    tensor_s     sums over tensor-parallel devices         context_s    keys and values around the ring
    expert_s     tokens to their experts and back          pipeline_s   one hand-over between two stages
    gather_s     a stage's weights gathered once           scatter_s    its gradients reduced to their owners
    copies_s     each owner's share reduced with the owners of other copies
    gradient_s   its gradients reduced to all, where nothing is shared
    """

    tensor_s: Real
    context_s: Real
    expert_s: Real
    pipeline_s: Real
    gather_s: Real
    scatter_s: Real
    copies_s: Real
    gradient_s: Real


def traffic(job: Job, plan: Plan, network: Network, *, gradient_bytes: float, weight_bytes: float) -> Traffic:
    """All that a plan sends; `gradient_bytes` and `weight_bytes` are bytes per parameter on the wire."""
    ledger, rows = job.ledger, plan.micro_batch * job.sequence / plan.cp
    whole_bytes = rows * _hidden(ledger) * ELEMENT_BYTES
    keys_bytes = _cached(ledger) * (rows * plan.cp / plan.tp * ELEMENT_BYTES)
    token_bytes = rows / plan.tp * ELEMENT_BYTES  # of one element of every token
    outer = plan.tp * plan.cp
    sharing = group(network, plan.sharing, plan.tp)
    copies = group(network, plan.dp * plan.cp / plan.sharing, plan.tp * plan.sharing)
    here = stage_parameters(ledger, plan)
    return Traffic(
        tensor_s=tensor_sums(ledger) * all_reduce_s(whole_bytes, group(network, plan.tp)),
        context_s=all_gather_s(keys_bytes, group(network, plan.cp, plan.tp)),
        expert_s=2 * _dispatched_s(ledger, token_bytes, group(network, plan.ep, plan.tp)),
        pipeline_s=send_s(whole_bytes / plan.tp, network, outer * plan.dp),
        gather_s=all_gather_s(here * weight_bytes, sharing),
        scatter_s=reduce_scatter_s(here * gradient_bytes, sharing),
        copies_s=all_reduce_s(here * (gradient_bytes / plan.sharing), copies),
        gradient_s=all_reduce_s(here * gradient_bytes, group(network, plan.dp * plan.cp, plan.tp)),
    )


def stage_parameters(ledger: Ledger, plan: Plan) -> Real:
    """Parameters on one device of the heaviest stage: its share of the layers, and one end of the model (or both)."""
    ends: list[tuple[Num, Real]] = []
    layers: list[tuple[Num, Real]] = []
    for w in ledger.weights:
        at_end = w.part in ("embedding", "position", "head")
        (ends if at_end else layers).append((w.repeat, w.layer_parameters / _cut(w, plan, at_end)))
    here: Real = repeated(layers) / plan.pp + repeated(ends) / least(plan.pp, 2)
    return here


def _cut(w: Weight, plan: Plan, at_end: bool) -> Num:
    """Into how many pieces a layer's tensor is cut; experts are whole, or cut where they are few."""
    if isinstance(w.copies, int) and w.copies > 1 and not at_end:
        pieces: Num = largest(plan.ep, plan.tp)
        return pieces
    return 1 if w.split == "replicated" else plan.tp


def tensor_sums(ledger: Ledger) -> Num:
    """How often tensor parallelism sums the residual stream: once for each branch whose last matrix is cut by rows."""
    rows = {w.name for w in ledger.weights if w.split == "row"}
    branches = {op.name.rpartition(".")[0]: op.repeat for op in ledger.ops if op.weight in rows}
    return sum(branches.values())


def _hidden(ledger: Ledger) -> Num:
    """Width of what one layer hands to the next: that of the last norm, else of the last product below the head."""
    norms = [op.n for op in ledger.ops if op.kind == "norm"]
    products = [op.n for op in ledger.ops if op.kind == "matmul" and op.part != "head"]
    return [*products, *norms][-1]


def _cached(ledger: Ledger) -> Num:
    """Elements of keys and values of one token, all layers."""
    elements: Num = repeated((c.repeat, c.elements) for c in ledger.caches if not c.fixed)
    return elements


def _dispatched_s(ledger: Ledger, token_bytes: Real, among: Group) -> Real:
    """Tokens on their way to their experts, all layers."""
    downs = (op for op in ledger.ops if op.name.endswith("expert_down"))
    seconds: Real = repeated((op.repeat, dispatch_s(token_bytes * op.n, op.active, among)) for op in downs)
    return seconds
