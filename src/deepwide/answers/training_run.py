"""What is asked about a training run, and what follows from it: the engine, the job, how memory is kept."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from deepwide.answers.limits import LONGEST_CONTEXT, MOST_DEVICES, MOST_TOKENS, whole
from deepwide.answers.load import LARGEST_RANK
from deepwide.answers.models import Model
from deepwide.cost.memory import lora_weights
from deepwide.cost.training.engine import engine
from deepwide.cost.training.memory_habits import MemoryHabits, memory_habits
from deepwide.cost.training.plan import Job
from deepwide.cost.training.plans import Task
from deepwide.cost.training.plans_space import divisors
from deepwide.errors import BadInput, did_you_mean
from deepwide.facts.accelerators import Accelerator, memory_for_use_bytes
from deepwide.facts.profiles_file import is_profile_file
from deepwide.facts.training import ANY, TrainingConstants, TrainingProfile, training_profile, training_profiles
from deepwide.units import parse_bytes_per_s

UNKNOWN_CONTEXT = 4096
LONGEST_DEFAULT = 8192  # pre-training reads 2k to 8k; longer contexts come in a short stage at its end
BATCH_TOKENS = 4 * 2**20  # of a step: GPT-3 took 3.2M, Llama 2 4M
TRAINABLE = ("all", "lora")
MODERN = ("megatron-bridge", "nemo", "megatron-core")  # engines that cut in every direction, the newest first
MAKERS = {"Google": "jax"}  # accelerators that those do not run on
# How an engine keeps memory (memory_habits.py), where that is not Megatron's.
HABITS = {
    "megatron-deepspeed": "megatron-deepspeed",
    "megatron-deepspeed-2021": "megatron-deepspeed",
    "megatron-deepspeed-jean-zay": "megatron-deepspeed",
    "torchtitan": "fsdp",
    "llm-foundry": "fsdp",
    "internevo": "internevo",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What is asked of a training run.

    tokens          of the whole run; without them there is a time per step, but no days and no bill
    sequence, global_batch    tokens of a sequence, sequences of a step; None for the stated default
    plan            "auto" for the fastest that fits, or a plan such as "tp=8,pp=4,micro_batch=1"
    runtime         an engine that was measured, or a calibrated profile (.toml); "" for the accelerator's usual one
    precision       what products are computed in
    trainable       "all" weights, or "lora": adapters of `rank`
    node_devices    devices that share the fast link; network: of each device, "400 Gb/s" or bytes per second
    usd_per_hour    of a device; grid: a place or g CO2e per kWh; pue: of the building
    """

    devices: int
    tokens: int | None = None
    sequence: int | None = None
    global_batch: int | None = None
    plan: str = "auto"
    runtime: str = ""
    precision: str = "bf16"
    trainable: str = "all"
    rank: int = 16
    node_devices: int | None = None
    network: str | float | None = None
    usd_per_hour: float | None = None
    grid: str | float = "world"
    pue: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A question with all its defaults filled in; `notes` say which."""

    run: Run
    model: Model
    device: Accelerator
    profile: TrainingProfile
    task: Task
    notes: tuple[str, ...] = ()


def setting(model: Model, device: Accelerator, asked: Run) -> Setting:
    """The question as it can be answered; BadInput where it cannot."""
    job, run, notes = _job(model, _checked(asked))
    run = replace(run, runtime=run.runtime or usual_runtime(device, run.precision))
    profile = training_profile(run.runtime, device.name, run.precision)
    network = profile.network_bytes_per_s if run.network is None else parse_bytes_per_s(run.network, "network")
    node_devices = run.node_devices or profile.node_devices
    driven = engine(device, profile.constants, run.precision, node_devices=node_devices, network_bytes_per_s=network)
    adapters = 0 if run.trainable == "all" else sum(w.parameters for w in lora_weights(model.ledger, run.rank))
    return Setting(
        run=run,
        model=model,
        device=device,
        profile=profile,
        task=Task(
            architecture=model.described(),
            job=job,
            engine=driven,
            habits=habits_of(run.runtime if profile.runtime == ANY else profile.runtime, profile.constants),
            devices=run.devices,
            capacity_bytes=memory_for_use_bytes(device),
            adapters=adapters,
        ),
        notes=(*model.notes, *notes, *_basis_notes(profile, device, run)),
    )


def usual_runtime(device: Accelerator, precision: str) -> str:
    """The engine to ask about where none is named: the newest that was measured on the accelerator."""
    if device.vendor in MAKERS:
        return MAKERS[device.vendor]
    rows = training_profiles()
    for wanted in ((device.name, precision), (device.name, None)):
        for family in MODERN:
            found = [r for r in rows if _is(r, family) and r.accelerator == wanted[0] and wanted[1] in (None, r.format)]
            if found:
                return max(found, key=lambda row: row.rows).runtime
    return next(row.runtime for family in reversed(MODERN) for row in rows if _is(row, family))


def _is(row: TrainingProfile, family: str) -> bool:
    """Whether an engine is one of a family: its name, perhaps with a version."""
    return row.runtime == family or row.runtime.startswith(f"{family}-")


def habits_of(runtime: str, constants: TrainingConstants) -> MemoryHabits:
    """How an engine keeps memory; one without a fused attention kernel keeps scores, and masks of their dropout."""
    own = memory_habits(HABITS.get(runtime, "megatron"))
    fused = constants.score_passes == 0
    return replace(own, flash=fused, dropout=own.dropout or not fused)


def default_batch(devices: int, sequence: int) -> int:
    """Sequences of a step where none are given: about 4M tokens, as a power of two times a divisor of the devices.

    >>> default_batch(3072, 2048)
    1536
    """
    target = max(1, BATCH_TOKENS // sequence)
    share = max(n for n in divisors(devices) if n <= target)
    return int(share * 2 ** round(math.log2(target / share)))


def _checked(asked: Run) -> Run:
    """Numbers within bounds, words that are known."""
    values: dict[str, Any] = {"devices": whole("devices", asked.devices, 1, MOST_DEVICES)}
    bounds = {"tokens": MOST_TOKENS, "sequence": LONGEST_CONTEXT, "global_batch": MOST_DEVICES}
    bounds |= {"node_devices": MOST_DEVICES, "rank": LARGEST_RANK}
    for name, most in bounds.items():
        if getattr(asked, name) is not None:
            values[name] = whole(name, getattr(asked, name), 1, most)
    values |= {name: str(getattr(asked, name)).lower() for name in ("trainable", "precision")}
    runtime = str(asked.runtime).strip()
    values["runtime"] = runtime if is_profile_file(runtime) else runtime.lower()
    if values["trainable"] not in TRAINABLE:
        hint = did_you_mean(values["trainable"], TRAINABLE)
        raise BadInput(f"trainable={asked.trainable!r} is unknown{hint}; choose one of {', '.join(TRAINABLE)}")
    price: Any = asked.usd_per_hour
    if price is not None and not (isinstance(price, int | float) and 0 <= price < math.inf):
        raise BadInput(f"usd_per_hour={price!r} must be dollars for an hour of a device; leave it out for list prices")
    return replace(asked, **values, grid=_grid(asked.grid))


def _grid(said: str | float) -> str | float:
    """A place, or g CO2e per kWh."""
    try:
        return float(said)
    except ValueError:
        return said


def _job(model: Model, run: Run) -> tuple[Job, Run, list[str]]:
    """What is trained, with the defaults that the model gives."""
    architecture, notes = model.described(), []
    if len(architecture.stacks) > 1:
        names = " and ".join(stack.name for stack in architecture.stacks)
        raise BadInput(f"{model.name} has {names}: a plan is for models of one stack; `memory --train` takes this one")
    stated = int(architecture.context) if architecture.context else None
    sequence = run.sequence or min(stated or UNKNOWN_CONTEXT, LONGEST_DEFAULT)
    if run.sequence is None:
        own = f"the model's own {stated:,}" if stated else "the model states none"
        notes.append(f"sequence={sequence} assumed ({own}); --sequence gives another")
    elif stated and sequence > stated:
        notes.append(f"sequence={sequence} is longer than the {stated} tokens the model states")
    batch = run.global_batch or default_batch(run.devices, sequence)
    if run.global_batch is None:
        size = f"{batch * sequence / 1e6:.3g}M tokens a step"
        notes.append(f"global_batch={batch} assumed ({size}); --global-batch gives another")
    if run.tokens is not None and run.tokens < batch * sequence:
        notes.append(f"tokens={run.tokens} are less than one step of {batch * sequence}")
    job = Job(
        ledger=model.ledger,
        layers=int(architecture.main.layers),
        sequence=sequence,
        global_batch=batch,
        trainable="lora" if run.trainable == "lora" else "all",
    )
    return job, replace(run, sequence=sequence, global_batch=batch), notes


def _basis_notes(profile: TrainingProfile, device: Accelerator, run: Run) -> list[str]:
    """Where the constants are not this engine's on this accelerator in this format."""
    if (profile.accelerator, profile.format) == (device.name, run.precision):
        return []
    return [f"no measured steps of {run.runtime} on {device.name} in {run.precision}: constants of {profile.name}"]
