"""A user's measurements as rows: a CSV file whose columns are the options of a prediction, and what was measured.

The file comes from outside: no more of it is read than may be, every column has to be known, every number has to be
one, and what is wrong is told with the file, the line and the field.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from deepwide.errors import BadInput, did_you_mean
from deepwide.units import parse_count

MOST_BYTES = 2**20
MOST_ROWS = 500  # a fit takes a second for ten; thousands belong into a fit of their own
LONGEST_CELL = 300
SLOWEST, FASTEST = 1e9, 1e15  # seconds of a step, tokens in a second: beyond is a slip of units
LARGEST_LOSS = 30.0  # nats per token; guessing among all tokens costs 12

# How the name of a measure begins -> the largest that can be believed, and its unit.
BOUNDS = {
    "tokens_per_s": (FASTEST, "tokens per second"),
    "loss": (LARGEST_LOSS, "nats per token"),
    "": (SLOWEST, "seconds"),
}

Rows: TypeAlias = "str | Path | Iterable[Mapping[str, Any]]"
Read = TypeVar("Read")


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """What a table may have: words are taken as they are, counts are whole numbers, of the measures at least one.

    needed   columns that no row may leave blank; most: rows that are taken
    """

    words: tuple[str, ...]
    counts: tuple[str, ...]
    measures: tuple[str, ...]
    needed: tuple[str, ...]
    most: int = MOST_ROWS

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.words, *self.counts, *self.measures)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One run: where it stands, what was asked of it, and what was measured. Blank cells are left out."""

    where: str
    asked: Mapping[str, Any]
    measured: Mapping[str, float]


def measured_rows(rows: Rows, columns: Columns) -> tuple[Row, ...]:
    """Every run of a file, or of a sequence of mappings; BadInput where one cannot be read, or there is none."""
    name = Path(rows).name if isinstance(rows, str | Path) else "rows"
    cells = _cells_of_file(Path(rows), columns) if isinstance(rows, str | Path) else _cells_of(rows)
    found = tuple(_row(where, given, columns) for where, given in cells)
    if not found:
        raise BadInput(
            f"{name}: no measured runs; give one a line, under a header with {', '.join(columns.needed)}, ..."
        )
    if len(found) > columns.most:
        raise BadInput(
            f"{name}: {len(found)} runs are more than the {columns.most} that are taken; give a sample of them"
        )
    return found


def _cells_of(rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, dict[str, str]]]:
    for i, row in enumerate(rows, start=1):
        if not isinstance(row, Mapping):
            raise BadInput(f"rows:{i}: {str(row)[:40]!r} is not a mapping of column names to values")
        yield f"rows:{i}", {str(k): "" if v is None else str(v) for k, v in row.items()}


def _cells_of_file(path: Path, columns: Columns) -> Iterator[tuple[str, dict[str, str]]]:
    lines = csv.reader(StringIO(_text(path), newline=""), strict=True)
    header: list[str] = []
    while True:
        try:
            cells = next(lines)
        except StopIteration:
            return
        except csv.Error as error:
            raise BadInput(f"{path.name}:{lines.line_num}: not CSV ({error})") from None
        where = f"{path.name}:{lines.line_num}"
        if not any(cell.strip() for cell in cells):
            continue
        if not header:
            header = _header(cells, where, columns)
        elif len(cells) > len(header):
            raise BadInput(
                f"{where}: {len(cells)} cells under {len(header)} columns; quote a cell that has commas in it"
            )
        else:
            yield where, dict(zip(header, cells, strict=False))


def _text(path: Path) -> str:
    try:
        if not path.is_file():
            raise BadInput(
                f"{str(path)[-LONGEST_CELL:]}: no such file; give a CSV file with a line for each measured run"
            )
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise BadInput(f"{str(path)[-LONGEST_CELL:]}: cannot be read ({error.strerror}); check the path") from None
    if len(raw) > MOST_BYTES:
        raise BadInput(f"{path.name}: more than {MOST_BYTES:,} bytes; a run takes one short line")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path.name}: byte {error.start} is not UTF-8 text; save the table as CSV in UTF-8") from None


def _header(cells: Sequence[str], where: str, columns: Columns) -> list[str]:
    names = [_column(cell) for cell in cells]
    _all_known(names, where, columns)
    for name in names:
        if names.count(name) > 1:
            raise BadInput(f"{where}: the column {name[:40]!r} is there twice; keep one")
    return names


def _all_known(names: Iterable[str], where: str, columns: Columns) -> None:
    for name in names:
        if name not in columns.names:
            hint = did_you_mean(name, columns.names)
            raise BadInput(f"{where}: no column called {name[:40]!r}{hint}; known are {', '.join(columns.names)}")


def _column(name: str) -> str:
    return name.strip().lower().replace("-", "_").replace(" ", "_")


def _row(where: str, cells: Mapping[str, str], columns: Columns) -> Row:
    given = {_column(name): value.strip() for name, value in cells.items()}
    _all_known(given, where, columns)
    given = {name: value for name, value in given.items() if value}
    for name, value in given.items():
        if len(value) > LONGEST_CELL or not value.isprintable():
            raise BadInput(f"{where}: {name}={value[:40]!r}... must be one line of at most {LONGEST_CELL} characters")
    if missing := [name for name in columns.needed if name not in given]:
        raise BadInput(f"{where}: {missing[0]} is missing; every run needs {', '.join(columns.needed)}")
    measured = {name: _measure(where, name, given[name]) for name in columns.measures if name in given}
    if not measured:
        raise BadInput(f"{where}: nothing was measured; give one of {', '.join(columns.measures)}")
    asked: dict[str, Any] = {name: given[name] for name in columns.words if name in given}
    asked |= {name: parse_count(given[name], f"{where}: {name}") for name in columns.counts if name in given}
    return Row(where=where, asked=asked, measured=measured)


def _measure(where: str, name: str, text: str) -> float:
    """A time in seconds, a rate, a loss: positive, finite, and believable."""
    most, unit = next(bound for word, bound in BOUNDS.items() if name.startswith(word))
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 1 / most < value < most:
        raise BadInput(f"{where}: {name}={text[:40]!r} must be a positive number of {unit} below {most:g}")
    return value


def told(row: Row, read: Callable[[Row], Read]) -> Read:
    """What is read of a row; what is wrong with it is told with its place."""
    try:
        return read(row)
    except BadInput as error:
        raise BadInput(f"{row.where}: {error}") from None
