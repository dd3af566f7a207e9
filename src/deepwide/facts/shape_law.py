"""The constants of the project's own shape law: for every recipe that it was fitted on, and resampled."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from deepwide.errors import did_you_mean

FILE = Path(__file__).with_name("shape_law.toml")
DRAWS_FILE = Path(__file__).with_name("shape_law_draws.toml")
RECIPE = "gemstones/val_dolma/wsd_stable/dolma-1.7"  # the one with most shapes, measured on its own corpus
COUNTS = ("body and head", "body")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeConstants:
    """The constants of one member; the letters stand in `quality.shape`."""

    floor: float
    capacity: float
    capacity_power: float
    data: float
    data_power: float
    coupling: float
    curvature: float
    data_curvature: float
    best_aspect: float
    aspect_drift: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeLaw:
    """One member of the law for one recipe: source/loss/schedule/corpus.

    counts         what N is: body and head, or body
    held_out_nats  mean error of the mean of both members, on shapes left out of the fit one at a time
    held_out_sd    the deviation of a normal distribution that has the 90th percentile of the same errors
    """

    recipe: str
    counts: str
    constants: ShapeConstants
    rows: int
    shapes: int
    held_out_nats: float
    held_out_sd: float
    source: str
    checked: str


@cache
def recipes() -> dict[str, tuple[ShapeLaw, ...]]:
    """The members of the law by recipe."""
    found: dict[str, tuple[ShapeLaw, ...]] = {}
    for recipe, table in tomllib.loads(FILE.read_text("utf-8")).items():
        told = {**table, "checked": str(table["checked"]), "recipe": recipe}
        members: list[dict[str, Any]] = [
            {"counts": counts, "constants": _constants(told.pop(counts), recipe)} for counts in COUNTS
        ]
        if unknown := set(told) - {f.name for f in fields(ShapeLaw)}:
            raise ValueError(f"{FILE.name}: [{recipe}] has unknown keys {sorted(unknown)}")
        found[recipe] = tuple(ShapeLaw(**told, **member) for member in members)
    return found


def shape_laws(recipe: str = RECIPE) -> tuple[ShapeLaw, ...]:
    """The two members of the law for a recipe."""
    known = recipes()
    if recipe not in known:
        raise ValueError(f"the shape law has no recipe {recipe!r}{did_you_mean(recipe, known)}")
    return known[recipe]


@cache
def shape_law_draws() -> tuple[tuple[ShapeConstants, ...], ...]:
    """The members for the usual recipe, fitted again on shapes drawn with replacement: [draws][members]."""
    table = tomllib.loads(DRAWS_FILE.read_text("utf-8"))
    columns = [table[counts] for counts in COUNTS]
    count = len(columns[0]["floor"])
    return tuple(
        tuple(_constants({name: column[name][i] for name in column}, f"draw {i}") for column in columns)
        for i in range(count)
    )


def _constants(values: dict[str, Any], where: str) -> ShapeConstants:
    known = {f.name for f in fields(ShapeConstants)}
    if set(values) != known:
        raise ValueError(f"{where}: the constants are {sorted(values)} and should be {sorted(known)}")
    return ShapeConstants(**values)
