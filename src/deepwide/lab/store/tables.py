"""The tables of the index, and how a run's folder gets into them: what is new since the last time, and no more.

    runs      a line per run: its summary, its manifest's tables as JSON, and how far its files have been read
    metrics   run, step, key, value: every number that was logged

A file has been rewritten, rather than appended to, where it is another file, shorter than what was read of it, or
where the bytes before that point differ: then the run is read from the start.
"""

from __future__ import annotations

import json
import os
import sqlite3
import stat
from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NamedTuple, cast

from deepwide.errors import BadInput
from deepwide.lab.store.environment import program_version
from deepwide.lab.store.files import json_table
from deepwide.lab.store.metrics import METRICS, Row, number, rows_from
from deepwide.lab.store.names import MANIFEST
from deepwide.lab.store.summary import LATEST, RunSummary, from_manifest, status_of, with_rows

SCHEMA = 1  # raised with every change below: an index of another one is made again
KINDS: dict[str, tuple[str, tuple[type, ...]]] = {
    "str": ("TEXT NOT NULL", (str,)),
    "Status": ("TEXT NOT NULL", (str,)),
    "int": ("INTEGER NOT NULL", (int,)),
    "int | None": ("INTEGER", (int, type(None))),
    "float | None": ("REAL", (float, type(None))),
}
SUMMARY = {f.name: KINDS[cast(str, f.type)] for f in fields(RunSummary)}
AS_JSON = ("architecture", "recipe", "kernels", "environment", "predicted", "measured", "resumed")
READ = ("manifest_stamp", "metrics_stamp", "metrics_file", "metrics_end", "metrics_tail")
LOGGED = ("step", *LATEST, "rows")  # goes on from where it was
TAIL_BYTES = 64
LONGEST_KEY = 60

DROP = [f"DROP TABLE IF EXISTS {table}" for table in ("runs", "metrics", "made_by")]
CREATE = [
    "CREATE TABLE made_by (version TEXT NOT NULL)",
    f"""CREATE TABLE runs (
    {", ".join(f"{name} {kind}{' PRIMARY KEY' if name == 'name' else ''}" for name, (kind, _) in SUMMARY.items())},
    {", ".join(f"{name} TEXT" for name in AS_JSON)},
    manifest_stamp TEXT, metrics_stamp TEXT, metrics_file TEXT, metrics_end INTEGER, metrics_tail BLOB
)""",
    """CREATE TABLE metrics (
    run TEXT NOT NULL, step INTEGER NOT NULL, key TEXT NOT NULL, value REAL NOT NULL, PRIMARY KEY (run, step, key)
) WITHOUT ROWID""",
]
COLUMNS = (*SUMMARY, *AS_JSON, *READ)
PUT_RUN = f"INSERT OR REPLACE INTO runs ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
PUT_METRIC = "INSERT OR REPLACE INTO metrics VALUES (?, ?, ?, ?)"


class Stamps(NamedTuple):
    """What shows that a run's files have changed: of the manifest, of the metrics, and which file these are."""

    manifest: str
    metrics: str
    file: str


class Reading(NamedTuple):
    """What of a run has been read: files of those stamps, the metrics up to a byte, the bytes before it."""

    stamps: Stamps
    end: int
    tail: bytes


def prepare(connection: sqlite3.Connection) -> None:
    """Makes the tables, anew where they are of another version of this program."""
    if _is_current(connection):
        return
    connection.execute("BEGIN IMMEDIATE")
    if not _is_current(connection):  # nobody else has made them meanwhile
        for statement in (*DROP, *CREATE, f"PRAGMA user_version = {SCHEMA}"):
            connection.execute(statement)
        connection.execute("INSERT INTO made_by VALUES (?)", (program_version(),))
    connection.commit()


def read_summaries(connection: sqlite3.Connection) -> list[RunSummary]:
    """The runs, as the index has them."""
    return [_summary(row) for row in connection.execute(f"SELECT {', '.join(SUMMARY)} FROM runs")]


def refresh(connection: sqlite3.Connection, folder: Path) -> None:
    """Brings one run up to date, in one transaction; nothing is written where nothing has changed."""
    seen, now = _seen(connection, folder.name), _stamps(folder)
    if seen is not None and _same(folder, *seen, now):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        _read_further(connection, folder, _seen(connection, folder.name), now)  # another process may have been first
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


def forget(connection: sqlite3.Connection, names: Iterable[str]) -> None:
    """Takes out runs whose folders are gone."""
    gone = [(name,) for name in names]
    if gone:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("DELETE FROM runs WHERE name = ?", gone)
        connection.executemany("DELETE FROM metrics WHERE run = ?", gone)
        connection.commit()


def _is_current(connection: sqlite3.Connection) -> bool:
    if connection.execute("PRAGMA user_version").fetchone()[0] != SCHEMA:
        return False
    try:
        made_by: tuple[str] | None = connection.execute("SELECT version FROM made_by").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_ERROR:  # no such table
            return False
        raise
    return made_by == (program_version(),)


def _seen(connection: sqlite3.Connection, name: str) -> tuple[RunSummary, Reading] | None:
    """What the index has of a run, and how far it has read."""
    asked = f"SELECT {', '.join((*SUMMARY, *READ))} FROM runs WHERE name = ?"
    row = connection.execute(asked, (name,)).fetchone()
    if row is None:
        return None
    *stamps, end, tail = row[len(SUMMARY) :]
    if not isinstance(end, int) or end < 0:
        raise sqlite3.DatabaseError("how far a run was read is no number of bytes")
    return _summary(row[: len(SUMMARY)]), Reading(Stamps(*stamps), end, tail)


def _summary(row: tuple[Any, ...]) -> RunSummary:
    """A line of the table, if it has the types it was written with."""
    for value, (name, (_, kinds)) in zip(row, SUMMARY.items(), strict=True):
        if not isinstance(value, kinds):
            raise sqlite3.DatabaseError(f"{name} of a run in the index is a {type(value).__name__}")
    return RunSummary(**dict(zip(SUMMARY, row, strict=True)))


def _same(folder: Path, summary: RunSummary, seen: Reading, now: Stamps) -> bool:
    """Whether nothing was written since, and whoever was writing still is."""
    unreadable = summary.status == "unreadable"
    return seen.stamps == now and (unreadable or status_of(folder, summary) == summary.status)


def _stamps(folder: Path) -> Stamps:
    """The files as they are now."""
    metrics, path = "none", folder / METRICS
    try:
        found = path.stat()
        metrics = _stamp(found) if stat.S_ISREG(found.st_mode) else "none"  # the end of a pipe would be waited for
    except OSError:
        pass
    try:
        manifest = _stamp((folder / MANIFEST).stat())
    except OSError:
        manifest = "none"
    return Stamps(manifest, metrics, " ".join(metrics.split()[:2]))


def _stamp(found: os.stat_result) -> str:
    return f"{found.st_dev} {found.st_ino} {found.st_size} {found.st_mtime_ns}"


def _read_further(
    connection: sqlite3.Connection, folder: Path, seen: tuple[RunSummary, Reading] | None, now: Stamps
) -> None:
    """Reads what was appended, or all where a file has been rewritten."""
    path, summary, start = folder / METRICS, from_manifest(folder), 0
    if seen is not None and _goes_on(path, seen[1], now):
        start = seen[1].end
        summary = replace(summary, **{name: getattr(seen[0], name) for name in LOGGED})
    else:
        connection.execute("DELETE FROM metrics WHERE run = ?", (folder.name,))
    rows, end = _new_rows(path, start) if now.metrics != "none" else ([], 0)
    connection.executemany(PUT_METRIC, _cells(folder.name, rows))
    told = with_rows(summary, rows).to_dict()
    read = (*now, end, _tail(path, end))
    connection.execute(PUT_RUN, (*told.values(), *_json_columns(folder, summary), *read))


def _goes_on(path: Path, seen: Reading, now: Stamps) -> bool:
    """Whether the file is the one that was read, and has at most grown."""
    return seen.stamps.file == now.file and _tail(path, seen.end) == seen.tail


def _new_rows(path: Path, start: int) -> tuple[list[Row], int]:
    found, end = [], start
    for row, after in rows_from(path, start):
        end = after
        if row is not None:
            found.append(row)
    return found, end


def _cells(run: str, rows: Iterable[Row]) -> Iterator[tuple[str, int, str, float]]:
    for row in rows:
        for key in row:
            value = number(row, key)
            if key != "step" and value is not None and len(key) <= LONGEST_KEY and key.isprintable():
                yield run, row["step"], key, value


def _tail(path: Path, end: int) -> bytes:
    """The last bytes before a point of the file."""
    if not end:
        return b""
    with path.open("rb") as file:
        file.seek(max(0, end - TAIL_BYTES))
        return file.read(min(end, TAIL_BYTES))


def _json_columns(folder: Path, summary: RunSummary) -> list[str | None]:
    """The tables of the manifest as text, in ASCII; nothing of a manifest that cannot be read."""
    if summary.status == "unreadable":
        return [None] * len(AS_JSON)
    try:
        manifest = json_table(folder / MANIFEST)
    except BadInput:
        return [None] * len(AS_JSON)
    return [json.dumps(manifest[key]) if key in manifest else None for key in AS_JSON]
