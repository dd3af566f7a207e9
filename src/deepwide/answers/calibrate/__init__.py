"""What do a user's own measurements say? A runtime's constants, corrected by a few runs, as a profile of their own.

Training runs correct the constants of a step, answers of a server those of a forward pass. Either way the fit starts
from the shipped constants nearest to what is asked, and leaves them only as far as the measurements insist.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepwide.answers.calibrate import answers as served
from deepwide.answers.calibrate import steps
from deepwide.answers.calibrate.answers import answers_s, served_answer, serving_start
from deepwide.answers.calibrate.calibrated import Calibration, Measured, Started, calibration
from deepwide.answers.calibrate.rows import Rows, measured_rows, told
from deepwide.answers.calibrate.steps import steps_s, training_run, training_start
from deepwide.calibration.points import Corrected, corrected
from deepwide.cost.training.engine import peak_flops_per_s
from deepwide.errors import BadInput
from deepwide.facts.accelerators import accelerator
from deepwide.facts.profiles_file import is_profile_file
from deepwide.facts.runtimes import find_runtime
from deepwide.facts.training import training_profile
from deepwide.robust import need_scipy

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_TIMES_OFF = 100.0  # from what is predicted: beyond it is a slip of units, such as milliseconds


def calibrate_training(
    rows: Rows,
    *,
    on: str,
    runtime: str = "",
    precision: str = "bf16",
    node_devices: int | None = None,
    network: str | float | None = None,
    out: str | Path | None = None,
) -> Calibration:
    """Corrects the constants of a training engine by measured steps: a CSV file, or mappings with its columns.

    Columns: model, devices, sequence, global_batch, plan (or tp, pp, dp, micro_batch, ...), step_s or tokens_per_s.
    """
    need_scipy()
    device = accelerator(on)
    peak_flops_per_s(device, precision)  # what is wrong with the question is no fault of a row
    if runtime:
        training_profile(runtime if is_profile_file(runtime) else runtime.lower(), device.name, precision)
    asked = {"runtime": runtime, "precision": precision, "node_devices": node_devices, "network": network}
    runs = [told(row, lambda each: training_run(each, device, asked)) for row in measured_rows(rows, steps.COLUMNS)]
    first = runs[0].setting
    start = training_start(first)

    def predict(values: Mapping[str, float]) -> NDArray[Any]:
        return steps_s(runs, {**start.constants, **values}, start)

    measured = [run.measured for run in runs]
    return calibration(start, measured, _corrected(predict, start, measured), name=_name(rows), out=out)


def calibrate_inference(
    rows: Rows, *, on: str, runtime: str = "", weights: str = "bf16", out: str | Path | None = None
) -> Calibration:
    """Corrects the constants of a runtime by measured answers: a CSV file, or mappings with its columns.

    Columns: model, input, output, tp, pp, batch or concurrency, weights, and any of prefill_s, ttft_s,
    decode_s_per_token, tokens_per_s. `weights` is what they are stored in where a row does not say.
    """
    need_scipy()
    device = accelerator(on)
    if runtime:
        find_runtime(runtime)
    asked = {"runtime": runtime, "weights": weights}
    answers = [
        told(row, lambda each: served_answer(each, device, asked)) for row in measured_rows(rows, served.COLUMNS)
    ]
    start = serving_start(device, answers)
    measured = [each for answer in answers for each in answer.measured]

    def predict(values: Mapping[str, float]) -> NDArray[Any]:
        return answers_s(answers, device, values, start)

    return calibration(start, measured, _corrected(predict, start, measured), name=_name(rows), out=out)


def _corrected(
    predict: Callable[[Mapping[str, float]], NDArray[Any]], start: Started, measured: Sequence[Measured]
) -> Corrected:
    """The fit; a measurement that no correction could reach is refused first."""
    import numpy as np

    seconds = np.array([m.seconds for m in measured])
    before = predict({name: p.value for name, p in start.prior.items()})
    for m, predicted_s in zip(measured, before, strict=True):
        if not 1 / MOST_TIMES_OFF < predicted_s / m.seconds < MOST_TIMES_OFF:
            expected = f"{m.shown(predicted_s):.3g} is predicted"
            raise BadInput(f"{m.where}: {m.measure}={m.measured:g} where {expected}; check its unit and what was asked")
    return corrected(predict, start.prior, seconds)


def _name(rows: Rows) -> str:
    return Path(rows).name if isinstance(rows, str | Path) else "rows given in Python"
