"""Small tables of constants: laws of the loss. Each row is checked against its dataclass."""

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
    """One member of the shape law; the letters stand in `quality.shape`."""

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


def rows(file: str, kind: type[Row]) -> tuple[Row, ...]:
    """The tables of a file in this folder, each checked against the fields of its kind."""
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
    return rows("laws.toml", ShapeLaw)
