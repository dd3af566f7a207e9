"""The rows of metrics.jsonl: one JSON object a line, and a line counts once it has ended.

A kill or a full disk can cut the last line short: readers pass it over, and the next writer cuts it off before it
appends. A value that is null was not finite.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from deepwide.lab.store.files import plain

METRICS = "metrics.jsonl"
ORDER = (
    "step",
    "tokens",
    "loss",
    "validation_loss",
    "learning_rate",
    "gradient_norm",
    "tokens_per_s",
    "mfu",
    "seconds",
)
LONGEST_LINE = 65_536  # of a row of nine numbers, 200
MOST_STEPS = 2**53
Row = dict[str, Any]
DECODER = json.JSONDecoder(parse_constant=lambda word: None)  # NaN, as others write it, is null here


def line_of(row: Mapping[str, Any]) -> bytes:
    """One row as it is written."""
    step = row.get("step")
    if not isinstance(step, int) or isinstance(step, bool) or not 0 <= step <= MOST_STEPS:
        raise ValueError(f"a row of metrics needs the step it is of, not {step!r}")
    try:
        text = json.dumps(row, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError):  # not finite, or a tensor
        text = json.dumps(plain(row), allow_nan=False, separators=(",", ":"))
    return text.encode() + b"\n"


def row_of(line: bytes) -> Row | None:
    """The row of a line; None where it has not ended or is no row."""
    if not line.endswith(b"\n") or len(line) > LONGEST_LINE:
        return None
    try:
        row = DECODER.decode(line.decode())
    except (ValueError, RecursionError):
        return None
    step = row.get("step") if isinstance(row, dict) else None
    whole = isinstance(step, int) and not isinstance(step, bool) and 0 <= step <= MOST_STEPS
    return row if whole else None


def rows_from(path: Path, start: int = 0) -> Iterator[tuple[Row | None, int]]:
    """The rows from a byte on, each with the byte that follows it; None for a line that is no row.

    Of a line that never ends no more is read than a row may have.
    """
    with path.open("rb") as file:
        file.seek(start)
        end = start
        while line := file.readline(LONGEST_LINE + 1):
            if not line.endswith(b"\n") and len(line) <= LONGEST_LINE:
                return  # the torn end
            end += len(line)
            yield row_of(line), end


def number(row: Mapping[str, Any], key: str) -> float | None:
    """A finite number of a row."""
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        value = float(value)
    except OverflowError:
        return None
    return value if value - value == 0 else None
