"""Measured answers of a server: a row as a question with its shipped constants, and its times under others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from deepwide.answers.calibrate.calibrated import Measured, Started
from deepwide.answers.calibrate.rows import Columns, Row
from deepwide.answers.inference import MEASURES, Service, checked, times
from deepwide.answers.models import Model, find_model
from deepwide.calibration.inference import UNKNOWN, prior
from deepwide.cost.inference.engine import engine
from deepwide.errors import BadInput
from deepwide.facts.device import Accelerator
from deepwide.facts.runtimes import PHASES, Profile, profile

if TYPE_CHECKING:
    from numpy.typing import NDArray

COLUMNS = Columns(
    words=("model", "weights", "cache"),
    counts=("tp", "pp", "batch", "concurrency", "input", "output", "chunk"),
    measures=MEASURES[:-1],
    needed=("model", "input", "output"),
)
NEVER_FITTED = ("ideal",)  # bounds, which no measurement moves
UNMEASURED = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedAnswer:
    """A measured answer: the model, the question, the shipped constants for it, and what was measured of it."""

    model: Model
    service: Service
    by: Profile
    measured: tuple[Measured, ...]


def served_answer(row: Row, device: Accelerator, asked: Mapping[str, Any]) -> ServedAnswer:
    """A row as it can be predicted; BadInput where it cannot."""
    model = find_model(row.asked["model"])
    given = {**asked, **{key: value for key, value in row.asked.items() if key != "model"}}
    service = checked(Service(**given), model, device)
    load = f"{service.concurrency} served" if service.concurrency else f"batch {service.batch}"
    cut = "".join(f" · {name} {n}" for name, n in (("tp", service.tp), ("pp", service.pp)) if n > 1)
    run = f"{model.name} · {service.weights}{cut} · {load} · {service.input:,} + {service.output:,}"
    together = service.concurrency or service.batch
    return ServedAnswer(
        model=model,
        service=service,
        by=profile(service.runtime, device.name, service.weights),
        measured=tuple(
            Measured(
                where=row.where,
                run=run,
                measure=name,
                phase=_phase(name, service),
                measured=value,
                figure=float(together * service.output) if name == "tokens_per_s" else 0.0,
            )
            for name, value in row.measured.items()
        ),
    )


def _phase(measure: str, service: Service) -> str:
    if measure in ("prefill_s", "ttft_s"):
        return "prefill"
    return "serving" if service.concurrency else "decode"


def serving_start(device: Accelerator, answers: Sequence[ServedAnswer]) -> Started:
    """What is known of the runtime on the accelerator, with weights in the format that most rows have."""
    formats = [answer.service.weights for answer in answers]
    runtime, weights = answers[0].service.runtime, max(formats, key=formats.count)
    found = profile(runtime, device.name, weights)
    if found.runtime in NEVER_FITTED:
        raise BadInput(
            f"runtime={found.runtime!r} is a bound that no measurement moves; `default` is a tuned engine unknown"
        )
    return Started(
        kind="inference",
        runtime=found.runtime,
        accelerator=device.name,
        format=weights,
        name=f"{found.runtime} / {device.name} / {weights}",
        constants=asdict(found.constants),
        prior=prior(found.constants, UNKNOWN if found.runtime == UNMEASURED else 1.0),
        spread={phase: math.log(found.spread[phase]) for phase in PHASES},
    )


def answers_s(
    answers: Sequence[ServedAnswer], device: Accelerator, values: Mapping[str, float], start: Started
) -> NDArray[Any]:
    """Seconds of each measure; rows in other formats keep what the shipped tables make of the difference."""
    import numpy as np

    factors = {name: value / start.constants[name] for name, value in values.items()}
    found: list[float] = []
    for answer in answers:
        asked, own = answer.service, asdict(answer.by.constants)
        constants = replace(answer.by.constants, **{name: own[name] * factor for name, factor in factors.items()})
        by = replace(answer.by, constants=constants)
        on = engine(device, by, weights=asked.weights, cache=asked.cache, devices=asked.tp * asked.pp)
        predicted, _ = times(answer.model, asked, on)
        found += [m.shown(predicted[m.measure]) for m in answer.measured]  # a rate's seconds are its figure over it
    return np.array(found)
