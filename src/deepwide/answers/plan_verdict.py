"""What is said of plans: one in words, why another one lost, and what would make one fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from deepwide.cost.training.memory import StageMemory, TrainingMemory, peak_training_bytes
from deepwide.cost.training.plan import Plan
from deepwide.cost.training.plans import Found, Task, search
from deepwide.cost.training.plans_space import space, tensor_parts
from deepwide.cost.training.step import Step, step_time
from deepwide.units import duration, size

RUNNERS_UP = 5
TOO_LARGE = 1  # of these, the faster plans that do not fit
ALIKE_SHARE = 0.005  # times closer than this are called the same
TELLING_SHARE = 0.25  # a part that makes up less of the difference is not worth a word
MOST_GROWTH = 256  # times the devices, beyond which nobody is told to buy more
# Part of a step -> what it is called.
PARTS = {
    "compute_s": "compute",
    "launch_s": "waiting for the host",
    "tensor_s": "tensor-parallel sums",
    "context_s": "context exchange",
    "expert_s": "expert exchange",
    "pipeline_s": "hand-overs",
    "bubble_s": "bubble",
    "data_s": "gradient and weight exchange",
    "optimizer_s": "optimizer",
    "waiting_s": "waiting for the slowest",
}


class Priced(NamedTuple):
    """A plan with its time and its memory."""

    plan: Plan
    step: Step
    memory: TrainingMemory

    @property
    def total_bytes(self) -> int:
        """What the fullest device holds."""
        return int(self.memory.total_bytes)

    @property
    def fullest(self) -> str:
        """The stage that device is on."""
        return "first" if self.memory.first.total_bytes >= self.memory.last.total_bytes else "last"

    @property
    def stage(self) -> StageMemory:
        """What that stage holds."""
        return self.memory.first if self.fullest == "first" else self.memory.last


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerUp:
    """A plan that lost, and why."""

    plan: dict[str, Any]
    words: str
    step_s: float
    memory_bytes: int
    fits: bool
    why: str


def priced(task: Task, plan: Plan) -> Priced:
    """One plan alone, in plain numbers."""
    memory = peak_training_bytes(task.architecture, task.job, plan, task.habits, adapters=task.adapters)
    return Priced(plan, step_time(task.job, plan, task.engine), memory)


def in_words(plan: Plan) -> str:
    """A plan for people: tp 8 · pp 4, interleave 2 · dp 16 · micro-batch 1 · ZeRO 1 · full recomputation."""
    parts = [f"tp {plan.tp}", f"pp {plan.pp}" + (f", interleave {plan.interleave}" if plan.interleave > 1 else "")]
    parts += [f"{name} {getattr(plan, name)}" for name in ("cp", "ep") if getattr(plan, name) > 1]
    parts += [f"dp {plan.dp}", f"micro-batch {plan.micro_batch}"]
    parts += [f"ZeRO {plan.zero}"] if plan.zero else []
    parts += [f"over {plan.shard} each"] if plan.shard is not None else []
    parts.append("no recomputation" if plan.recompute == "none" else f"{plan.recompute} recomputation")
    parts += ["optimizer offloaded"] if plan.offload else []
    return " · ".join(parts)


def runners_up(task: Task, found: Found, winner: Priced) -> tuple[RunnerUp, ...]:
    """The next best layouts, and the faster ones that do not fit, each with its reason."""
    over = [priced(task, entry.plan) for entry in found.too_large[:TOO_LARGE]]
    others = [priced(task, entry.plan) for entry in found.best if entry.plan != winner.plan]
    chosen = [*others[: RUNNERS_UP - len(over)], *over]
    return tuple(_runner_up(task, each, winner) for each in chosen)


def _runner_up(task: Task, each: Priced, winner: Priced) -> RunnerUp:
    roomy = each.total_bytes <= task.room_bytes
    return RunnerUp(
        plan=asdict(each.plan),
        words=in_words(each.plan),
        step_s=float(each.step.step_s),
        memory_bytes=each.total_bytes,
        fits=each.total_bytes <= task.capacity_bytes,
        why=_why_slower(each, winner) if roomy else _why_not(each, winner, task),
    )


def _why_slower(each: Priced, winner: Priced) -> str:
    """How much slower, and the parts of the step that make most of the difference."""
    gap_s = float(each.step.step_s - winner.step.step_s)
    share = gap_s / float(winner.step.step_s)
    if share < ALIKE_SHARE:
        return f"as fast within {ALIKE_SHARE:.1%}, with {_gib(each)} instead of {_gib(winner)} GiB"
    more = sorted(((float(getattr(each.step, p) - getattr(winner.step, p)), p) for p in PARTS), reverse=True)
    telling = [f"{PARTS[p]} {_instead(each, winner, p)}" for more_s, p in more[:2] if more_s > TELLING_SHARE * gap_s]
    return f"{share:.1%} slower: {', '.join(telling)}"


def _instead(each: Priced, winner: Priced, part: str) -> str:
    here_s, there_s = float(getattr(each.step, part)), float(getattr(winner.step, part))
    return f"{duration(here_s)} instead of {duration(there_s) if there_s else 'none'}"


def _why_not(each: Priced, winner: Priced, task: Task) -> str:
    faster = 1 - float(each.step.step_s / winner.step.step_s)
    gained = f"; {faster:.0%} faster if it did" if faster > ALIKE_SHARE else ""
    if each.total_bytes <= task.capacity_bytes:
        return f"too tight: {_gib(each)} of {task.capacity_bytes / 2**30:.1f} GiB, known to {task.habits.spread:.1%}"
    return f"{missing(each, task.capacity_bytes)}{gained}"


def missing(each: Priced, capacity_bytes: int) -> str:
    """What does not fit, and where."""
    stage = f" on the {each.fullest} stage" if each.plan.pp > 1 else " on each device"
    return f"does not fit: {_gib(each)} of {capacity_bytes / 2**30:.1f} GiB{stage}"


def _gib(each: Priced) -> str:
    return f"{each.total_bytes / 2**30:.1f}"


def remedies(task: Task, short: Priced) -> Iterator[str]:
    """Changes of a plan that would make it fit, each tried alone; then what a search finds."""
    for words, plan in _changes(task, short.plan):
        changed = priced(task, plan)
        if changed.total_bytes <= task.capacity_bytes:
            slower = float(changed.step.step_s / short.step.step_s) - 1
            longer = f"{abs(slower):.0%} {'longer' if slower > 0 else 'shorter'}"
            yield f"{words} in the plan ({size(changed.total_bytes, 0)}, a step {longer})"
    best = search(task).best
    if best:
        yield f"--plan auto: {in_words(best[0].plan)}"
    else:
        yield from more_devices(task)


def _changes(task: Task, plan: Plan) -> Iterator[tuple[str, Plan]]:
    copies = plan.dp * plan.cp > 1
    if plan.recompute != "full":
        yield "recompute=full", replace(plan, recompute="full")
    if plan.micro_batch > 1:
        yield "micro_batch=1", replace(plan, micro_batch=1)
    if plan.zero == 0 and copies:
        yield "zero=1", replace(plan, zero=1)
    if plan.zero < 3 and copies and (plan.pp == 1 or task.habits.accumulated_bytes):
        yield "zero=3", replace(plan, zero=3)
        yield "zero=3,recompute=full", replace(plan, zero=3, recompute="full")
    if plan.dp % 2 == 0:
        wider = replace(plan, dp=plan.dp // 2, tp=plan.tp * 2, sequence_parallel=True)
        if wider.tp in tensor_parts(space(task.job, task.devices)):
            yield f"tp={wider.tp},dp={wider.dp}", wider
        deeper = replace(plan, dp=plan.dp // 2, pp=plan.pp * 2, interleave=1, zero=min(plan.zero, 1))
        if deeper.pp <= task.job.layers:
            yield f"pp={deeper.pp},dp={deeper.dp}", deeper


def more_devices(task: Task) -> Iterator[str]:
    """The first doubling of the devices on which something fits."""
    devices = task.devices * 2
    while devices <= task.devices * MOST_GROWTH:
        best = search(replace(task, devices=devices)).best
        if best:
            yield f"--devices {devices}: {in_words(best[0].plan)}"
            return
        devices *= 2
