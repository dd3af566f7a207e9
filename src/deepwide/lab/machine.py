"""What this machine does in a second, measured in a moment: products, moved bytes, small operations."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from deepwide.lab.device import least_s
from deepwide.lab.kernels import DTYPES, Kernels, computing

SQUARE = 1024  # rows and columns of the matrices whose product is timed: they fill the caches and the cores
MOVED_BYTES = 2**26  # more than the caches of most processors hold
SMALL_CALLS = 500
TRIES_S = 0.1  # for each of the three


@dataclass(frozen=True, slots=True, kw_only=True)
class Speeds:
    """Rates of this machine under one kernel policy: the best of several tries, as a peak is.

    flops_per_s       of a product of large square matrices
    bytes_per_s       read and written by a copy
    call_s            of an operation on a few numbers: what launching one costs
    """

    flops_per_s: float
    bytes_per_s: float
    call_s: float


def speeds(kernels: Kernels, device: torch.device | None = None) -> Speeds:
    """Measures this machine in about a third of a second."""
    device = device or torch.device("cpu")
    with computing(kernels), torch.inference_mode():
        square = torch.ones(SQUARE, SQUARE, dtype=DTYPES[kernels.dtype], device=device)
        moved, few = torch.ones(MOVED_BYTES // 4, device=device), torch.ones(8, device=device)
        into = torch.empty_like(moved)
        return Speeds(
            flops_per_s=2 * SQUARE**3 / least_s(lambda: square @ square, device, TRIES_S),
            bytes_per_s=2 * MOVED_BYTES / least_s(lambda: into.copy_(moved), device, TRIES_S),
            call_s=least_s(lambda: [few + few for _ in range(SMALL_CALLS)], device, TRIES_S) / SMALL_CALLS,
        )
