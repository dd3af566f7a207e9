"""The work of one micro-batch on one device, in seconds: matrix products, attention, and what streams between them.

Each is a fold over the ledger's operations, cut as the plan says. Layers are summed as if one device ran every
pipeline stage; the two ends (embedding and head) stand apart, for the first and the last stage hold them.
"""

from __future__ import annotations

from dataclasses import dataclass

from deepwide.architecture.flops import Pass, layer_flops
from deepwide.architecture.rows import Op, Scores, Weight, is_rms
from deepwide.arithmetic import largest, repeated, rounded_up
from deepwide.cost.roofline import matmul_s, misaligned
from deepwide.cost.training.engine import Engine
from deepwide.cost.training.plan import Job, Plan
from deepwide.facts.training import TrainingConstants
from deepwide.units import Num, Real

ELEMENT_BYTES = 2  # activations travel in 16 bits, whatever the products are computed in
VOCAB_MULTIPLE = 128  # engines pad the vocabulary to a multiple of it on every device
LOSS_BYTES = 16  # per logit: written and read in 32 bits by the softmax and by its backward pass
BACKWARD = 2.0  # each product is followed by two, for its input and for its weight
ATTENTION_BACKWARD = 2.5  # a fused kernel computes the scores again (arXiv:2307.08691, section 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Seconds of one micro-batch forward: the layers' products, attention and streaming, and the two ends."""

    products_s: Real
    attention_s: Real
    streaming_s: Real
    head_s: Real
    embedding_s: Real


def micro_batch_work(job: Job, plan: Plan, engine: Engine) -> Work:
    """The work of one micro-batch, all layers together."""
    weights = {w.name: w for w in job.ledger.weights}
    rows = plan.micro_batch * job.sequence / plan.cp
    sums: dict[str, list[tuple[Num, Real]]] = {
        name: [] for name in ("products", "attention", "streaming", "head", "embedding")
    }
    for op in job.ledger.ops:
        kind, time = _timed(op, weights.get(op.weight), rows, job, plan, engine)
        sums[kind].append((op.repeat, time))
        if op.name.endswith("expert_down"):
            sums["streaming"].append((op.repeat, _sorted_s(op, rows, plan, engine)))
    return Work(**{f"{kind}_s": repeated(terms) for kind, terms in sums.items()})


def _timed(op: Op, weight: Weight | None, rows: Real, job: Job, plan: Plan, engine: Engine) -> tuple[str, Real]:
    """What an operation's time counts as, and the time in one of its layers."""
    if op.kind == "gather":
        return "embedding", _streamed_s(op, rows, plan, engine)
    if op.part == "head":
        return "head", _head_s(op, weight, rows, plan, engine)
    if isinstance(op.how, Scores):
        return "attention", _attention_s(op, op.how, job, plan, engine)
    if op.kind in ("norm", "activation"):
        return "streaming", _streamed_s(op, rows, plan, engine)
    return "products", _product_s(op, weight, rows, plan, engine)


def _product_s(op: Op, weight: Weight | None, rows: Real, plan: Plan, engine: Engine) -> Real:
    """One matrix product of one layer; a scan or a convolution counts as the product of its multiply-adds."""
    k: Real = op.k
    n: Real = op.n
    split = weight.split if weight else "replicated"
    if split in ("column", "vocabulary"):
        n = n / plan.tp
    elif split == "row":
        k = k / plan.tp
    elif plan.sequence_parallel:
        rows = rows / plan.tp
    copies = weight.copies if weight else 1
    here = largest(copies / plan.ep, 1)
    wide = engine.constants.element_bytes
    time = matmul_s(rows * op.active, k, n, engine.products, matrices=here, weight_bytes=wide, element_bytes=wide)
    fitting = largest(misaligned(k), misaligned(n)) ** engine.constants.odd_sizes
    slower: Real = time * fitting / (engine.constants.expert_efficiency if "expert" in op.name else 1)
    return slower


def _head_s(op: Op, weight: Weight | None, rows: Real, plan: Plan, engine: Engine) -> Real:
    """The output head on every token, in 16 bits, and the softmax over its logits."""
    if op.kind != "matmul":
        return _streamed_s(op, rows, plan, engine)
    cut = plan.tp if weight and weight.split == "vocabulary" else 1
    n = rounded_up(op.n, VOCAB_MULTIPLE * cut) / cut
    loss = rows * n * LOSS_BYTES * engine.constants.loss_passes / engine.head.bytes_per_s
    wide = engine.constants.element_bytes
    return matmul_s(rows, op.k, n, engine.head, weight_bytes=wide, element_bytes=wide) + loss


def _attention_s(op: Op, how: Scores, job: Job, plan: Plan, engine: Engine) -> Real:
    """Scores and values of one layer: what the mask lets through where a fused kernel knows it, else the square."""
    c = engine.constants
    fused = c.score_passes == 0
    work = Pass(tokens=job.sequence, batch=plan.micro_batch)
    flops = layer_flops(op, work, "hardware" if fused else "counter") / (plan.tp * plan.cp)
    time: Real = flops / engine.attention_flops_per_s
    if fused:
        return time
    scores = how.heads / plan.tp * job.sequence * job.sequence * plan.micro_batch / plan.cp
    time = time + scores * c.element_bytes * c.score_passes / engine.head.bytes_per_s
    return time * awkward_heads(op.k / how.heads, how.heads / plan.tp) ** c.odd_sizes


def awkward_heads(head_dim: Real, heads: Real) -> Real:
    """How much longer attention without a fused kernel takes for heads that its matrix kernels do not fit.

    Measured on A100 at 180B (bigscience-workshop, tr11 chronicles): a width of 108 makes the whole step a third
    longer, 14 or 26 heads per device instead of 8, 12, 16 or 28 make it 15% longer.
    """
    slower: Real = 1 + 5.0 * (head_dim % 8 > 0) + 1.0 * (heads % 4 > 0)
    return slower


def host_s(job: Job, plan: Plan, constants: TrainingConstants) -> Real:
    """What the host needs to launch all layers of one micro-batch: backward is twice forward.

    A fused softmax wants its batches of scores in fours; without it there are 40% more kernels (fitted on 28 rows of
    VIA-Research/vTrain where the device waits for the host).
    """
    passes = 3 + (plan.recompute == "full")
    ops = job.ledger.ops
    routed = sum(op.repeat for op in ops if op.name.endswith("expert_down"))
    layers: Real = job.layers * constants.layer_launch_s
    if constants.score_passes > 0:
        heads = next((op.how.heads for op in ops if isinstance(op.how, Scores)), 0)
        layers = layers * (1 + 0.4 * (heads * plan.micro_batch / plan.tp % 4 > 0))
    return passes * (layers + routed * constants.expert_launch_s)


def layers_s(job: Job, plan: Plan, constants: TrainingConstants) -> Real:
    """What the layers of one micro-batch take beside their work, both ways, where nothing hides it."""
    passes = 3 + (plan.recompute == "full")
    normed = sum(op.repeat for op in job.ledger.ops if is_rms(op))
    time: Real = passes * (job.layers * constants.layer_s + normed * constants.rms_norm_s)
    return time


def _streamed_s(op: Op, rows: Real, plan: Plan, engine: Engine) -> Real:
    """One pass over elements: in and out once, as often as the engine's kernels really do."""
    cut = plan.tp if op.kind == "activation" or plan.sequence_parallel else 1
    elements = rows * op.active * op.n * (op.k + 1) / cut
    c = engine.constants
    passes = c.elementwise_passes + c.rms_passes if is_rms(op) else c.elementwise_passes
    time: Real = elements * c.element_bytes * passes / engine.head.bytes_per_s
    return time


def _sorted_s(op: Op, rows: Real, plan: Plan, engine: Engine) -> Real:
    """What goes to experts and comes back, moved on the device itself: sorted by expert, and sorted back."""
    elements = rows * op.active * op.n / plan.tp
    c = engine.constants
    time: Real = elements * c.element_bytes * c.expert_passes / engine.head.bytes_per_s
    return time
