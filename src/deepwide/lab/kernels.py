"""The kernel policy: how a model computes on this machine, chosen by trying it.

Which way is quickest cannot be told from the name of a processor: bfloat16 is four times the default fp32 path on one
and forty times slower on another. So one layer of the very model, at its own shape, is run forward and backward each
way for a fraction of a second, and the quickest is kept with the run: a resumed run computes as it began.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

import torch
from torch import Tensor

from deepwide.errors import BadInput, did_you_mean
from deepwide.lab.device import seconds_of
from deepwide.lab.lanes import Lanes
from deepwide.lab.network import Transformer
from deepwide.lab.network.attend import KERNELS
from deepwide.lab.network.stack import runner
from deepwide.lab.store.environment import cores

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
MATMULS = {"default": "highest", "onednn": "medium"}  # how PyTorch calls the precision that lets oneDNN do it
MOST_THREADS = 4096
PROBE_S = 0.3  # for all ways together, once they are warm
TURN = 3  # passes of a way, one after the other
IDLE = 1.2  # so many times quicker must be what leaves cores idle: a neighbour's moment is not the whole run
HOPELESS = 5.0  # so many times slower than the quickest at the first try, and a way is not tried again
PROBE_FLOPS = 4e9  # of one try: larger models are tried on fewer tokens
LONG_RUN_S = 120.0  # that its layers would take: compiling them, 7 to 25 seconds, is then won back
LONGEST_PROBE = 2048  # tokens: the scores of attention grow with their square


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernels:
    """One way to compute.

    dtype             of the activations: fp32 or bf16; weights and optimiser states are fp32 either way
    matmul            fp32 products by PyTorch's "default" library, or by "onednn", which may use bf16 inside where
                      the processor has it
    attention         "sdpa", PyTorch's fused kernel, or "bmm", plain batched products
    compile           layers are compiled by torch.compile for training: ten seconds, then fewer passes over memory
    threads           that share an operation
    lanes             parts of a batch that are computed side by side, each by so many threads
    """

    dtype: str = "fp32"
    matmul: str = "default"
    attention: str = "sdpa"
    compile: bool = False
    threads: int = 1
    lanes: int = 1

    def to_dict(self) -> dict[str, Any]:
        """The policy as plain values."""
        return asdict(self)


def checked(kernels: Kernels) -> Kernels:
    """The policy, if it names ways that exist."""
    for name, known in (("dtype", DTYPES), ("matmul", MATMULS), ("attention", KERNELS)):
        value = getattr(kernels, name)
        if value not in known:
            raise BadInput(f"{name}={value!r} is unknown{did_you_mean(str(value), known)}; known: {', '.join(known)}")
    for name in ("threads", "lanes"):
        if not 1 <= getattr(kernels, name) <= MOST_THREADS:
            asked = getattr(kernels, name)
            raise BadInput(f"{name}={asked} must be from 1 to {MOST_THREADS}; this process may use {cores()} cores")
    return kernels


def apply(kernels: Kernels, model: Transformer) -> None:
    """Makes the model compute that way; the process does so within `computing`."""
    model.compute_dtype = DTYPES[kernels.dtype]
    model.attend = KERNELS[kernels.attention]
    model.compiled = kernels.compile


@contextmanager
def computing(kernels: Kernels) -> Iterator[None]:
    """Until the block ends, this process has those threads, and products of fp32 matrices are computed that way."""
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    torch.set_num_threads(kernels.threads)
    torch.set_float32_matmul_precision(MATMULS[kernels.matmul])
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.set_float32_matmul_precision(before[1])


def probed(model: Transformer, batch: int, context: int, steps: int = 0, **fixed: Any) -> Kernels:
    """The quickest policy for so many steps of a model at this batch and context.

    `fixed` says what is not to be chosen. Compiled layers are tried for runs of minutes only: that takes ten seconds.
    """
    given = {name: value for name, value in fixed.items() if value is not None}
    compiled = given.pop("compile", None)
    first = checked(replace(Kernels(), **given))
    ways = [way for way in _ways(first, _device(model)) if all(getattr(way, n) == value for n, value in given.items())]
    layer = _Layer(model, batch, context)
    best = layer.quickest(ways or [first])
    if _device(model).type == "cpu" and not {"threads", "lanes"} <= set(given) and cores() > 1:
        lanes = given.get("lanes", 1)
        together = replace(best, threads=given.get("threads", max(1, cores() // lanes)), lanes=lanes)
        apart = replace(best, threads=given.get("threads", 1), lanes=given.get("lanes", min(cores(), batch)))
        best = layer.quickest(list(dict.fromkeys((best, together, apart))))
    if compiled is None and steps * layer.step_s(best, batch, context) > LONG_RUN_S:
        return layer.quickest([best, *layer.compiled(best)])
    return replace(best, compile=bool(compiled))


def _ways(first: Kernels, device: torch.device) -> Iterator[Kernels]:
    products = [("fp32", "default"), ("fp32", "onednn"), ("bf16", "default")]
    for (dtype, matmul), attention in product(products, KERNELS):
        if device.type == "cpu" or matmul == "default":
            yield replace(first, dtype=dtype, matmul=matmul, attention=attention)


def _device(model: Transformer) -> torch.device:
    return next(model.parameters()).device


class _Layer:
    """The first layer of a model at the shape it will be trained in, to be tried one way and another."""

    def __init__(self, model: Transformer, batch: int, context: int) -> None:
        self.model, self.stack = model, model.stack(model.stack_names[0])
        self.block = self.stack.blocks[0]
        self.weights = [tensor for tensor in self.block.parameters() if tensor.requires_grad]
        context = min(context, LONGEST_PROBE)
        flops = 6 * sum(tensor.numel() for tensor in self.weights) * context
        rows = max(1, min(batch, int(PROBE_FLOPS // flops)))
        self.lanes: dict[tuple[int, int], Lanes] = {}
        self.least_s: dict[Kernels, float] = {}
        self.tokens = torch.zeros(rows, context, dtype=torch.long, device=_device(model))

    def step_s(self, way: Kernels, batch: int, context: int) -> float:
        """What all layers take for a batch, at least, by a way that was tried."""
        layers = sum(len(self.model.stack(name).blocks) for name in self.model.stack_names)
        return self.least_s[way] * layers * batch * context / self.tokens.numel()

    def compiled(self, way: Kernels) -> list[Kernels]:
        """The way with compiled layers; none where there is no compiler, or it fails."""
        try:
            self._seconds(replace(way, compile=True))
        except (RuntimeError, OSError, ImportError):
            return []
        return [replace(way, compile=True)]

    def quickest(self, ways: list[Kernels]) -> Kernels:
        """The way of the least median time; each is tried in turn, so that a busy moment hits all alike.

        A way that waits for other programs every second time is slow, however quick it is between; one that leaves
        cores idle has to be much quicker, for they wait no longer than a moment mostly. The first pass of a turn does
        not count: a changed number of threads is a new team of them.
        """
        first = [self._seconds(way) for way in ways]  # this warms up; a hopeless way is seen even so
        hopeful = [i for i, seconds in enumerate(first) if seconds < HOPELESS * min(first)]
        tried: dict[int, list[float]] = {i: [] for i in hopeful}
        ends = time.perf_counter() + PROBE_S
        for i in itertools.cycle(hopeful):
            tried[i] += [self._seconds(ways[i]) for _ in range(TURN)][1:]
            if time.perf_counter() > ends and all(tried.values()):
                break
        self.least_s |= {ways[i]: min(seconds) for i, seconds in tried.items()}
        most = max(way.threads * way.lanes for way in ways)
        idle = [IDLE if way.threads * way.lanes < most else 1.0 for way in ways]
        return ways[min(hopeful, key=lambda i: idle[i] * statistics.median(tried[i]))]

    def _seconds(self, way: Kernels) -> float:
        """One pass forward and backward."""
        with computing(way):
            apply(way, self.model)
            reading = self.model.reading(self.stack, self.tokens, None, None, None)
            self.stack.place(reading, None)
            width = self.model.architecture.stacks[0].hidden
            x_BTD = torch.ones(*self.tokens.shape, int(width), dtype=DTYPES[way.dtype], device=self.tokens.device)

            def one(part_BTD: Tensor) -> None:
                part_BTD = part_BTD.detach().requires_grad_()
                y_BTD = runner(reading)(self.block, part_BTD, reading)
                torch.autograd.grad(y_BTD.sum(), [part_BTD, *self.weights], allow_unused=True)

            lanes = self.lanes.setdefault((way.lanes, way.threads), Lanes(way.lanes, way.threads))
            return seconds_of(lambda: lanes.map(one, x_BTD.chunk(way.lanes)), self.tokens.device)
