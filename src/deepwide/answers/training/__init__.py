"""What does training cost? The time of a step, what it is spent on, and the days, money and carbon of a run."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from deepwide.answers.answer import Answer
from deepwide.answers.models import Model, find_model
from deepwide.answers.training.plan_text import read_plan
from deepwide.answers.training.plan_verdict import (
    PARTS,
    Priced,
    RunnerUp,
    in_words,
    more_devices,
    offloaded,
    priced,
    recommended,
    recommended_words,
    remedies,
    runners_up,
)
from deepwide.answers.training.run import Run, Setting, setting
from deepwide.cost.bill import DAY_S, Bill, bill
from deepwide.cost.training.engine import peak_flops_per_s
from deepwide.cost.training.memory import StageMemory
from deepwide.cost.training.plans import Found, search
from deepwide.cost.training.plans_flops import MFU_CONVENTION, hardware_flops, model_flops
from deepwide.errors import BadInput
from deepwide.facts.accelerators import accelerator

BILLED = ("usd", "kwh", "kg_co2e", "embodied_kg_co2e")
RATES = ("tokens_per_s", "tokens_per_s_per_device", "mfu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Training(Answer):
    """The answer. `low` and `high` hold nine times of ten; days and the bill are None without tokens.

    breakdown      seconds of a step by part, adding up to step_s
    bubble         share of the step in which pipeline stages fill and drain
    memory         bytes by part on the fullest device, adding up to memory_bytes
    mfu, hfu       shares of the dense peak: by mfu_convention, and with what is computed again
    basis          the measurements that the constants come from
    evaluated      plans that were timed and weighed, in so many seconds; valid, fitting: that can run, that also fit
    """

    model: str
    on: str
    runtime: str
    devices: int
    fits: bool
    step_s: float
    tokens_per_s: float
    tokens_per_s_per_device: float
    mfu: float
    hfu: float
    bubble: float
    plan: dict[str, Any]
    plan_words: str
    memory_bytes: int
    capacity_bytes: int
    days: float | None
    usd: float | None
    kwh: float | None
    kg_co2e: float | None
    embodied_kg_co2e: float | None
    low: dict[str, float | None]
    high: dict[str, float | None]
    breakdown: dict[str, float]
    memory: dict[str, int]
    fullest_stage: str
    flops_per_step: int
    hardware_flops_per_step: int
    mfu_convention: str
    basis: dict[str, Any]
    evaluated: int
    valid: int
    fitting: int
    seconds: float
    run: Run
    runners_up: tuple[RunnerUp, ...] = ()
    remedies: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain values, under the keys that others rely on."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "run"}
        asked = {k: v for k, v in asdict(self.run).items() if k not in values}
        values["runners_up"] = [asdict(each) for each in self.runners_up]
        return {**values, **asked, "remedies": list(self.remedies), "notes": list(self.notes)}


def predict_training(model: str | Model, *, on: str, **run: Any) -> Training:
    """What a training run takes on so many accelerators: on a given plan, or on the fastest one that fits.

    The keywords are the fields of `Run`; a model that needs more than its name is found with `find_model`.

    >>> predict_training("llama-3-8b", on="h100", devices=8, plan="micro_batch=1,zero=2").fits
    True
    """
    found = find_model(model) if isinstance(model, str) else model
    asked = setting(found, accelerator(on), Run(**run))
    if asked.run.plan.strip().lower() != "auto":
        chosen = priced(asked.task, read_plan(asked.run.plan, asked.task))
        return _answer(asked, chosen, None)
    searched = search(asked.task)
    if searched.nearest is None:
        raise BadInput(_no_plan(asked))
    return _answer(asked, priced(asked.task, recommended(asked.task, searched) or searched.nearest.plan), searched)


def _no_plan(asked: Setting) -> str:
    batch, devices = asked.task.job.global_batch, asked.task.devices
    return (
        f"devices={devices} cannot be laid out: no tp * pp * cp leaves a number of copies that divides "
        f"global_batch={batch}; give a --global-batch that {devices} divides, or a rounder number of devices"
    )


def _answer(asked: Setting, chosen: Priced, searched: Found | None) -> Training:
    task, job = asked.task, asked.task.job
    fits = chosen.total_bytes <= task.capacity_bytes
    middle, low, high = _measures(asked, chosen)
    return Training(
        model=asked.model.name,
        on=asked.device.name,
        runtime=asked.run.runtime,
        devices=task.devices,
        fits=fits,
        **middle,
        hfu=middle["mfu"] * (hardware_flops(job, chosen.plan.recompute) / model_flops(job)),
        bubble=float(chosen.step.bubble_s / chosen.step.step_s),
        plan=asdict(chosen.plan),
        plan_words=in_words(chosen.plan),
        memory_bytes=chosen.total_bytes,
        capacity_bytes=task.capacity_bytes,
        low=low,
        high=high,
        breakdown={part: float(getattr(chosen.step, part)) for part in PARTS},
        memory=_memory(chosen.stage),
        fullest_stage=chosen.fullest,
        flops_per_step=int(model_flops(job)),
        hardware_flops_per_step=int(hardware_flops(job, chosen.plan.recompute)),
        mfu_convention=MFU_CONVENTION,
        basis=_basis(asked),
        **_counts(searched, fits),
        run=asked.run,
        runners_up=runners_up(task, searched, chosen) if searched and fits else (),
        remedies=() if fits else tuple(_remedies(asked, chosen, searched)),
        notes=(*asked.notes, *_notes(asked, chosen)),
    )


def _counts(searched: Found | None, fits: bool) -> dict[str, Any]:
    if searched is None:
        return {"evaluated": 1, "valid": 1, "fitting": int(fits), "seconds": 0.0}
    return {name: getattr(searched, name) for name in ("evaluated", "valid", "fitting", "seconds")}


def _measures(asked: Setting, chosen: Priced) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """What is measured of a step and of a run: the middle, and each at its low and at its high end."""
    spread, memory_spread = asked.profile.spread, asked.task.habits.spread
    times = _times(asked, float(chosen.step.step_s))
    days = times["days"]
    bill_of_time = _bill(asked, (days or 0) * DAY_S)  # made in any case: it refuses a price or a place that is none
    billed = None if days is None else bill_of_time
    ends = []
    for side in (-1, 1):
        end = {name: value and value * math.exp(side * spread) for name, value in times.items()}
        end |= {name: _billed(billed, name, side, spread) for name in BILLED}
        ends.append({**end, "memory_bytes": round(chosen.total_bytes * (1 + side * memory_spread))})
    return {**times, **{name: getattr(billed, name, None) for name in BILLED}}, ends[0], ends[1]


def _times(asked: Setting, step_s: float) -> dict[str, float | None]:
    """A step's time, and what follows from it."""
    job, devices, tokens = asked.task.job, asked.task.devices, asked.run.tokens
    tokens_per_s = int(job.global_batch * job.sequence) / step_s
    peak = peak_flops_per_s(asked.device, asked.run.precision)
    return {
        "step_s": step_s,
        "tokens_per_s": tokens_per_s,
        "tokens_per_s_per_device": tokens_per_s / devices,
        "mfu": int(model_flops(job)) / (step_s * devices * peak),
        "days": None if tokens is None else tokens / tokens_per_s / DAY_S,
    }


def _bill(asked: Setting, seconds: float) -> Bill:
    run = asked.run
    return bill(
        accelerator=asked.device,
        devices=run.devices,
        seconds=seconds,
        usd_per_device_hour=run.usd_per_hour,
        pue=run.pue,
        grid=run.grid,
    )


def _billed(billed: Bill | None, name: str, side: int, spread: float) -> float | None:
    """One end of an amount: the range of its rates and the spread of the time, independent of each other."""
    middle = getattr(billed, name, None)
    if not billed or not middle:
        return middle
    end = getattr(billed.low if side < 0 else billed.high, name)
    return float(middle * math.exp(side * math.hypot(spread, math.log(end / middle)))) if end else 0.0


def _memory(stage: StageMemory) -> dict[str, int]:
    return {f.name: int(getattr(stage, f.name)) for f in fields(StageMemory)}


def _basis(asked: Setting) -> dict[str, Any]:
    row = asked.profile
    named = {name: getattr(row, name) for name in ("rows", "error_share", "spread", "source", "checked")}
    network = asked.task.engine.network
    return {
        "profile": row.name,
        **named,
        "memory_habits": asked.task.habits.name,
        "node_devices": network.node_devices,
        "network_bytes_per_s": network.far.bytes_per_s / row.constants.far_efficiency,
    }


def _remedies(asked: Setting, chosen: Priced, searched: Found | None) -> Iterator[str]:
    """What would fit: another plan, more devices, shorter sequences, states with the host, adapters alone."""
    task = asked.task
    if searched is None:
        yield from remedies(task, chosen)
        return
    yield from more_devices(task)
    yield from offloaded(task, chosen.plan)
    shorter = int(task.job.sequence) // 2
    if shorter and (words := recommended_words(replace(task, job=replace(task.job, sequence=shorter)))):
        yield f"--sequence {shorter}: {words}"
    if asked.run.trainable == "all":
        lora = setting(asked.model, asked.device, replace(asked.run, trainable="lora"))
        if words := recommended_words(lora.task):
            yield f"--trainable lora: {words}"


def _notes(asked: Setting, chosen: Priced) -> Iterator[str]:
    if asked.run.tokens is None:
        yield "for days, usd, kwh and kg_co2e give the tokens of the run: --tokens 15T"
    task = asked.task
    if task.room_bytes < chosen.total_bytes <= task.capacity_bytes:
        yield f"memory is tight: {chosen.total_bytes / task.capacity_bytes:.1%} of it, and an allocator leaves gaps"
