"""What every section of the accuracy report shares: a row, and how files are found and models looked up."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One case: what was published and what is predicted; `excluded` is the reason where nothing is.

    FLOPs are published by the counter's convention; `hardware` is the same pass by the hardware convention.
    `more` holds what else a section's own figures need.
    """

    id: str
    source: str
    published: float = 0
    predicted: float = 0
    low: float = 0
    high: float = 0
    baseline: float | None = None
    hardware: float | None = None
    excluded: str = ""
    more: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The row as plain values."""
        return asdict(self)


def exact(
    *,
    id: str,
    source: str,
    published: int,
    predicted: int,
    baseline: float | None = None,
    hardware: float | None = None,
) -> Row:
    """A row whose prediction has no width: it is right to the last unit, or wrong."""
    return Row(
        id=id,
        source=source,
        published=published,
        predicted=predicted,
        low=predicted,
        high=predicted,
        baseline=baseline,
        hardware=hardware,
    )


def json_lines(folder: Path, pattern: str) -> Iterator[dict[str, Any]]:
    """The objects of all files of that name, each with the file it came from under `_file`."""
    for path in sorted(folder.glob(pattern)):
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                if line.strip():
                    yield {**json.loads(line), "_file": path.name}


def csv_rows(folder: Path, pattern: str) -> Iterator[dict[str, str]]:
    """The rows of all files of that name, each with the file it came from under `_file`."""
    for path in sorted(folder.glob(pattern)):
        with path.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                yield {**row, "_file": path.name}
