"""What is asked about a training run, and what follows from it: the engine, the job, how memory is kept."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from deepwide.answers.limits import LONGEST_CONTEXT, MOST_DEVICES, MOST_TOKENS, whole
from deepwide.answers.load import LARGEST_RANK
from deepwide.answers.models import Model
from deepwide.architecture.adapters import lora_parameters
from deepwide.architecture.model import Architecture
from deepwide.cost.memory import overhead_bytes
from deepwide.cost.training.engine import FORMATS, engine
from deepwide.cost.training.memory_habits import MemoryHabits, memory_habits
from deepwide.cost.training.plan import Job
from deepwide.cost.training.plans import Task
from deepwide.cost.training.plans_space import divisors
from deepwide.errors import BadInput, did_you_mean
from deepwide.facts.device import Accelerator, memory_for_use_bytes
from deepwide.facts.profiles_file import is_profile_file
from deepwide.facts.training import ANY, TrainingConstants, TrainingProfile, training_profile, training_profiles
from deepwide.units import parse_bytes_per_s

UNKNOWN_CONTEXT = 4096
LONGEST_DEFAULT = 8192  # pre-training reads 2k to 8k; longer contexts come in a short stage at its end
# Tokens of a step: 4M as GPT-3, Llama 2 and Falcon 180B took on up to 4,096 devices, then 1,024 for each device, as
# Llama 3 took 16M on 16,384; DeepSeek-V3 took the most, 63M.
BATCH_TOKENS, BATCH_TOKENS_PER_DEVICE, MOST_BATCH_TOKENS = 4 * 2**20, 2**10, 64 * 2**20
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
    precision       what products are computed in; "" for bf16, or the nearest that the accelerator has
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
    precision: str = ""
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
    precision = own_precision(device, run.precision)
    run = replace(run, precision=precision, runtime=run.runtime or usual_runtime(device, precision))
    profile = _profile(run, device)
    network = profile.network_bytes_per_s if run.network is None else parse_bytes_per_s(run.network, "network")
    node_devices = run.node_devices or profile.node_devices
    driven = engine(device, profile.constants, run.precision, node_devices=node_devices, network_bytes_per_s=network)
    habits = habits_of(run.runtime if profile.runtime == ANY else profile.runtime, profile.constants)
    return Setting(
        run=run,
        model=model,
        device=device,
        profile=profile,
        task=Task(
            architecture=model.described(),
            job=job,
            engine=driven,
            habits=replace(habits, fixed_bytes=habits.fixed_bytes or overhead_bytes(run.devices)),
            devices=run.devices,
            capacity_bytes=memory_for_use_bytes(device),
            adapters=0 if run.trainable == "all" else lora_parameters(model.ledger, run.rank),
        ),
        notes=(*model.notes, *notes, *_basis_notes(profile, device, run, asked)),
    )


def own_precision(device: Accelerator, asked: str) -> str:
    """The number format asked for, which the accelerator must have; where none is, the first that it has after bf16."""
    own = [name for name in FORMATS["bf16"] if name in device.peak_flops_per_s]
    if not asked and device.usual:
        return device.usual.products
    if not asked:
        return own[0] if own else "bf16"
    if asked in FORMATS["bf16"] and own and asked not in own:
        raise BadInput(f"precision={asked!r}: {device.name} has no {asked}; give one of {', '.join(own)}")
    return asked


def _profile(run: Run, device: Accelerator) -> TrainingProfile:
    """The engine's constants; away from what was measured, its range is at least that of an unknown engine's."""
    found = training_profile(run.runtime, device.name, run.precision)
    if is_profile_file(run.runtime) or (found.accelerator, found.format) == (device.name, run.precision):
        return found
    strange = training_profile(ANY, device.name, run.precision)
    return replace(found, spread=max(found.spread, strange.spread))


def usual_runtime(device: Accelerator, precision: str) -> str:
    """The engine to ask about where none is named: the newest that was measured on the accelerator."""
    if device.usual:
        return device.usual.runtime
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
    """Sequences of a step where none are given: a power of two times a divisor of the devices.

    About 4M tokens, 1,024 for each device where that is more, and never more than 64M.

    >>> default_batch(3072, 2048)
    1536
    """
    tokens = min(max(BATCH_TOKENS, BATCH_TOKENS_PER_DEVICE * devices), MOST_BATCH_TOKENS)
    target = max(1, tokens // sequence)
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
    architecture, notes = _architecture(model), []
    stated = int(architecture.context) if architecture.context else None
    sequence = run.sequence or min(stated or UNKNOWN_CONTEXT, LONGEST_DEFAULT)
    if run.sequence is None:
        own = f"the model reads up to {stated:,}" if stated else "the model states none"
        notes.append(f"sequence={sequence} assumed ({own}); see --sequence")
    elif stated and sequence > stated:
        notes.append(f"sequence={sequence} is longer than the {stated} tokens the model states")
    batch = run.global_batch or default_batch(run.devices, sequence)
    if run.global_batch is None:
        size = f"{batch * sequence / 1e6:.3g}M tokens"
        notes.append(f"global_batch={batch} assumed ({size}: 4M, or 1,024 a device if more)")
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


def _architecture(model: Model) -> Architecture:
    """What is cut by a plan: one stack of layers that read all tokens at once; BadInput for anything else."""
    architecture = model.described()
    if len(architecture.stacks) > 1:
        names = " and ".join(stack.name for stack in architecture.stacks)
        raise BadInput(f"{model.name} has {names}: a plan is for models of one stack; `memory --train` takes this one")
    if not architecture.main.layers:
        raise BadInput(f"{model.name} has no layers that a plan could cut; give a whole model")
    if not any(w.name.startswith(f"{architecture.main.name}.") for w in model.ledger.weights):
        raise BadInput(f"{model.name}: what its layers compute is not known from its tensors; give its config.json")
    if any(".lstm." in op.name for op in model.ledger.ops):
        raise BadInput(f"{model.name} is an LSTM, which reads its tokens one by one; a step's time is not predicted")
    return architecture


def _basis_notes(profile: TrainingProfile, device: Accelerator, run: Run, asked: Run) -> list[str]:
    """Where constants or number formats are not this engine's on this accelerator."""
    notes = []
    if not asked.precision and run.precision != "bf16" and not device.usual:
        notes.append(f"precision={run.precision} assumed: {device.name} has no bf16")
    if run.precision in ("tf32", "fp32"):
        notes.append("memory and traffic are those of 16-bit weights and activations")
    if (profile.accelerator, profile.format) != (device.name, run.precision):
        notes.append(f"{run.runtime} was not measured on {device.name} in {run.precision}: ranges are wider")
    return notes
