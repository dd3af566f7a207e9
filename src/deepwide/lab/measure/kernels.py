"""Kernels alone: products of square matrices by dtype, weights that stream through products, small operations."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn.functional import linear

from deepwide.lab.device import least_s, memory_bytes
from deepwide.lab.kernels import DTYPES, Kernels, computing

SQUARES = (256, 512, 1024)  # rows and columns on a processor; an accelerator needs larger ones
LARGE_SQUARES = (2048, 4096, 8192)
STREAMED_BYTES = tuple(2**n for n in range(20, 29))  # 1 to 256 MiB of weights, read again and again
ACCELERATOR_STREAMED_BYTES = (2**30,)
WIDTH = 512  # of the matrices they lie in
SMALL_CALLS = 500
EACH_S = 0.12
SAME = 1.05  # rates this close are one


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What kernels reach.

    peak_flops_per_s  by dtype, of the best of several sizes of products
    near_bytes_per_s  (bytes, rate) of fp32 weights that one vector after the other is multiplied by, by their size
    call_s            of an operation on a few numbers: what launching one costs
    memory_bytes      that there are
    """

    peak_flops_per_s: dict[str, float]
    near_bytes_per_s: tuple[tuple[float, float], ...]
    call_s: float
    memory_bytes: int


def rates(threads: int, device: torch.device) -> Rates:
    """Measures them in about three seconds, with so many threads."""
    accelerated = device.type == "cuda"
    with computing(Kernels(threads=threads)), torch.inference_mode():
        few = torch.ones(8, device=device)
        streamed = ACCELERATOR_STREAMED_BYTES if accelerated else STREAMED_BYTES
        return Rates(
            peak_flops_per_s={name: _peak(dtype, device) for name, dtype in DTYPES.items()},
            near_bytes_per_s=tuple(_falling([(float(n), _streamed(n, device)) for n in streamed])),
            call_s=least_s(lambda: [few + few for _ in range(SMALL_CALLS)], device, EACH_S) / SMALL_CALLS,
            memory_bytes=memory_bytes(device),
        )


def _peak(dtype: torch.dtype, device: torch.device) -> float:
    sizes = LARGE_SQUARES if device.type == "cuda" else SQUARES
    return max(2 * n**3 / least_s(_product(n, dtype, device), device, EACH_S) for n in sizes)


def _product(size: int, dtype: torch.dtype, device: torch.device) -> Callable[[], object]:
    square = torch.ones(size, size, dtype=dtype, device=device)
    return lambda: square @ square


def _streamed(held_bytes: int, device: torch.device) -> float:
    """Bytes in a second, of so many of weights."""
    count = max(1, held_bytes // (4 * WIDTH * WIDTH))
    weights = [torch.ones(WIDTH, WIDTH, device=device) for _ in range(count)]
    vector = torch.ones(1, 1, WIDTH, device=device)
    seconds = least_s(lambda: [linear(vector, weight) for weight in weights], device, EACH_S)
    return count * 4 * WIDTH * WIDTH / seconds


def _falling(rates: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """More bytes never come faster: what says so is noise; points between equal ones say nothing."""
    highest = list(itertools.accumulate((rate for _, rate in reversed(rates)), max))[::-1]
    points = [(size, rate) for (size, _), rate in zip(rates, highest, strict=True)]
    kept = [
        here
        for before, here, after in zip([None, *points], points, [*points[1:], None], strict=False)
        if before is None or after is None or before[1] > SAME * here[1] or here[1] > SAME * after[1]
    ]
    return kept
