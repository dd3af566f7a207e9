"""Builds the very model that is counted, trains it, and measures whether what was predicted holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deepwide.answers.train.beginning import How, begin, layout_of, parted
from deepwide.answers.train.origin import learner, origin_of
from deepwide.answers.train.outcome import Moment, Started, Training
from deepwide.answers.train.running import Session, Watch, carried_out, unwatched
from deepwide.answers.train.setting import Setting, setting, setting_of
from deepwide.answers.trained import run_description
from deepwide.errors import BadInput
from deepwide.lab.needs import need_lab
from deepwide.lab.store import Run

__all__ = ["Moment", "Started", "Training", "resume", "train"]


def train(
    model: str = "",
    *,
    data: str = "",
    tokenizer: str = "bytes",
    name: str = "",
    root: str | Path | None = None,
    layout: str = "",
    sample: bool = True,
    watch: Watch = unwatched,
    **asked: Any,
) -> Training:
    """Trains a model on text, and keeps the run.

    data              text files, a folder, "copy" or "reverse"; "" is the source of Python's standard library
    tokenizer         "bytes", "bpe:4096", or a tokenizer.json
    name, root        the run's, and the folder of runs
    layout            how the processes that torchrun started share the model: "fsdp=2", "tp=2", ...
    sample            whether a model of text writes some at the end
    watch             is told of the start and of every row
    asked             fields of `Recipe` (tokens, batch, context, learning_rate, ...) and of `Kernels` (dtype,
                      attention, threads, ...); what is left out is chosen, and kept with the run
    """
    need_lab()
    kernels, recipe = parted(asked)
    how = How(name=name, root=root, layout=layout, sample=sample, watch=watch, kernels=kernels)
    return begin(how, lambda folder: setting(model, data, tokenizer, folder, recipe))


def resume(
    name: str, *, root: str | Path | None = None, layout: str = "", sample: bool = True, watch: Watch = unwatched
) -> Training:
    """Goes on with a run of any kind from its newest whole checkpoint: the same recipe, text, kernels, and losses."""
    need_lab()
    from deepwide.lab.distributed import started
    from deepwide.lab.kernels import Kernels
    from deepwide.lab.store import open_run, root_folder
    from deepwide.lab.training import newest

    folder = root_folder(root)
    with started(layout_of(layout)) as team:
        run = open_run(folder, name)
        manifest, origin = run.manifest, origin_of(run.manifest)
        _refuse_done(run)
        with team.leader_first():
            chosen = _same_text(run, folder)
        found = newest(run.checkpoints) if team.leader else None
        begun = bool(team.shared(found is not None))
        return carried_out(
            Session(
                team=team,
                run=run if team.leader else None,
                setting=chosen,
                learner=learner(origin, manifest, chosen.recipe, folder, device=team.device, begun=begun),
                origin=origin,
                kernels=Kernels(**manifest["kernels"]),
                watch=watch,
                sample=sample,
                start=found.checkpoint if found else None,
            )
        )


def _refuse_done(run: Run) -> None:
    """Refuses a run that there is nothing to go on with of."""
    if run.manifest.get("finished"):
        raise BadInput(
            f"run {run.name} is finished; begin another to train longer, or see `deepwide runs show {run.name}`"
        )
    if not run.manifest.get("recipe") or not run.manifest.get("kernels"):
        raise BadInput(f"run {run.name} was not trained; `deepwide finetune {run.name}` trains its model")


def _same_text(run: Run, folder: Path) -> Setting:
    """What a run was asked for, on the very text that it began with."""
    from deepwide.lab.data import load_tokenizer

    manifest: Mapping[str, Any] = run.manifest
    corpus = manifest["corpus"]
    asked, tokenizer = corpus["asked"], corpus["tokenizer_asked"]
    if tokenizer:
        chosen = setting(manifest["model"], asked, tokenizer, folder, manifest["recipe"])
    else:
        own = load_tokenizer(run.path, name=corpus["tokenizer"])
        chosen = setting_of(run_description(manifest), asked, own, folder, manifest["recipe"])
    if chosen.corpus.sha256 != corpus["sha256"]:
        raise BadInput(f"data={corpus['source']!r} is no longer the text that the run was trained on; begin a new run")
    return chosen
