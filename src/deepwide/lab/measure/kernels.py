"""Kernels alone: products of square matrices by dtype, weights that stream through products, small operations."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import linear

from deepwide.lab.device import memory_bytes, seconds_of
from deepwide.lab.kernels import DTYPES, Kernels, computing
from deepwide.lab.measure.clock import Sample, Task, clock

SMALL_CALLS = 500
COLD_PASSES, PASSES = 3, 2  # of a turn: those that fill the caches, and those that count
LEAST_BYTES = 2**24  # streamed in a pass, by reading smaller weights several times over
SAME = 1.05  # rates this close are one


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Of what is timed on a kind of device: large enough to keep it busy.

    squares           rows and columns of matrices that are multiplied with each other
    width             of the matrices that weights lie in
    streamed          how many of them are read, again and again
    """

    squares: tuple[int, ...]
    width: int
    streamed: tuple[int, ...]


PROCESSOR = Sizes(squares=(256, 512, 1024), width=512, streamed=tuple(2**n for n in range(9)))  # 1 to 256 MiB
ACCELERATOR = Sizes(squares=(2048, 4096, 8192), width=2**14, streamed=(1,))  # 1 GiB


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


class Repeated:
    """A kernel with so many threads; the times of its turns are of a "pass"."""

    def __init__(self, work: Callable[[], object], threads: int, device: torch.device) -> None:
        self.work, self.threads, self.device = work, threads, device
        self.clock = clock(threads, device)

    def __call__(self) -> Mapping[str, Sequence[float]]:
        """One turn."""
        with computing(Kernels(threads=self.threads)), torch.inference_mode():
            seconds = [seconds_of(self.work, self.device, self.clock) for _ in range(COLD_PASSES + PASSES)]
        return {"pass": seconds[COLD_PASSES:]}


class Bench:
    """The kernels of a device, as tasks that take turns with others, and what their times say."""

    def __init__(self, threads: int, device: torch.device) -> None:
        sizes = ACCELERATOR if device.type == "cuda" else PROCESSOR
        self.device = device
        few, vector = torch.ones(8, device=device), torch.ones(1, 1, sizes.width, device=device)
        weights = torch.ones(max(sizes.streamed), sizes.width, sizes.width, device=device).unbind()

        def repeated(work: Callable[[], object]) -> Repeated:
            return Repeated(work, threads, device)

        self.products = {
            (name, n): repeated(_product(n, dtype, device)) for name, dtype in DTYPES.items() for n in sizes.squares
        }
        self.streams = {n * weights[0].nbytes: repeated(_stream(vector, weights[:n])) for n in sizes.streamed}
        self.calls = repeated(lambda: [few + few for _ in range(SMALL_CALLS)])

    @property
    def tasks(self) -> list[Task]:
        """All of them."""
        return [*self.products.values(), *self.streams.values(), self.calls]

    def rates(self, taken: Mapping[Task, Mapping[str, Sample]]) -> Rates:
        """What the turns of these tasks say."""

        def pass_s(task: Task) -> float:
            return taken[task]["pass"].seconds

        peaks = {
            name: max(2 * n**3 / pass_s(task) for (dtype, n), task in self.products.items() if dtype == name)
            for name in DTYPES
        }
        streamed = [(float(held), held * _readings(held) / pass_s(task)) for held, task in self.streams.items()]
        return Rates(
            peak_flops_per_s=peaks,
            near_bytes_per_s=tuple(_falling(streamed)),
            call_s=pass_s(self.calls) / SMALL_CALLS,
            memory_bytes=memory_bytes(self.device),
        )


def _product(size: int, dtype: torch.dtype, device: torch.device) -> Callable[[], object]:
    square = torch.ones(size, size, dtype=dtype, device=device)
    return lambda: square @ square


def _stream(vector: Tensor, weights: Sequence[Tensor]) -> Callable[[], object]:
    """Reads the weights, one after the other; a few of them several times over."""
    readings = range(_readings(sum(weight.nbytes for weight in weights)))
    return lambda: [linear(vector, weight) for _ in readings for weight in weights]


def _readings(held_bytes: int) -> int:
    """How often a pass reads so many bytes of weights."""
    return max(1, LEAST_BYTES // held_bytes)


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
