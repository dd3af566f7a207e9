"""Small tables of constants: laws of the loss, constants of kernels. Each row is checked against its dataclass."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

FOLDER = Path(__file__).parent
Row = TypeVar("Row")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeLaw:
    """One member of the shape law; the letters stand in `quality.laws`."""

    name: str
    law: str
    counts: str
    floor: float
    capacity: float
    capacity_power: float
    data: float
    data_power: float
    curvature: float
    best_aspect: float
    aspect_drift: float
    coupling: float
    source: str
    checked: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelConstants:
    """How close the kernels of a runtime come to an accelerator's peaks, and what a launch costs."""

    name: str
    runtime: str
    compute_efficiency: float
    memory_efficiency: float
    launch_s: float
    sharpness: float
    attention_efficiency: float
    attention_launch_s: float
    kernels: int
    error_share: float
    source: str
    checked: str


def _rows(file: str, kind: type[Row]) -> tuple[Row, ...]:
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]  # every kind here is a dataclass
    found = []
    for name, row in tomllib.loads((FOLDER / file).read_text("utf-8")).items():
        if unknown := set(row) - known:
            raise ValueError(f"{file}: [{name}] has unknown keys {sorted(unknown)}; known are {sorted(known)}")
        values: dict[str, Any] = {**row, "name": name, "checked": str(row["checked"])}
        found.append(kind(**values))
    return tuple(found)


@cache
def shape_laws() -> tuple[ShapeLaw, ...]:
    """The members of the shape law."""
    return _rows("laws.toml", ShapeLaw)


@cache
def kernel_constants(accelerator: str) -> KernelConstants:
    """The fitted constants of an accelerator, or the middle of all where it was not measured."""
    rows = {row.name: row for row in _rows("runtimes.toml", KernelConstants)}
    return rows.get(accelerator, rows["default"])
