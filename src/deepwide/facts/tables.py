"""Small tables of constants, one row a thing: each is checked against its dataclass."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

FOLDER = Path(__file__).parent
Row = TypeVar("Row")


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
