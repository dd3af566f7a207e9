"""How long one operation takes on one accelerator: a smooth roofline, with constants fitted on measured kernels.

t = t0 + ((F / (P e_c))^p + (B / (W e_m))^p)^(1/p)      for a matrix product of F flops that moves B bytes
t = t0 + B / (W e_a)                                     for attention over a cache of B bytes
The bare roofline is off by 20 to 41% on the same kernels, this form by 6 to 11% (facts/runtimes.toml).
"""

from __future__ import annotations

from dataclasses import dataclass

from deepwide.architecture.ledger import Ledger
from deepwide.architecture.rows import Op
from deepwide.cost.memory import cached_elements
from deepwide.errors import BadInput
from deepwide.facts.accelerators import Accelerator
from deepwide.facts.tables import KernelConstants, kernel_constants
from deepwide.units import Num, Real

MATRIX_RATES = ("bf16", "fp16", "tf32", "fp32")  # the first that a device has is what 16-bit products run at
ELEMENTWISE_S = 3e-6  # a small elementwise kernel in a captured graph; measured on A100 and H100 engines
# Projections of the same input that every engine runs as one kernel: they share a launch.
FUSED = frozenset({"key", "value", "up", "expert_up", "shared_up"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """An accelerator as a runtime drives it."""

    name: str
    peak_flops_per_s: float
    bandwidth_bytes_per_s: float
    constants: KernelConstants


def machine(accelerator: Accelerator) -> Machine:
    """The accelerator at 16-bit matrix rates, with the constants fitted for it or the default ones."""
    peaks = [rate for name in MATRIX_RATES if (rate := accelerator.peak_flops_per_s.get(name))]
    if not peaks:
        raise BadInput(f"{accelerator.name}: peak_flops_per_s needs one of {', '.join(MATRIX_RATES)} to predict a time")
    return Machine(
        name=accelerator.name,
        peak_flops_per_s=peaks[0],
        bandwidth_bytes_per_s=accelerator.bandwidth_bytes_per_s,
        constants=kernel_constants(accelerator.name),
    )


def roofline_s(work_flops: Num, moved_bytes: Real, on: Machine) -> Real:
    """Time of a matrix kernel without its launch: the p-norm of computing and moving."""
    c = on.constants
    moving = moved_bytes / (on.bandwidth_bytes_per_s * c.memory_efficiency)
    computing = work_flops / (on.peak_flops_per_s * c.compute_efficiency)
    time: Real = moving * (1 + (computing / moving) ** c.sharpness) ** (1 / c.sharpness)
    return time


def decode_token_s(
    ledger: Ledger,
    on: Machine,
    *,
    context: Num,
    weight_bytes: Real = 2,
    cache_bytes: Real = 2,
    stream: str = "decoder",
) -> Real:
    """Time of one generated token at batch 1: every active weight is streamed, the cache is read.

    `weight_bytes` and `cache_bytes` are bytes per element. `stream` is the one that generates: an encoder before it
    has run already.
    """
    running = (op for op in ledger.ops if op.stream in (stream, ""))
    steps = sum(_step_s(op, on, weight_bytes) * op.repeat for op in running)
    c = on.constants
    cache_elements = sum(cached_elements(cache, context) * cache.repeat for cache in ledger.caches)
    time: Real = steps + cache_elements * cache_bytes / (on.bandwidth_bytes_per_s * c.attention_efficiency)
    return time


def _step_s(op: Op, on: Machine, weight_bytes: Real) -> Real:
    """One operation for one new token; attention here is its launch, the cache is counted apart."""
    if op.rows is not None or op.kind == "gather":
        return 0.0
    if op.kind == "attention":
        return on.constants.attention_launch_s
    if op.kind != "matmul":
        return ELEMENTWISE_S
    size = op.k * op.n * op.active
    launch = 0.0 if op.name.rpartition(".")[2] in FUSED else on.constants.launch_s
    return launch + roofline_s(2 * size, size * weight_bytes, on)
