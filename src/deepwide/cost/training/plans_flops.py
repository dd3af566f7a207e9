"""The matrix work of a training step, by two named conventions: what the model needs, and what the devices do."""

from __future__ import annotations

from deepwide.architecture.flops import Pass, op_flops
from deepwide.architecture.rows import Op, Scores
from deepwide.cost.training.plan import Job, Recompute
from deepwide.units import Num

MFU_CONVENTION = (
    "model FLOPs over the dense peak of the number format: 6 per active matrix parameter and token (head included, "
    "embedding table not) and causal attention; nothing for recomputation"
)


def model_flops(job: Job) -> Num:
    """Forward once and backward twice, scores that a mask hides left out: what MFU counts.

    A frozen weight needs no gradient of its own, so that its product is followed by one more, not two.
    """
    return sum(_forward(op, job) * _passes(op, job) for op in job.ledger.ops)


def hardware_flops(job: Job, recompute: Recompute) -> Num:
    """The same, and what is computed again: what HFU counts."""
    return model_flops(job) + sum(_forward(op, job) for op in job.ledger.ops if _again(op, recompute))


def _forward(op: Op, job: Job) -> Num:
    return op_flops(op, Pass(tokens=job.sequence, batch=job.global_batch), "hardware")


def _passes(op: Op, job: Job) -> int:
    return 2 if job.trainable == "lora" and op.weight else 3


def _again(op: Op, recompute: Recompute) -> bool:
    if recompute == "selective":
        return isinstance(op.how, Scores)
    return recompute == "full" and op.part != "head"
