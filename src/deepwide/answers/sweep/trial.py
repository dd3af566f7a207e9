"""One trial of a sweep: an ordinary run, then its loss on more of the held-out text, and the processor time it took.

It is done in a process of its own, perhaps on another machine, from plain values. Its result is kept in the run's
folder; a trial that has one is not done again, one that was cut short goes on from its checkpoint.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepwide.answers.train import Moment, Started, Training, resume, train
from deepwide.errors import BadInput
from deepwide.lab.store.files import json_bytes, json_table, replace_whole, written
from deepwide.lab.store.folder import open_run
from deepwide.lab.store.lock import writer
from deepwide.lab.store.names import run_names

if TYPE_CHECKING:
    from deepwide.lab.kernels import Kernels

RESULT = "trial.json"
WINDOWS = 256  # sequences of the loss that shapes are ranked by: the same ones for all
PATIENCE_S = 60.0  # that the process which wrote a run before may take to end
DONE, DIVERGED, FAILED, INTERRUPTED = "done", "diverged", "failed", "interrupted"


class Stopwatch:
    """Processor seconds of training steps, validations left out."""

    def __init__(self) -> None:
        self.last_s, self.first_step, self.steps, self.total_s = 0.0, 0, 0, 0.0

    def __call__(self, moment: Started | Moment) -> None:
        """Looks at the processor's clock at the start, and after each row."""
        now_s = time.process_time()
        if isinstance(moment, Started):
            self.first_step = moment.step
        elif "loss" in moment.row:
            self.total_s += now_s - self.last_s
            self.steps = int(moment.row["step"]) - self.first_step
        self.last_s = now_s

    @property
    def step_s(self) -> float | None:
        """Of one step; None where none was seen."""
        return self.total_s / self.steps if self.steps else None


def carried_out(job: Mapping[str, Any]) -> dict[str, Any]:
    """The result of a trial, made or found."""
    folder = Path(job["root"]) / str(job["name"])
    if (kept := kept_result(folder)) is not None:
        return kept
    _wait_for(folder)
    watch = Stopwatch()
    try:
        training = _trained(job, watch)
    except BadInput as error:
        if DIVERGED not in str(error):
            raise
        return keep_result(folder, {"status": DIVERGED, "error": str(error)})
    if training is not None and training.status != DONE:
        return {"status": INTERRUPTED}
    return keep_result(folder, _result(job, watch))


def kept_result(folder: Path) -> dict[str, Any] | None:
    """The result of a trial that came to its end before; None where there is none to be read."""
    try:
        found = json_table(folder / RESULT)
    except BadInput:
        return None
    return found if found.get("status") in (DONE, DIVERGED) else None


def keep_result(folder: Path, result: dict[str, Any]) -> dict[str, Any]:
    """Writes a result where it is looked for, and gives it back."""
    with written(folder / RESULT):
        folder.mkdir(parents=True, exist_ok=True)
        replace_whole(folder / RESULT, json_bytes(result))
    return result


def _wait_for(folder: Path) -> None:
    """Until a process that writes this run has ended: one whose parent is gone is about to."""
    ends = time.monotonic() + PATIENCE_S
    while writer(folder) is not None and time.monotonic() < ends:
        time.sleep(0.2)


def _trained(job: Mapping[str, Any], watch: Stopwatch) -> Training | None:
    """The run, begun or gone on with; None where it was finished before."""
    name, root = str(job["name"]), str(job["root"])
    if name not in run_names(root):
        how = {"data": job["data"], "tokenizer": job["tokenizer"], **job["kernels"], **job["recipe"]}
        return train(job["model"], name=name, root=root, sample=False, watch=watch, **how)
    if open_run(root, name).manifest.get("finished"):
        return None
    return resume(name, root=root, sample=False, watch=watch)


def _result(job: Mapping[str, Any], watch: Stopwatch) -> dict[str, Any]:
    """What is asked of a finished run. Losses are in nats per token."""
    from deepwide.lab.kernels import Kernels

    run, recipe = open_run(job["root"], str(job["name"])), job["recipe"]
    rows = [row for row in run.metrics() if row.get("validation_loss") is not None]
    step_s = watch.step_s
    return {
        "status": DONE,
        "loss": _loss(job, Kernels(**job["kernels"])),
        "cpu_s_per_token": None if step_s is None else step_s / (recipe["batch"] * recipe["context"]),
        "curve": [[row["tokens"], row["validation_loss"]] for row in rows],
    }


def _loss(job: Mapping[str, Any], kernels: Kernels) -> float:
    """The validation loss of the finished model on the windows that all trials are judged by."""
    from deepwide.answers.train.setting import setting
    from deepwide.answers.trained import trained
    from deepwide.lab.kernels import apply, computing
    from deepwide.lab.training import mean_loss

    model = trained(str(job["name"]), job["root"]).model
    asked = {**job["recipe"], "evaluation_windows": WINDOWS}
    feed = setting(job["model"], job["data"], job["tokenizer"], Path(job["root"]), asked).feed
    apply(kernels, model)
    with computing(kernels):
        return mean_loss(model, feed.validation(), next(model.parameters()).device)
