"""How many kernels a pass launches: what depth costs before anything is moved or computed."""

from __future__ import annotations

from deepwide.architecture.ledger import Ledger
from deepwide.architecture.rows import Op
from deepwide.cost.inference.passes import FUSED
from deepwide.units import Num


def launches(ledger: Ledger, stream: str = "decoder") -> Num:
    """Kernels of one pass of a stack, as an engine with fused projections launches them (passes.py times each)."""
    return sum(op.repeat * _kernels(op) for op in ledger.ops if op.stream == stream and op.rows is None)


def _kernels(op: Op) -> int:
    """None for what shares a launch or is none, two for attention: positions are turned and keys stored before it."""
    if op.kind == "attention":
        return 2
    shared = op.kind == "matmul" and op.name.rpartition(".")[2] in FUSED
    return 0 if shared or op.kind == "gather" else 1
