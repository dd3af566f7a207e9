"""What the roofline shows of a model: each kind of operation in a prompt and in a decode step, by the cost model.

An operation is timed by the very fold that times a whole pass, over a ledger that holds it alone: nothing about
kernels is written a second time here. What a pass takes beside its kernels, launches and the overhead of layers, is
shared out in proportion: the constants of a runtime are fitted on whole passes, and its kernels alone may look faster
than the device.
"""

from __future__ import annotations

from collections.abc import Iterator

from deepwide.answers.figures.roofline import Kernel, RoofLine
from deepwide.answers.models import Model
from deepwide.architecture.flops import Pass, op_flops
from deepwide.architecture.ledger import Ledger
from deepwide.architecture.rows import Op
from deepwide.cost.inference.engine import MATRIX_RATES, Engine
from deepwide.cost.inference.passes import ELEMENT_BYTES, Seconds, Work, forward
from deepwide.facts.device import Accelerator

KINDS = ("matmul", "attention", "scan", "conv")  # the operations with matrix work; norms and activations have none
NAMES = {"attention": "attention projections", "ffn": "FFN", "head": "output head", "recurrent": "recurrence"}


def model_kernels(model: Model, on: Engine, *, prompt: int, context: int, batch: int = 1) -> tuple[Kernel, ...]:
    """The kinds of operations of the stack that writes: reading `prompt` tokens, and one token after `context`."""
    stream = model.described().main.name
    phases = {
        "prefill": Work(tokens=prompt, batch=batch, prompt=True),
        "decode": Work(tokens=1, batch=batch, past=context),
    }
    running = [op for op in model.ledger.ops if op.kind in KINDS and op.stream == stream and op.rows is None]
    return tuple(kernel for phase, work in phases.items() for kernel in _summed(model.ledger, running, phase, work, on))


def roof_lines(accelerator: Accelerator, on: Engine) -> tuple[RoofLine, RoofLine]:
    """The roof that the maker states for 16-bit products, and the one that kernels of the runtime reach below it."""
    stated = next(rate for name in MATRIX_RATES if (rate := accelerator.peak_flops_per_s.get(name)))
    return (
        RoofLine(name="data sheet", flops_per_s=stated, bytes_per_s=accelerator.bandwidth_bytes_per_s),
        RoofLine(
            name="reached by kernels",
            flops_per_s=min(stated, float(on.sixteen.flops_per_s)),
            bytes_per_s=min(accelerator.bandwidth_bytes_per_s, float(on.sixteen.bytes_per_s)),
        ),
    )


def _summed(ledger: Ledger, running: list[Op], phase: str, work: Work, on: Engine) -> Iterator[Kernel]:
    """One kernel for each name, the operations of that name added up."""
    whole = forward(ledger, work, on, running[0].stream) if running else Seconds()
    beside = whole.total_s / (whole.weights_s + whole.cache_s + whole.compute_s) if running else 1.0
    for name in dict.fromkeys(_name(op) for op in running):
        alone = [_kernel(_alone(ledger, op, running), phase, work, on) for op in running if _name(op) == name]
        yield Kernel(
            name=name,
            phase=phase,
            work_flops=sum(k.work_flops for k in alone),
            moved_bytes=sum(k.moved_bytes for k in alone),
            time_s=float(beside) * sum(k.time_s for k in alone),
        )


def _name(op: Op) -> str:
    return "attention scores" if op.kind == "attention" else NAMES.get(op.part, op.part)


def _alone(ledger: Ledger, op: Op, running: list[Op]) -> Ledger:
    """A ledger of one operation with its weight; of those that share a place, the first reads what is cached there."""
    here = _place(op.name)
    reader = next((other.name for other in running if other.kind != "matmul" and _place(other.name) == here), "")
    return Ledger(
        weights=tuple(w for w in ledger.weights if w.name == op.weight),
        ops=(op,),
        caches=tuple(c for c in ledger.caches if _place(c.name) == here) if reader == op.name else (),
    )


def _place(name: str) -> str:
    return name.rpartition(".")[0]


def _kernel(alone: Ledger, phase: str, work: Work, on: Engine) -> Kernel:
    """One operation over its layers; what it moves are its weights or cache, its inputs and its outputs."""
    (op,) = alone.ops
    spent = forward(alone, work, on, op.stream)
    tokens = work.logits if op.part == "head" else work.tokens
    held_bytes = spent.weights_s * on.sixteen.bytes_per_s + spent.cache_s * on.attention.bytes_per_s
    passing_bytes = ELEMENT_BYTES * tokens * work.batch * op.active * (op.k + op.n) * op.repeat
    return Kernel(
        name=op.name,
        phase=phase,
        work_flops=float(op_flops(op, Pass(tokens=tokens, batch=work.batch, past=work.past), "hardware")),
        moved_bytes=float(held_bytes + passing_bytes),
        time_s=float(spent.weights_s + spent.cache_s + spent.compute_s),
    )
