"""A sweep carried out: trials that are due go to an engine as soon as it has room, until there are none left."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepwide.answers.sweep.plan import Plan, Trial, due, expected_trials, left_s
from deepwide.answers.sweep.trial import FAILED, INTERRUPTED, RESULT, keep_result, kept_result

if TYPE_CHECKING:
    from deepwide.lab.sweep import Engine, Finished

LOOK_S = 0.5  # between two looks whether a stop was asked for
Found = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a sweep is: trials by number, and the seconds that are left by what trials took so far."""

    done: int
    running: int
    trials: int
    failed: int
    left_s: float


def kept_results(folder: Path) -> Found:
    """The results that lie in a sweep's folder."""
    found = {path.parent.name: kept_result(path.parent) for path in sorted(folder.glob(f"*/{RESULT}"))}
    return {name: result for name, result in found.items() if result is not None}


def carried_out(
    plan: Plan, folder: Path, engine: Engine, watch: Callable[[Progress], None], stop: Callable[[], bool]
) -> Found:
    """The results of all trials, or of those that came to an end before a stop was asked for."""
    results, running, stopped = kept_results(folder), dict[str, tuple[Trial, float]](), False
    while True:
        if stop() and not stopped:
            stopped = True
            engine.stop()
        if not stopped:
            _begin(plan, folder, engine, results, running)
        if not running:
            return results
        for each in engine.finished(LOOK_S):
            _take(each, folder, results)
            del running[each.name]
        watch(_progress(plan, engine, results, running))


def _begin(plan: Plan, folder: Path, engine: Engine, results: Found, running: dict[str, tuple[Trial, float]]) -> None:
    """Gives the engine as much as it has room for."""
    waiting = [trial for trial in due(plan, results) if trial.name not in running]
    for trial in waiting[: max(0, engine.capacity - len(running))]:
        running[trial.name] = (trial, time.monotonic())
        engine.submit(trial.name, plan.job(trial, str(folder)))


def _take(each: Finished, folder: Path, results: Found) -> None:
    """A result that counts; a trial that was asked to stop has none."""
    if each.result is None:
        results[each.name] = {"status": FAILED, "error": each.error}
    elif each.result["status"] != INTERRUPTED:
        results[each.name] = each.result
        if kept_result(folder / each.name) is None:  # it was made on a machine with disks of its own
            keep_result(folder / each.name, each.result)


def _progress(plan: Plan, engine: Engine, results: Found, running: Mapping[str, tuple[Trial, float]]) -> Progress:
    expected = list(expected_trials(plan, results))
    now_s = time.monotonic()
    spent_s = sum(min(left_s(trial, results), now_s - began_s) for trial, began_s in running.values())
    left = sum(left_s(trial, results) for trial in expected) - spent_s
    return Progress(
        done=len(results),
        running=len(running),
        trials=len(results) + len(expected),
        failed=sum(result["status"] == FAILED for result in results.values()),
        left_s=max(0.0, left) / engine.capacity,
    )
