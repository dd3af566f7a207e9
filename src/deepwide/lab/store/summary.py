"""A run in one row: what its manifest says, the last numbers it logged, and whether it is still going.

A manifest may have been written by anybody. What has not the type that is agreed makes the run unreadable, in one line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from deepwide.errors import BadInput
from deepwide.lab.store.files import json_table, shown
from deepwide.lab.store.lock import writer
from deepwide.lab.store.metrics import METRICS, Row, number, rows_from
from deepwide.lab.store.names import MANIFEST, is_safe

Status = Literal["running", "interrupted", "finished", "unreadable"]
T = TypeVar("T")
LARGEST = 2**63 - 1  # what the index can hold
LATEST = ("tokens", "loss", "validation_loss", "tokens_per_s", "mfu", "seconds")  # of which the last one is shown
TABLES = ("architecture", "recipe", "corpus", "environment", "predicted", "measured")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """One run. Numbers are None where none was logged, or the last was not finite.

    status    running while a process writes it, else finished or interrupted; unreadable, for the reason in `problem`
    corpus    where the text came from; corpus_sha256: which text it was
    step, tokens, loss, validation_loss, tokens_per_s, mfu, seconds   the last that were logged
    """

    name: str
    status: Status
    created: str = ""
    model: str = ""
    layers: int | None = None
    hidden: int | None = None
    parameters: int | None = None
    corpus: str = ""
    corpus_sha256: str = ""
    tokenizer: str = ""
    seed: int | None = None
    finished: str = ""
    step: int | None = None
    tokens: float | None = None
    loss: float | None = None
    validation_loss: float | None = None
    tokens_per_s: float | None = None
    mfu: float | None = None
    seconds: float | None = None
    rows: int = 0
    problem: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The row as plain values."""
        return asdict(self)


def summary_of(folder: Path) -> RunSummary:
    """The summary, from the folder alone."""
    return with_rows(from_manifest(folder), rows_of(folder))


def from_manifest(folder: Path) -> RunSummary:
    """What the manifest and the lock tell; no metrics yet."""
    name = shown(folder.name)
    if not is_safe(folder.name):
        return RunSummary(name=name, status="unreadable", problem="the name of its folder cannot be a run's")
    try:
        manifest = checked(json_table(folder / MANIFEST))
    except BadInput as error:
        return RunSummary(name=name, status="unreadable", problem=str(error))
    shape, corpus = _table(manifest, "architecture"), _table(manifest, "corpus")
    return RunSummary(
        name=name,
        status=status_of(folder, manifest),
        created=_text(manifest, "created"),
        model=_text(manifest, "model"),
        layers=_whole(shape, "layers"),
        hidden=_whole(shape, "hidden"),
        parameters=_whole(shape, "parameters"),
        corpus=_text(corpus, "source"),
        corpus_sha256=_text(corpus, "sha256"),
        tokenizer=_text(corpus, "tokenizer"),
        seed=_whole(manifest, "seed"),
        finished=_text(manifest, "finished"),
    )


def checked(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """The manifest, if all that others rely on has its type; BadInput names the first that has not."""
    for key in ("model", "created", "finished"):
        _text(manifest, key)
    if not manifest.get("model"):
        raise BadInput(f"{MANIFEST}: model is missing; it says what was trained")
    for key in TABLES:
        _table(manifest, key)
    _whole(manifest, "seed")
    for key in ("layers", "hidden", "parameters"):
        _whole(_table(manifest, "architecture"), key, "architecture.")
    for key in ("source", "sha256", "tokenizer"):
        _text(_table(manifest, "corpus"), key, "corpus.")
    _typed(manifest, "resumed", list, "a list", [])
    return manifest


def status_of(folder: Path, manifest: Mapping[str, Any] | RunSummary) -> Status:
    """Running while somebody holds the lock; what else the manifest says. A killed run has let go and not finished."""
    if writer(folder) is not None:
        return "running"
    finished = manifest.finished if isinstance(manifest, RunSummary) else manifest.get("finished")
    return "finished" if finished else "interrupted"


def rows_of(folder: Path) -> list[Row | None]:
    """The rows of the run's metrics; None for a line that is no row. Empty where there is no such file."""
    path = folder / METRICS
    try:
        return [row for row, _ in rows_from(path)] if path.is_file() else []
    except OSError:
        return []


def with_rows(summary: RunSummary, rows: Iterable[Row | None]) -> RunSummary:
    """The summary with further rows counted in; the last of each number stands."""
    latest: dict[str, float | None] = {}
    step, count = summary.step, summary.rows
    for row in rows:
        if row is not None:
            step, count = row["step"], count + 1
            latest.update({key: number(row, key) for key in LATEST if key in row})
    return replace(summary, step=step, rows=count, **latest)  # type: ignore[arg-type]  # all of LATEST are floats


def _text(table: Mapping[str, Any], key: str, prefix: str = "") -> str:
    return shown(_typed(table, key, str, "text", "", prefix))


def _table(table: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    return _typed(table, key, dict, "a table", {})


def _whole(table: Mapping[str, Any], key: str, prefix: str = "") -> int | None:
    value = _typed(table, key, int, "a whole number", -1, prefix)
    if isinstance(value, bool) or not -1 <= value <= LARGEST:
        raise BadInput(f"{MANIFEST}: {prefix}{key}={shown(repr(value)[:40])} must be a whole number below 2^63")
    return None if value == -1 else value


def _typed(table: Mapping[str, Any], key: str, kind: type[T], words: str, default: T, prefix: str = "") -> T:
    value = table.get(key)
    if value is None:
        return default
    if not isinstance(value, kind):
        raise BadInput(f"{MANIFEST}: {prefix}{key}={shown(repr(value)[:40])} must be {words}")
    return value
