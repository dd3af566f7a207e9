"""The answer of a machine's calibration: what it reaches, and how well it predicts models it was not fitted on."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass, fields
from typing import Any

from deepwide.answers.answer import Answer

PHASES = {"decode": "each token", "prefill": "a prompt", "step": "a training step"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A time of a model that was not fitted on: measured, by the roofline alone, and by the fitted constants."""

    what: str
    model: str
    setting: str
    measured_s: float
    roofline_s: float
    predicted_s: float
    low_s: float
    high_s: float

    @property
    def error(self) -> float:
        """Of the prediction, as a share of what was measured."""
        return self.predicted_s / self.measured_s - 1

    @property
    def roofline_error(self) -> float:
        """Of the roofline."""
        return self.roofline_s / self.measured_s - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineCalibration(Answer):
    """The answer: what the machine reaches, what was fitted, and how well it predicts what it has not seen.

    coverage          share of the checks that lie within their interval
    noise             upper over lower quartile of repeated times, of the measurement that repeats worst but one in ten
    """

    name: str
    out: str
    machine: str
    accelerator: dict[str, Any]
    kernels: dict[str, Any]
    threads: int
    inference: dict[str, Any]
    training: dict[str, Any]
    checks: tuple[Check, ...]
    coverage: float
    noise: float
    seconds: float
    notes: tuple[str, ...] = ()

    def median_error(self, what: str, roofline: bool = False) -> float:
        """The median absolute error of the checks of a kind."""
        return statistics.median(abs(c.roofline_error if roofline else c.error) for c in self.checks if c.what == what)

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain values."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        checks = [{**asdict(c), "error": c.error, "roofline_error": c.roofline_error} for c in self.checks]
        errors = {
            what: {"roofline": self.median_error(what, True), "calibrated": self.median_error(what)} for what in PHASES
        }
        return {**values, "checks": checks, "median_errors": errors, "notes": list(self.notes)}
