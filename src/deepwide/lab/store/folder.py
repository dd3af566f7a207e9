"""The folder of a run: a manifest that is whole at every moment, metrics that are appended, checkpoints, a lock.

ROOT/NAME/manifest.json    what was asked for and on what; later what came of it
ROOT/NAME/metrics.jsonl    a row per logged step: the truth, which the index only repeats
ROOT/NAME/checkpoints/     of whoever trains
ROOT/NAME/.lock            held by the process that writes
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any, Self

from deepwide.errors import BadInput, did_you_mean
from deepwide.lab.store.environment import environment
from deepwide.lab.store.files import json_bytes, json_table, plain, replace_whole, shown, written
from deepwide.lab.store.index import update_index
from deepwide.lab.store.lock import locked
from deepwide.lab.store.metrics import METRICS, Row, line_of, row_of
from deepwide.lab.store.names import MANIFEST, default_name, root_folder, run_names, safe_name
from deepwide.lab.store.summary import checked, rows_of

SYNC_S = 10.0  # the index may be that old while a run is written; whoever asks brings it up to date
MOST_TRIES = 100  # for a name that nobody else has just taken
BACKWARDS_BYTES = 65_536
RESUME = "make room and resume: what was written before is kept"


class Run:
    """A run's folder. What writes needs the lock:

    with open_run(root, name).lock() as run:
        run.log({"step": 1, "loss": 5.5})
    """

    def __init__(self, path: Path, manifest: Mapping[str, Any]) -> None:
        self.path, self.name, self.manifest = path, path.name, dict(manifest)
        self._descriptor: int | None = None
        self._end = 0  # of the metrics, in bytes
        self._synced_s = 0.0

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints lie; the folder is made by whoever writes the first."""
        return self.path / "checkpoints"

    @contextmanager
    def lock(self) -> Iterator[Self]:
        """Makes this process the writer until the block ends; BadInput says who is it already."""
        try:
            with locked(self.path):
                self.manifest = dict(_manifest(self.path))  # another writer may have been here since
                try:
                    self._open()
                    yield self
                finally:
                    self._close()
        finally:
            update_index(self.path)

    def log(self, row: Mapping[str, Any]) -> None:
        """Appends a row of metrics; once this returns, a kill does not lose it."""
        line = line_of(row)
        try:
            self._append(line)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._writing(), self._end)  # half a row is none
            raise BadInput(f"{shown(self.path / METRICS)} cannot be written: {error.strerror}; {RESUME}") from None
        self._end += len(line)
        if monotonic() - self._synced_s > SYNC_S:
            self.sync()

    def metrics(self) -> list[Row]:
        """The rows so far."""
        return [row for row in rows_of(self.path) if row is not None]

    def drop_after(self, step: int) -> None:
        """Leaves the rows up to a step, as when training goes on from its checkpoint: all at once or not at all."""
        self._writing()
        path = self.path / METRICS
        with path.open("rb") as file:
            rows = ((line, row_of(line)) for line in file)
            kept = b"".join(line for line, row in rows if row is not None and row["step"] <= step)
        if len(kept) < self._end:
            with written(path, RESUME):
                replace_whole(path, kept)
            self._close()
            self._open()
            self.sync()

    def note(self, **additions: Any) -> None:
        """Adds to the manifest (predicted=..., measured=...), or takes out what is None."""
        self._writing()
        changed = {key: value for key, value in {**self.manifest, **plain(additions)}.items() if value is not None}
        _save(self.path, checked(changed))
        self.manifest = changed

    def resumed(self, step: int) -> None:
        """Notes that training goes on from a step, and drops the rows after it; a finished run is so no longer."""
        again = {"at": now(), "step": step, "environment": environment()}
        self.note(resumed=[*self.manifest.get("resumed", []), again], finished=None, measured=None)
        self.drop_after(step)

    def finish(self, measured: Mapping[str, Any] | None = None) -> None:
        """Notes that all was done, and what was measured: under the names that `predicted` has."""
        os.fsync(self._writing())
        self.note(finished=now(), measured=dict(measured or {}))
        self.sync()

    def sync(self) -> None:
        """Brings the index up to date; where it cannot be written, whoever asks next does so."""
        update_index(self.path)
        self._synced_s = monotonic()

    def _writing(self) -> int:
        if self._descriptor is None:
            raise RuntimeError(f"run {self.name} is written inside `with run.lock():`, and nowhere else")
        return self._descriptor

    def _open(self) -> None:
        """Opens the metrics behind their last whole line: what a kill cut short is cut off."""
        path = self.path / METRICS
        with written(path, RESUME):
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            self._end = _last_whole_line(self._descriptor)
            os.ftruncate(self._descriptor, self._end)
        self._synced_s = monotonic()

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _append(self, line: bytes) -> None:
        descriptor = self._writing()
        while line:  # a disk about to be full takes a part
            line = line[os.write(descriptor, line) :]


def create(root: str | Path | None, name: str | None, manifest: Mapping[str, Any]) -> Run:
    """A new run, whole or not at all; a readable name is found where none is given.

    The time and the environment are added to the manifest.
    """
    folder = root_folder(root)
    whole = checked({**plain(manifest), "created": now()})
    whole = {"environment": environment(), **whole}
    if name:
        safe_name(name)
    with written(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for _ in range(1 if name else MOST_TRIES):
            path = folder / (name or default_name(folder, whole))
            if _put(path, whole):
                return Run(path, whole)
    raise BadInput(f"there is a run called {path.name} in {shown(folder)} already; choose another --name, or resume it")


def open_run(root: str | Path | None, name: str) -> Run:
    """The run of that name; BadInput names the nearest."""
    folder = root_folder(root)
    names = run_names(folder)
    if name not in names:
        near = did_you_mean(name, names)
        raise BadInput(f"no run called {shown(name)!r} in {shown(folder)}{near}; `deepwide runs` lists them")
    return Run(folder / name, _manifest(folder / name))


def _manifest(path: Path) -> Mapping[str, Any]:
    try:
        return checked(json_table(path / MANIFEST))
    except BadInput as error:
        raise BadInput(f"run {shown(path.name)}: {error}") from None


def _put(path: Path, manifest: Mapping[str, Any]) -> bool:
    """Makes the folder with its manifest under another name and moves it into place; False where there is one."""
    if os.path.lexists(path):
        return False
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)  # of a process of this number that was killed
    try:
        part.mkdir()
        replace_whole(part / MANIFEST, json_bytes(manifest))
        part.rename(path)
    except BaseException as error:
        shutil.rmtree(part, ignore_errors=True)
        if isinstance(error, OSError) and os.path.lexists(path):  # somebody was quicker
            return False
        raise
    return True


def _save(path: Path, manifest: Mapping[str, Any]) -> None:
    with written(path / MANIFEST, RESUME):
        replace_whole(path / MANIFEST, json_bytes(manifest))


def _last_whole_line(descriptor: int) -> int:
    """The byte after the last line that has ended."""
    end = os.fstat(descriptor).st_size
    while end > 0:
        start = max(0, end - BACKWARDS_BYTES)
        found = os.pread(descriptor, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def now() -> str:
    """The time as manifests have it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
