"""The smooth roofline: a kernel computes and moves bytes side by side, and takes a little longer than the longer.

t = ((F / P)^p + (B / W)^p)^(1/p)      P and W are what kernels really reach, p how sharply one limit gives way
The bare roofline (p infinite, P and W at their peaks) is off by 20 to 41% on measured matrix kernels, this form by 6
to 11% (facts/kernels.toml). A factor for the last wave of tiles made that fit worse, so there is none.
"""

from __future__ import annotations

from dataclasses import dataclass

from deepwide.units import Real


@dataclass(frozen=True, slots=True, kw_only=True)
class Roof:
    """What kernels reach on a device: flops per second, bytes per second, and the sharpness of the corner between."""

    flops_per_s: Real
    bytes_per_s: Real
    sharpness: float


def roofline_s(flops: Real, moved_bytes: Real, under: Roof) -> Real:
    """Time of one kernel without its launch."""
    moving = moved_bytes / under.bytes_per_s
    computing = flops / under.flops_per_s
    time: Real = moving * (1 + (computing / moving) ** under.sharpness) ** (1 / under.sharpness)
    return time


def misaligned(size: Real) -> Real:
    """How much longer a matrix kernel takes for a size that its tiles do not fit: 1 for multiples of 64.

    Measured on A100, everything else equal: a width of 1,800 elements per device instead of 1,728 takes a third longer
    (bigscience-workshop, tr11 chronicles), and one that is not a multiple of 8 misses the matrix units' fast path.
    """
    slower: Real = 1 + 0.33 * (size % 64 > 0) + 0.67 * (size % 8 > 0)
    return slower


def matmul_s(
    rows: Real, k: Real, n: Real, under: Roof, *, weight_bytes: Real = 2, element_bytes: Real = 2, matrices: Real = 1
) -> Real:
    """Time of [rows, k] x [k, n], the rows spread over `matrices` of that shape: inputs and outputs move once each."""
    moved = rows * (k + n) * element_bytes + matrices * k * n * weight_bytes
    return roofline_s(2 * rows * k * n, moved, under)
