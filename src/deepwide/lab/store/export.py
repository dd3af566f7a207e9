"""Every logged row of runs as one table, for other programs: CSV, or Parquet where pyarrow is installed."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from io import BytesIO, StringIO
from typing import Any, Literal

from deepwide.errors import BadInput
from deepwide.lab.store.files import shown
from deepwide.lab.store.folder import Run
from deepwide.lab.store.metrics import MOST_STEPS, ORDER, Row, number

Format = Literal["csv", "parquet"]
OF_THE_RUN = ("run", "model", "layers", "hidden", "parameters", "seed", "corpus_sha256")
MOST_COLUMNS = 200


def exported(runs: Iterable[Run], to: Format) -> tuple[bytes, int]:
    """The content of the file, and how many rows it has. A number that was not finite is left blank."""
    rows = [{**row, **_of_the_run(run)} for run in runs for row in run.metrics()]
    columns = (*OF_THE_RUN, *_columns(rows))
    cells = [[_cell(row, column) for column in columns] for row in rows]
    return (_csv(columns, cells) if to == "csv" else _parquet(columns, cells)), len(rows)


def _of_the_run(run: Run) -> Row:
    """What is the same in every row of a run."""
    shape, corpus = run.manifest.get("architecture") or {}, run.manifest.get("corpus") or {}
    said = {"run": run.name, "model": shown(run.manifest["model"]), "seed": run.manifest.get("seed")}
    return {**{key: shape.get(key) for key in OF_THE_RUN}, **said, "corpus_sha256": corpus.get("sha256")}


def _columns(rows: Iterable[Row]) -> Iterator[str]:
    """The usual numbers first, then what else was logged, by name."""
    logged = {key for row in rows for key in row if key.isprintable()} - set(OF_THE_RUN)
    yield from (key for key in ORDER if key in logged)
    yield from sorted(logged - set(ORDER))[:MOST_COLUMNS]


def _cell(row: Mapping[str, Any], column: str) -> str | float | None:
    value = row.get(column)
    if isinstance(value, str):
        return shown(value)
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MOST_STEPS
    return value if whole else number(row, column)


def _csv(columns: Sequence[str], cells: Iterable[Sequence[Any]]) -> bytes:
    """Text is quoted, so that the commas of a model's name part nothing."""
    file = StringIO()
    table = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    table.writerow(columns)
    table.writerows(cells)
    return file.getvalue().encode()


def _parquet(columns: Sequence[str], cells: Sequence[Sequence[Any]]) -> bytes:
    try:
        arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ModuleNotFoundError:
        raise BadInput(
            "parquet needs pyarrow, which is not installed; `pip install pyarrow`, or take --to csv"
        ) from None
    arrays = {}
    for i, name in enumerate(columns):
        values = [row[i] for row in cells]
        texts = any(isinstance(value, str) for value in values)
        arrays[name] = [None if value is None else str(value) for value in values] if texts else values
    file = BytesIO()
    parquet.write_table(arrow.table(arrays), file)
    return file.getvalue()
