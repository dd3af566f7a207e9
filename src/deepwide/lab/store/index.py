"""All runs at a glance, from an SQLite file beside their folders.

The folders are the truth and the index repeats them: whoever asks first brings it up to date. One that is missing,
broken or of another version is made again; where it cannot be written, or is busy for too long, the folders are read.
Connections are short. Whoever has one open shares a lock, so that a broken file is only replaced when nobody uses it.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import TypeVar

from deepwide.lab.store.names import is_safe, root_folder, run_names
from deepwide.lab.store.summary import RunSummary, summary_of
from deepwide.lab.store.tables import forget, prepare, read_summaries, refresh

INDEX = "index.sqlite"
IN_USE = ".index.lock"
BUSY_S = 1.0  # a training run waits no longer for an index
POLL_S = 0.01
# What can be helped by making the file again. A full disk, a closed folder or a busy file cannot.
BROKEN = (
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH,
)
T = TypeVar("T")


def summaries(root: str | Path | None = None) -> tuple[RunSummary, ...]:
    """Every run in a folder, the newest first."""
    folder = root_folder(root)
    names = run_names(folder)
    found = _asked(folder, lambda index: _all(index, folder, names)) if names else []
    if found is None:
        found = [summary_of(folder / name) for name in names]
    return tuple(sorted(found, key=lambda run: (run.created, run.name), reverse=True))


def update_index(run: Path) -> None:
    """Brings the index up to date with one run; leaves that to whoever asks next where it cannot be written now."""
    _asked(run.parent, lambda index: refresh(index, run))


def _all(index: sqlite3.Connection, folder: Path, names: tuple[str, ...]) -> list[RunSummary]:
    for name in filter(is_safe, names):
        refresh(index, folder / name)
    found = {run.name: run for run in read_summaries(index)}
    forget(index, found.keys() - set(names))
    return [found.get(name) or summary_of(folder / name) for name in names]  # one may be made again at this moment


def _asked(root: Path, question: Callable[[sqlite3.Connection], T]) -> T | None:
    """The answer of the index, made again if it is broken; None where there can be none now."""
    try:
        try:
            with _connected(root) as index:
                return question(index)
        except sqlite3.Error as error:
            if not _is_broken(error):
                return None
        _remove(root)
        with _connected(root) as index:
            return question(index)
    except (sqlite3.Error, OSError):
        return None


@contextmanager
def _connected(root: Path) -> Iterator[sqlite3.Connection]:
    with (
        _in_use(root, fcntl.LOCK_SH),
        closing(sqlite3.connect(root / INDEX, timeout=BUSY_S, isolation_level=None)) as connection,
    ):
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        prepare(connection)
        yield connection


@contextmanager
def _in_use(root: Path, how: int) -> Iterator[None]:
    """Shares the index, or has it alone; OSError where that cannot be had soon."""
    descriptor = os.open(root / IN_USE, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        until = monotonic() + BUSY_S
        while True:
            try:
                fcntl.flock(descriptor, how | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if monotonic() > until:
                    raise
                sleep(POLL_S)
        yield
    finally:
        os.close(descriptor)


def _is_broken(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF in BROKEN


def _remove(root: Path) -> None:
    """Takes a broken index away, while nobody else has it open."""
    with _in_use(root, fcntl.LOCK_EX):
        for ending in ("", "-wal", "-shm"):
            (root / f"{INDEX}{ending}").unlink(missing_ok=True)
