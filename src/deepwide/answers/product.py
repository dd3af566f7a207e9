"""How long does one matrix product take? Its kernel, its start, and what it computes for each byte it moves."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from deepwide.answers.answer import Answer
from deepwide.answers.limits import LONGEST_CONTEXT, whole
from deepwide.cost.inference.engine import DEFAULT_RUNTIME, driven
from deepwide.cost.inference.passes import ELEMENT_BYTES
from deepwide.cost.roofline import matmul_s
from deepwide.facts.accelerators import accelerator

LARGEST_SIDE = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Product(Answer):
    """[rows, inputs] x [inputs, outputs] in 16 bits on one accelerator.

    kernel_s    computing and moving; start_s: what a kernel takes before it does either
    """

    rows: int
    inputs: int
    outputs: int
    on: str
    work_flops: int
    moved_bytes: int
    kernel_s: float
    start_s: float

    @property
    def time_s(self) -> float:
        """The kernel and its start."""
        return self.kernel_s + self.start_s

    @property
    def intensity(self) -> float:
        """FLOPs for each byte moved."""
        return self.work_flops / self.moved_bytes

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain values."""
        return {**asdict(self), "time_s": self.time_s, "intensity": self.intensity}


def predict_product(inputs: int, outputs: int, *, on: str, rows: int = 1, runtime: str = DEFAULT_RUNTIME) -> Product:
    """The time of one product of `rows` tokens with a matrix, by the constants of measured kernels.

    >>> predict_product(4096, 11008, on="h100").work_flops
    90177536
    """
    k, n = (whole(name, side, 1, LARGEST_SIDE) for name, side in (("inputs", inputs), ("outputs", outputs)))
    tokens = whole("rows", rows, 1, LONGEST_CONTEXT)
    by = driven(accelerator(on), runtime)
    return Product(
        rows=tokens,
        inputs=k,
        outputs=n,
        on=by.name,
        work_flops=2 * tokens * k * n,
        moved_bytes=ELEMENT_BYTES * (tokens * (k + n) + k * n),
        kernel_s=float(matmul_s(tokens, k, n, by.sixteen)),
        start_s=by.constants.launch_s,
    )
