"""What is said of plans: one in words, why another one lost, and what would make one fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, NamedTuple

from deepwide.answers.training.plan_text import as_text, refusals, spelled
from deepwide.cost.training.memory import StageMemory, TrainingMemory, peak_training_bytes
from deepwide.cost.training.plan import Plan
from deepwide.cost.training.plans import Found, Task, search
from deepwide.cost.training.step import Step, step_time
from deepwide.units import duration, size

RUNNERS_UP = 5
TOO_LARGE = 1  # of these, the faster plans that do not fit
NEARLY = 1.5  # times the memory: of a plan that needs more there is nothing to learn
ALIKE_SHARE = 0.005  # times closer than this are called the same
TELLING_SHARE = 0.25  # a part that makes up less of the difference is not worth a word
BEYOND_NODE_SHARE = 0.05  # what tensor parallelism beyond a node has to gain before it is recommended
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


def recommended(task: Task, found: Found) -> Plan | None:
    """The fastest plan that fits; before it one nearly as fast whose tensor parallelism stays inside a node.

    Narayanan et al. 2021, arXiv:2104.04473, takeaway 1
    """
    if not found.best:
        return None
    limit_s = (1 + BEYOND_NODE_SHARE) * found.best[0].value
    inside = [e for e in found.best if e.plan.tp <= task.engine.network.node_devices and e.value <= limit_s]
    return (inside or found.best)[0].plan


def recommended_words(task: Task) -> str:
    """The plan that a search recommends, in words; empty where nothing fits."""
    plan = recommended(task, search(task))
    return in_words(plan) if plan else ""


def in_words(plan: Plan) -> str:
    """A plan for people: tp 8 · pp 4, interleave 2 · dp 16 · micro-batch 1 · ZeRO 1 · full recomputation."""
    parts = [f"tp {plan.tp}", f"pp {plan.pp}" + (f", interleave {plan.interleave}" if plan.interleave > 1 else "")]
    parts += [f"{name} {getattr(plan, name)}" for name in ("cp", "ep") if getattr(plan, name) > 1]
    parts += [f"dp {plan.dp}", f"micro-batch {plan.micro_batch}"]
    parts += [f"ZeRO {plan.zero}"] if plan.zero else []
    parts += [f"over {plan.shard} each"] if plan.shard is not None else []
    parts += [f"{plan.recompute} recomputation"] if plan.recompute != "none" else []
    parts += ["optimizer offloaded"] if plan.offload else []
    return " · ".join(parts)


def runners_up(task: Task, found: Found, winner: Priced) -> tuple[RunnerUp, ...]:
    """The next best layouts, and the faster ones that do not fit, each with its reason."""
    faster = [priced(task, entry.plan) for entry in found.too_large]
    over = [each for each in faster if each.total_bytes <= NEARLY * task.capacity_bytes][:TOO_LARGE]
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
        why=_why_slower(each, winner, task) if roomy else _why_not(each, winner, task),
    )


def _why_slower(each: Priced, winner: Priced, task: Task) -> str:
    """How much slower, and the parts of the step that make most of the difference."""
    node = task.engine.network.node_devices
    gap_s = float(each.step.step_s - winner.step.step_s)
    share = gap_s / float(winner.step.step_s)
    if each.plan.tp > node and share < 0:
        return f"{-share:.1%} faster, but tp {each.plan.tp} reaches beyond a node of {node} devices"
    if share < ALIKE_SHARE:
        return f"as fast within {ALIKE_SHARE:.1%}, with {_gib(each)} instead of {_gib(winner)} GiB"
    more = sorted(((float(getattr(each.step, p) - getattr(winner.step, p)), p) for p in PARTS), reverse=True)
    telling = [f"{PARTS[p]} {_instead(each, winner, p)}" for more_s, p in more[:2] if more_s > TELLING_SHARE * gap_s]
    return f"{share:.1%} slower: {'; '.join(telling) or 'a little of everything'}"


def _instead(each: Priced, winner: Priced, part: str) -> str:
    here_s, there_s = float(getattr(each.step, part)), float(getattr(winner.step, part))
    return f"{duration(here_s)}, not {duration(there_s)}" if there_s else f"{duration(here_s)} more"


def _why_not(each: Priced, winner: Priced, task: Task) -> str:
    faster = 1 - float(each.step.step_s / winner.step.step_s)
    gained = f"; {faster:.0%} faster if it did" if faster > ALIKE_SHARE else ""
    if each.total_bytes <= task.capacity_bytes:
        return f"too tight: {_gib(each)} of {task.capacity_bytes / 2**30:.1f} GiB, and an allocator leaves gaps"
    return f"{missing(each, task.capacity_bytes)}{gained}"


def missing(each: Priced, capacity_bytes: int) -> str:
    """What does not fit, and where."""
    stage = f" on the {each.fullest} stage" if each.plan.pp > 1 else " on each device"
    return f"does not fit: {_gib(each)} of {capacity_bytes / 2**30:.1f} GiB{stage}"


def _gib(each: Priced) -> str:
    return f"{each.total_bytes / 2**30:.1f}"


def remedies(task: Task, short: Priced) -> Iterator[str]:
    """Changes of a plan that would make it fit, each tried alone; then what a search finds."""
    for plan in _changes(task, short.plan):
        changed = priced(task, plan)
        if changed.total_bytes <= task.capacity_bytes and not any(refusals(plan, task)):
            slower = float(changed.step.step_s / short.step.step_s) - 1
            longer = f"{abs(slower):.0%} {'longer' if slower > 0 else 'shorter'}"
            yield f"{_difference(short.plan, plan)} in the plan ({size(changed.total_bytes, 0)}, a step {longer})"
    if words := recommended_words(task):
        yield f"--plan auto: {words}"
    else:
        yield from (f"--plan auto {more}" for more in more_devices(task))


def _difference(short: Plan, plan: Plan) -> str:
    """The keys in which two plans differ; sequence parallelism follows tensor parallelism without a word."""
    names = [f.name for f in fields(Plan) if f.name != "sequence_parallel"]
    return ",".join(spelled(name, getattr(plan, name)) for name in names if getattr(plan, name) != getattr(short, name))


def _changes(task: Task, plan: Plan) -> Iterator[Plan]:
    if plan.recompute != "full":
        yield replace(plan, recompute="full")
    if plan.micro_batch > 1:
        yield replace(plan, micro_batch=1)
    if plan.dp * plan.cp > 1:
        if plan.zero == 0:
            yield replace(plan, zero=1)
        if plan.zero < 3:
            yield replace(plan, zero=3)
            yield replace(plan, zero=3, recompute="full")
    if plan.dp % 2 == 0:
        usual = plan.sequence_parallel == (plan.tp > 1)
        yield replace(plan, dp=plan.dp // 2, tp=plan.tp * 2, sequence_parallel=usual or plan.sequence_parallel)
        yield replace(plan, dp=plan.dp // 2, pp=plan.pp * 2, interleave=1, zero=min(plan.zero, 1))
    if not plan.offload:
        yield replace(plan, offload=True)


def offloaded(task: Task, plan: Plan) -> Iterator[str]:
    """The plan with its optimiser states in host memory, where that makes it fit."""
    moved = replace(plan, offload=True)
    if priced(task, moved).total_bytes <= task.capacity_bytes:
        yield f"--plan {as_text(moved)}"


def more_devices(task: Task) -> Iterator[str]:
    """The first doubling of the devices on which something fits."""
    devices = task.devices * 2
    while devices <= task.devices * MOST_GROWTH:
        if words := recommended_words(replace(task, devices=devices)):
            yield f"--devices {devices}: {words}"
            return
        devices *= 2
