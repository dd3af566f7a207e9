"""Measured training steps: a row as a job with its plan, and its time under any constants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from deepwide.answers.calibrate.calibrated import Measured, Started
from deepwide.answers.calibrate.rows import Columns, Row
from deepwide.answers.models import find_model
from deepwide.answers.training.plan_text import KEYS, read_plan
from deepwide.answers.training.run import Run, Setting, setting
from deepwide.calibration.training import prior
from deepwide.cost.training.engine import engine
from deepwide.cost.training.plan import Plan
from deepwide.cost.training.step import step_time
from deepwide.errors import BadInput
from deepwide.facts.device import Accelerator

if TYPE_CHECKING:
    from numpy.typing import NDArray

COLUMNS = Columns(
    words=("model", "plan", *KEYS, "trainable"),
    counts=("devices", "sequence", "global_batch", "rank"),
    measures=("step_s", "tokens_per_s"),
    needed=("model", "devices", "sequence", "global_batch"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRun:
    """A measured step: the question, its plan, and what was measured."""

    setting: Setting
    plan: Plan
    measured: Measured


def training_run(row: Row, device: Accelerator, asked: Mapping[str, Any]) -> TrainingRun:
    """A row as it can be predicted; BadInput where it cannot."""
    plan_keys = {key: row.asked[key] for key in KEYS if key in row.asked}
    text = row.asked.get("plan", "")
    if text and plan_keys:
        raise BadInput(f"plan={text!r} and {next(iter(plan_keys))} say the same twice; give one of them")
    if text.lower() == "auto":
        raise BadInput("plan='auto' is no plan of a run that was measured; write it out: tp=8,pp=4,micro_batch=1")
    if len(row.measured) > 1:
        raise BadInput("step_s and tokens_per_s say the same twice; give one of them")
    counts = {key: row.asked[key] for key in (*COLUMNS.counts, "trainable") if key in row.asked}
    found = setting(find_model(row.asked["model"]), device, Run(**counts, **asked))
    plan = read_plan(text or ",".join(f"{k}={v}" for k, v in plan_keys.items()) or "tp=1", found.task)
    measure, value = next(iter(row.measured.items()))
    job = found.task.job
    return TrainingRun(
        setting=found,
        plan=plan,
        measured=Measured(
            where=row.where,
            run=f"{found.model.name} · {found.task.devices:,} × {_short(plan)} · {job.global_batch} × {job.sequence}",
            measure=measure,
            phase="step",
            measured=value,
            figure=float(job.global_batch * job.sequence) if measure == "tokens_per_s" else 0.0,
        ),
    )


def _short(plan: Plan) -> str:
    """The plan as it is written, without what is 1 or none."""
    usual = Plan(sequence_parallel=plan.sequence_parallel)
    said = [f"{key}={value}" for key, value in asdict(plan).items() if value != getattr(usual, key)]
    return ",".join(said) or "dp=1"


def training_start(first: Setting) -> Started:
    """What is known of the engine, on the network that was asked for."""
    found, run = first.profile, first.run
    network = first.task.engine.network
    stated = run.network is not None or found.network_bytes_per_s is not None
    return Started(
        kind="training",
        runtime=found.runtime,
        accelerator=first.device.name,
        format=run.precision,
        name=found.name,
        constants=asdict(found.constants),
        prior=prior(found.constants),
        spread={"step": found.spread},
        node_devices=run.node_devices or found.node_devices,
        network_bytes_per_s=float(network.far.bytes_per_s) / found.constants.far_efficiency if stated else None,
    )


def steps_s(runs: Sequence[TrainingRun], values: Mapping[str, float], start: Started) -> NDArray[Any]:
    """Seconds of each step under these constants."""
    import numpy as np

    constants = replace(runs[0].setting.profile.constants, **values)
    driven = engine(
        runs[0].setting.device,
        constants,
        start.format,
        node_devices=start.node_devices,
        network_bytes_per_s=start.network_bytes_per_s,
    )
    return np.array([float(step_time(run.setting.task.job, run.plan, driven).step_s) for run in runs])
