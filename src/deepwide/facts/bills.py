"""What money, energy and carbon are computed from: grids, prices, the carbon of making hardware. Each has its source.

The rows are in grids.toml, prices.toml and embodied.toml beside this file, whose heads state units and conventions.
"""

from __future__ import annotations

import statistics
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from deepwide.errors import BadInput, did_you_mean

FOLDER = Path(__file__).parent
KINDS = ("world", "country", "region", "fuel", "run")
CONFIDENCES = ("checked", "derived", "recalled")
Row = TypeVar("Row")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Grams of CO2e for each kWh of one place; low and high where its range is stated."""

    name: str
    gco2e_per_kwh: float
    kind: str
    source: str
    checked: date
    confidence: str
    low_gco2e_per_kwh: float | None = None
    high_gco2e_per_kwh: float | None = None
    year: int | None = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What one provider asked for an hour of one device."""

    accelerator: str
    provider: str
    usd_per_device_hour: float
    source: str
    checked: date
    confidence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """The latest prices of all providers of one device: the median, the range, and whose they are."""

    usd_per_device_hour: float
    low_usd_per_device_hour: float
    high_usd_per_device_hour: float
    prices: tuple[Price, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One piece of hardware, and the carbon of making each unit of it."""

    name: str
    amount: float
    unit: str
    kg_per_unit: float
    source: str
    checked: date
    confidence: str
    accelerators: tuple[str, ...] = ()


@cache
def grids() -> tuple[Grid, ...]:
    """All grids, sorted by name."""
    return tuple(
        _row(Grid, f"grids.toml: {name}", {**row, "name": name}) for name, row in _tables("grids.toml").items()
    )


def grid(name: str) -> Grid:
    """The grid of that name or alias, however it is cased and spaced.

    >>> grid("United States").gco2e_per_kwh
    379.26
    """
    found = _grids_by_name().get(_kebab(name))
    if found:
        return found
    hint = did_you_mean(_kebab(name), _grids_by_name())
    way_out = hint or f"; known are {_examples()} and most countries by their English names"
    raise BadInput(f"grid={name[:80]!r} is neither a number of g CO2e per kWh nor a known place{way_out}")


@cache
def prices() -> tuple[Price, ...]:
    """All prices, the older ones first."""
    listed = _tables("prices.toml")["price"]
    return tuple(_row(Price, f"prices.toml: row {number}", row) for number, row in enumerate(listed, start=1))


@cache
def quote(accelerator: str) -> Quote | None:
    """The latest prices of a device by its catalogue name; None where nobody's is known."""
    latest = {price.provider: price for price in prices() if price.accelerator == accelerator}
    if not latest:
        return None
    rates = [price.usd_per_device_hour for price in latest.values()]
    return Quote(
        usd_per_device_hour=statistics.median(rates),
        low_usd_per_device_hour=min(rates),
        high_usd_per_device_hour=max(rates),
        prices=tuple(latest.values()),
    )


@cache
def parts() -> tuple[Part, ...]:
    """All pieces of hardware whose making is known."""
    tables = _tables("embodied.toml")
    return tuple(_row(Part, f"embodied.toml: {name}", {**row, "name": name}) for name, row in tables.items())


def chip(accelerator: str) -> Part | None:
    """The chip of a device by its catalogue name; None where its making is unknown."""
    return next((part for part in parts() if accelerator in part.accelerators), None)


def server_parts() -> tuple[Part, ...]:
    """What a server has beside its accelerators, each once."""
    return tuple(part for part in parts() if not part.accelerators)


@cache
def _grids_by_name() -> Mapping[str, Grid]:
    return {name: each for each in grids() for name in (each.name, *each.aliases)}


def _examples() -> str:
    return ", ".join(each.name for each in grids() if each.kind in ("world", "region"))


def _kebab(name: str) -> str:
    return "-".join(name.casefold().replace("_", " ").replace("-", " ").split())


def _tables(file: str) -> dict[str, Any]:
    return tomllib.loads((FOLDER / file).read_text("utf-8"))


def _row(kind: type[Row], where: str, row: Mapping[str, Any]) -> Row:
    """A row as its dataclass: every key is known, and none is missing that has no default."""
    known = {f.name: f.default is MISSING for f in fields(kind)}  # type: ignore[arg-type]  # every kind is a dataclass
    unknown, missing = set(row) - set(known), {name for name, needed in known.items() if needed} - set(row)
    if unknown or missing:
        raise ValueError(f"{where}: unknown {sorted(unknown)}, missing {sorted(missing)}; known are {sorted(known)}")
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in row.items()})
