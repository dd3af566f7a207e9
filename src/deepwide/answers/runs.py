"""Which runs there are, how one went beside what was predicted of it, and how several differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from deepwide.answers.answer import Answer
from deepwide.errors import BadInput
from deepwide.lab.store.export import Format, exported
from deepwide.lab.store.files import replace_whole, shown, written
from deepwide.lab.store.folder import Run, open_run
from deepwide.lab.store.index import summaries
from deepwide.lab.store.metrics import Row, number
from deepwide.lab.store.names import root_folder, run_names
from deepwide.lab.store.summary import LATEST, RunSummary, summary_of

MOST_RUNS = 26  # one letter each
SHARES = (0.25, 0.5, 1.0)  # of what all runs have reached: where their losses are compared
WINDOW = 0.1  # of the way behind a point: the losses of single batches are averaged over it
RATES = ("tokens_per_s", "mfu")  # what is measured before the end is reached, too
SETTINGS = ("architecture", "recipe", "corpus", "kernels", "environment", "start", "adapter", "teacher")
OTHER_TEXT = "not comparable: different corpus"
OTHER_TOKENS = "not comparable: different tokenizer, so a token is not the same amount of text"
Axis = Literal["tokens", "seconds"]
AXES: tuple[Axis, ...] = ("tokens", "seconds")
Root = str | Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunList(Answer):
    """All runs in a folder, the newest first."""

    root: str
    runs: tuple[RunSummary, ...]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The list as plain values."""
        return {"root": self.root, "runs": [each.to_dict() for each in self.runs], "notes": list(self.notes)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A number that was predicted, with its range where it has one, and what was measured of it."""

    name: str
    predicted: float
    low: float | None = None
    high: float | None = None
    measured: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDetail(Answer):
    """One run: its summary, what was asked for and on what, prediction beside measurement, every logged row."""

    summary: RunSummary
    settings: dict[str, Any]
    resumed: tuple[dict[str, Any], ...]
    measures: tuple[Measure, ...]
    metrics: tuple[Row, ...]

    def to_dict(self) -> dict[str, Any]:
        """The run as plain values."""
        return {
            **self.summary.to_dict(),
            **self.settings,
            "resumed": list(self.resumed),
            "measures": [asdict(each) for each in self.measures],
            "metrics": [dict(row) for row in self.metrics],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LossAt:
    """The losses of all runs after the same tokens or seconds, None where a run has none there.

    loss             mean of the logged batches in the last tenth of the way
    validation_loss  straight between the two nearest validations
    best             the run that is lowest, by validation where all have it; None where two are, or none can be
    """

    at: float
    loss: tuple[float | None, ...]
    validation_loss: tuple[float | None, ...]
    best: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunComparison(Answer):
    """Runs side by side: settings that are the same once, those that differ in a column each, and the losses."""

    runs: tuple[RunSummary, ...]
    same: dict[str, Any]
    different: dict[str, tuple[Any, ...]]
    at_tokens: tuple[LossAt, ...]
    at_seconds: tuple[LossAt, ...]
    curves: tuple[tuple[Row, ...], ...]
    comparable: bool
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The comparison as plain values, without the rows that were logged."""
        return {
            "runs": [each.to_dict() for each in self.runs],
            "same": self.same,
            "different": {key: list(values) for key, values in self.different.items()},
            "at_tokens": [asdict(each) for each in self.at_tokens],
            "at_seconds": [asdict(each) for each in self.at_seconds],
            "comparable": self.comparable,
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported(Answer):
    """A file that was written, and what is in it."""

    out: str
    to: Format
    runs: int
    rows: int


def runs(root: Root = None) -> RunList:
    """Every run in a folder: the given one, else $DEEPWIDE_RUNS, else `runs`."""
    folder = root_folder(root)
    if root and not folder.is_dir():
        raise BadInput(f"root={shown(folder)!r} is no folder; give the one that `deepwide train` writes to")
    found = summaries(folder)
    none = (f"no runs in {shown(folder)} yet; `deepwide train` makes one, --root FOLDER looks elsewhere",)
    broken = tuple(f"{each.name}: {each.problem}" for each in found if each.status == "unreadable")
    return RunList(root=shown(folder), runs=found, notes=broken if found else none)


def run(name: str, root: Root = None) -> RunDetail:
    """One run, with its rows and what was predicted of it."""
    found = open_run(root, name)
    summary = summary_of(found.path)
    return RunDetail(
        summary=summary,
        settings={key: found.manifest.get(key) or {} for key in SETTINGS},
        resumed=tuple(each for each in found.manifest.get("resumed") or () if isinstance(each, dict)),
        measures=tuple(_measures(found.manifest, summary)),
        metrics=tuple(found.metrics()),
    )


def compare_runs(names: Sequence[str], root: Root = None) -> RunComparison:
    """Runs side by side: what they share, where they differ, their losses after equal tokens and equal seconds."""
    distinct = tuple(dict.fromkeys(names))
    if not 2 <= len(distinct) <= MOST_RUNS:
        raise BadInput(
            f"{len(distinct)} runs to compare; give the names of 2 to {MOST_RUNS}, `deepwide runs` lists them"
        )
    found = [open_run(root, name) for name in distinct]
    same, different = _settings(found)
    curves = tuple(tuple(each.metrics()) for each in found)
    apart = _not_comparable(found)
    at_tokens, at_seconds = (_losses(distinct, curves, axis, not apart) for axis in AXES)
    return RunComparison(
        runs=tuple(summary_of(each.path) for each in found),
        same=same,
        different=different,
        at_tokens=at_tokens,
        at_seconds=at_seconds,
        curves=curves,
        comparable=not apart,
        notes=(*apart, *_notes(distinct, curves, different)),
    )


def export_runs(names: Sequence[str] = (), root: Root = None, *, out: str, to: Format | None = None) -> Exported:
    """Writes every logged row of these runs, or of all, as a table; by the ending of `out` where `to` is not given."""
    from deepwide.answers.report import writable

    target = writable(out)
    form: Format = to or ("parquet" if target.suffix == ".parquet" else "csv")
    readable = [each.name for each in summaries(root) if each.status != "unreadable"]
    chosen = [open_run(root, name) for name in dict.fromkeys(names or sorted(readable))]
    if not chosen:
        folder = root_folder(root)
        broken = f"none of the {len(run_names(folder))} runs can be read" if run_names(folder) else "there are no runs"
        raise BadInput(f"{broken} in {shown(folder)}; `deepwide runs` lists them, --root FOLDER looks elsewhere")
    content, rows = exported(chosen, form)
    with written(target, "choose another --out"):
        replace_whole(target, content)
    return Exported(out=shown(target), to=form, runs=len(chosen), rows=rows)


def _measures(manifest: Mapping[str, Any], summary: RunSummary) -> Iterator[Measure]:
    """Each predicted number: {name: 3.0}, or {name: {"value": 3.0, "low": 2.0, "high": 4.0}}."""
    predicted, measured = manifest.get("predicted") or {}, manifest.get("measured") or {}
    last = {key: getattr(summary, key) for key in (LATEST if summary.finished else RATES)}
    for name, said in predicted.items():
        parts = said if isinstance(said, dict) else {"value": said}
        value = number(parts, "value")
        if value is not None:
            seen = number(measured, name) if name in measured else last.get(name)
            low, high = number(parts, "low"), number(parts, "high")
            yield Measure(name=shown(name), predicted=value, low=low, high=high, measured=seen)


def _settings(found: Sequence[Run]) -> tuple[dict[str, Any], dict[str, tuple[Any, ...]]]:
    """Settings with one value for all runs, and those with several; None where a run does not say."""
    flat = [dict(_flat(each.manifest)) for each in found]
    keys = dict.fromkeys(key for each in flat for key in each)
    columns = {key: tuple(each.get(key) for each in flat) for key in keys}
    same = {key: values[0] for key, values in columns.items() if all(value == values[0] for value in values)}
    return same, {key: values for key, values in columns.items() if key not in same}


def _flat(manifest: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What was asked for and on what, as dotted names with single values."""
    for key in ("model", *SETTINGS[:3], "seed", *SETTINGS[3:]):
        if manifest.get(key) is not None:
            yield from _leaves(key, manifest[key])


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(f"{name}.{shown(key)}", inner)
    else:
        yield name, value


def _losses(names: Sequence[str], curves: Sequence[Sequence[Row]], axis: Axis, comparable: bool) -> tuple[LossAt, ...]:
    """The losses at quarters of the way that every run has gone; nothing where one has gone none."""
    validated = [_points(rows, axis, "validation_loss") for rows in curves]
    trained = [_points(rows, axis, "loss") for rows in curves]
    judged = validated if all(validated) else trained
    if not all(judged):
        return ()
    reached = min(max(at for at, _ in points) for points in judged)
    found = tuple(_loss_at(names, trained, validated, share * reached) for share in SHARES if reached > 0)
    return found if comparable else tuple(replace(each, best=None) for each in found)


def _loss_at(
    names: Sequence[str],
    trained: Sequence[Sequence[tuple[float, float]]],
    validated: Sequence[Sequence[tuple[float, float]]],
    at: float,
) -> LossAt:
    loss = tuple(_mean_before(points, at) for points in trained)
    validation_loss = tuple(_between(points, at) for points in validated)
    judged = validation_loss if None not in validation_loss else loss
    known = [value for value in judged if value is not None]
    won = [name for name, value in zip(names, judged, strict=True) if value is not None and value == min(known)]
    best = won[0] if len(won) == 1 and len(known) == len(names) else None
    return LossAt(at=at, loss=loss, validation_loss=validation_loss, best=best)


def _points(rows: Sequence[Row], axis: Axis, key: str) -> list[tuple[float, float]]:
    """The logged pairs of both numbers, along the axis."""
    pairs = ((number(row, axis), number(row, key)) for row in rows)
    return sorted((x, y) for x, y in pairs if x is not None and y is not None)


def _between(points: Sequence[tuple[float, float]], at: float) -> float | None:
    """The value at a point, on the straight line between its neighbours; None outside of all."""
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 <= at <= x1:
            return y1 if x1 == x0 else y0 + (y1 - y0) * (at - x0) / (x1 - x0)
    return points[0][1] if len(points) == 1 and points[0][0] == at else None


def _mean_before(points: Sequence[tuple[float, float]], at: float) -> float | None:
    """The mean over the last tenth of the way to a point, or else the last value before it."""
    window = [y for x, y in points if at * (1 - WINDOW) < x <= at]
    window = window or [y for x, y in points if x <= at][-1:]
    return sum(window) / len(window) if window else None


def _not_comparable(found: Sequence[Run]) -> tuple[str, ...]:
    """Why the losses say nothing of each other, if so."""

    def values(key: str) -> set[str]:
        return {str((each.manifest.get("corpus") or {}).get(key)) for each in found}

    text, tokens = len(values("sha256")) > 1, len(values("tokenizer")) > 1 or len(values("vocab")) > 1
    return (*([OTHER_TEXT] if text else []), *([OTHER_TOKENS] if tokens else []))


def _notes(names: Sequence[str], curves: Sequence[Sequence[Row]], different: Mapping[str, Any]) -> Iterator[str]:
    for name, rows in zip(names, curves, strict=True):
        if not rows:
            yield f"{name}: nothing was logged yet"
    if {"recipe.tokens", "recipe.steps"} & set(different):
        yield "their learning rates fall towards different ends: early losses favour the one that ends first"
    if set(different) - {"seed"}:
        yield "one run each: train with other seeds before a small difference means anything"
