"""The answer to a calibration: how far each run was predicted before and after, which constants moved, the range."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from deepwide import units
from deepwide.answers.answer import Answer
from deepwide.calibration.fit import Prior
from deepwide.calibration.points import LEAST_SPREAD, Corrected, spread_after
from deepwide.errors import BadInput
from deepwide.facts.profiles_file import ProfileFile, write_profile

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_CHANGES = 6
LEAST_INFLUENCE = 0.005  # of the time: constants that moved it by less are not worth a line
FEW_ROWS = 3
WILD = 2.0  # times the range before: farther from all others, a measurement is more likely a slip than a surprise


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One measurement: as it was measured, as it was predicted, and as the other measurements predict it.

    `low` and `high` are the range around `after`, which holds nine of ten.
    """

    where: str
    run: str
    measure: str
    phase: str
    measured: float
    before: float
    after: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration(Answer):
    """A runtime corrected by measurements. Errors are mean shares of the measured times.

    start          the shipped constants that were corrected
    error_after    of each measurement predicted from the others; error_own: of those that the fit has seen
    spread_before, spread_after    by phase, the factor that nine of ten lie within
    changed        the constants that moved the predictions most, in words
    out            the file that it was written to; --runtime takes it
    """

    kind: Literal["training", "inference"]
    runtime: str
    accelerator: str
    format: str
    start: str
    rows: int
    error_before: float
    error_after: float
    error_own: float
    spread_before: dict[str, float]
    spread_after: dict[str, float]
    changed: tuple[str, ...]
    points: tuple[Point, ...]
    constants: dict[str, float]
    out: str = ""
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain values."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values["points"] = [asdict(point) for point in self.points]
        return {**values, "changed": list(self.changed), "notes": list(self.notes)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One measured time: where it stands, which run, the measure's name, the phase of the runtime that it tells of.

    `measured` is the figure as given, and `figure` over it the seconds where it is a rate; else it is the seconds.
    """

    where: str
    run: str
    measure: str
    phase: str
    measured: float
    figure: float = 0.0

    @property
    def seconds(self) -> float:
        """The time that was measured."""
        return self.figure / self.measured if self.figure else self.measured

    def shown(self, seconds: float) -> float:
        """Seconds in the unit of the measurement."""
        return self.figure / seconds if self.figure else seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """What a calibration starts from. `spread` is, by phase, the logarithm within which nine of ten lie."""

    kind: Literal["training", "inference"]
    runtime: str
    accelerator: str
    format: str
    name: str
    constants: dict[str, float]
    prior: Mapping[str, Prior]
    spread: dict[str, float]
    node_devices: int | None = None
    network_bytes_per_s: float | None = None


def calibration(
    start: Started, measured: Sequence[Measured], found: Corrected, *, name: str, out: str | Path | None
) -> Calibration:
    """The answer; written to a file where one is asked for."""
    spread = _spread_after(start, measured, found)
    constants = {**start.constants, **found.values}
    error_after = _error(found.left_out)
    if out is not None:
        write_profile(Path(out), _profile(start, constants, spread, len(measured), error_after, name))
    return Calibration(
        kind=start.kind,
        runtime=start.runtime,
        accelerator=start.accelerator,
        format=start.format,
        start=start.name,
        rows=len(measured),
        error_before=_error(found.before),
        error_after=error_after,
        error_own=_error(found.own),
        spread_before={phase: math.exp(s) for phase, s in start.spread.items()},
        spread_after={phase: math.exp(s) for phase, s in spread.items()},
        changed=tuple(_changed(start, found)),
        points=tuple(_points(measured, found, spread)),
        constants=constants,
        out=str(out) if out is not None else "",
        notes=tuple(_notes(start, measured, found)),
    )


def _error(residuals: NDArray[Any]) -> float:
    """Mean absolute error, as a share of the measured time."""
    import numpy as np

    return float(np.abs(np.expm1(residuals)).mean())


def _spread_after(start: Started, measured: Sequence[Measured], found: Corrected) -> dict[str, float]:
    """By phase; one that nothing was measured of keeps the range it had."""
    phases = [m.phase for m in measured]
    return {
        phase: spread_after(found.left_out[[p == phase for p in phases]], before) if phase in phases else before
        for phase, before in start.spread.items()
    }


def _points(measured: Sequence[Measured], found: Corrected, spread: Mapping[str, float]) -> Iterator[Point]:
    for m, before, after in zip(measured, found.before, found.left_out, strict=True):
        predicted_s, factor = m.seconds * math.exp(after), math.exp(spread[m.phase])
        ends = sorted((m.shown(predicted_s / factor), m.shown(predicted_s * factor)))
        yield Point(
            where=m.where,
            run=m.run,
            measure=m.measure,
            phase=m.phase,
            measured=m.measured,
            before=m.shown(m.seconds * math.exp(before)),
            after=m.shown(predicted_s),
            low=ends[0],
            high=ends[1],
        )


def _changed(start: Started, found: Corrected) -> Iterator[str]:
    """The constants that moved the predictions, those that moved them most first."""
    ranked = sorted(found.influence, key=lambda name: -found.influence[name])
    for name in ranked[:MOST_CHANGES]:
        if found.influence[name] >= LEAST_INFLUENCE:
            yield f"{name} {_shown(name, start.constants[name])} -> {_shown(name, found.values[name])}"


def _shown(name: str, value: float) -> str:
    return units.duration(value) if name.endswith("_s") else f"{value:.3g}"


def _notes(start: Started, measured: Sequence[Measured], found: Corrected) -> Iterator[str]:
    runs = len({m.where for m in measured})
    if runs < FEW_ROWS:
        yield f"{runs} measured run{'s' if runs > 1 else ''} can hardly move the constants; ten tell much more"
    for m, own in zip(measured, found.own, strict=True):
        if abs(own) > WILD * max(start.spread[m.phase], LEAST_SPREAD):
            yield f"{m.where}: {m.measure}={m.measured:g} is far from what the other runs say; check its plan and unit"


def _profile(
    start: Started, constants: dict[str, float], spread: dict[str, float], rows: int, error_share: float, name: str
) -> ProfileFile:
    """What is written: training has the logarithms of its range, inference the factors, as the shipped tables do."""
    as_written = (lambda s: s) if start.kind == "training" else math.exp
    if any(not math.isfinite(value) for value in constants.values()):
        raise BadInput(f"{name}: no constants explain these runs; check their units and their plans")
    return ProfileFile(
        kind=start.kind,
        runtime=start.runtime,
        accelerator=start.accelerator,
        format=start.format,
        rows=rows,
        error_share=error_share,
        spread={phase: as_written(s) for phase, s in spread.items()},
        spread_elsewhere={phase: as_written(max(s, spread[phase])) for phase, s in start.spread.items()},
        constants=constants,
        source=f"{rows} measurements of {name[-100:]}, starting from {start.name[:300]}",
        checked=str(date.today()),
        node_devices=start.node_devices,
        network_bytes_per_s=start.network_bytes_per_s,
    )
