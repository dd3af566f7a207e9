"""Builds the very model that is counted, trains it, and measures whether what was predicted holds."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepwide.answers.train.outcome import Moment, Started, Training
from deepwide.answers.train.running import Session, Watch, carried_out
from deepwide.answers.train.setting import Setting, setting
from deepwide.answers.trained import run_model
from deepwide.architecture.sizes import int_or_none, sizes
from deepwide.errors import BadInput
from deepwide.lab.needs import need_lab

if TYPE_CHECKING:
    from deepwide.lab.distributed import Layout, Team
    from deepwide.lab.kernels import Kernels
    from deepwide.lab.network import Transformer

__all__ = ["Moment", "Started", "Training", "resume", "train"]
SHOWN_SIZES = ("layers", "hidden", "heads", "kv_heads", "head_dim", "ffn", "vocab", "experts", "active_experts")
KERNELS = ("dtype", "matmul", "attention", "compile", "threads", "lanes")


def _unwatched(moment: Started | Moment) -> None:
    """Nobody looks on."""


def train(
    model: str = "",
    *,
    data: str = "",
    tokenizer: str = "bytes",
    name: str = "",
    root: str | Path | None = None,
    layout: str = "",
    watch: Watch = _unwatched,
    **asked: Any,
) -> Training:
    """Trains a model on text, and keeps the run.

    data              text files, a folder, "copy" or "reverse"; "" is the source of Python's standard library
    tokenizer         "bytes", "bpe:4096", or a tokenizer.json
    name, root        the run's, and the folder of runs
    layout            how the processes that torchrun started share the model: "fsdp=2", "tp=2", ...
    watch             is told of the start and of every row
    asked             fields of `Recipe` (tokens, batch, context, learning_rate, ...) and of `Kernels` (dtype,
                      attention, threads, ...); what is left out is chosen, and kept with the run
    """
    need_lab()
    from deepwide.lab.distributed import started
    from deepwide.lab.network import build
    from deepwide.lab.store import create, root_folder

    folder = root_folder(root)
    fixed = {key: asked.pop(key) for key in KERNELS if key in asked}
    with started(_layout(layout)) as team:
        with team.leader_first():
            chosen = setting(model, data, tokenizer, folder, asked)
        built = build(chosen.model.described(), seed=chosen.recipe.seed, device=team.device)
        kernels = _kernels(team, built, chosen, fixed)
        manifest = _manifest(chosen, data, tokenizer, kernels)
        run = create(folder, name, manifest) if team.leader else None
        return carried_out(Session(team=team, run=run, setting=chosen, model=built, kernels=kernels, watch=watch))


def resume(name: str, *, root: str | Path | None = None, layout: str = "", watch: Watch = _unwatched) -> Training:
    """Goes on with a run from its newest whole checkpoint: the same recipe, text and kernels, the same losses."""
    need_lab()
    from deepwide.lab.distributed import started
    from deepwide.lab.kernels import Kernels
    from deepwide.lab.store import open_run, root_folder
    from deepwide.lab.training import newest

    folder = root_folder(root)
    with started(_layout(layout)) as team:
        run = open_run(folder, name)
        manifest = run.manifest
        if manifest.get("finished"):
            raise BadInput(f"run {name} is finished; begin another to train longer, or see `deepwide runs show {name}`")
        with team.leader_first():
            chosen = _same_text(manifest, folder)
        found = newest(run.checkpoints) if team.leader else None
        return carried_out(
            Session(
                team=team,
                run=run if team.leader else None,
                setting=chosen,
                model=run_model(manifest, seed=chosen.recipe.seed),
                kernels=Kernels(**manifest["kernels"]),
                watch=watch,
                start=found.checkpoint if found else None,
            )
        )


def _layout(text: str) -> Layout | None:
    from deepwide.lab.distributed import layout_from_text

    return layout_from_text(text) if text else None


def _same_text(manifest: Mapping[str, Any], folder: Path) -> Setting:
    """What a run was asked for, on the very text that it began with."""
    corpus = manifest["corpus"]
    chosen = setting(manifest["model"], corpus["asked"], corpus["tokenizer_asked"], folder, manifest["recipe"])
    if chosen.corpus.sha256 != corpus["sha256"]:
        raise BadInput(f"data={corpus['source']!r} is no longer the text that the run was trained on; begin a new run")
    return chosen


def _kernels(team: Team, model: Transformer, chosen: Setting, fixed: Mapping[str, Any]) -> Kernels:
    """The quickest way to compute, the same for all processes; several on a machine share its cores."""
    from deepwide.lab.kernels import Kernels, probed
    from deepwide.lab.store.environment import cores

    if team.mesh is None:
        return probed(model, chosen.recipe.batch, chosen.recipe.context, **fixed)
    if fixed.get("compile") or fixed.get("lanes", 1) != 1:
        raise BadInput("compile and lanes are for one process; leave them out where torchrun starts several")
    own = max(1, cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    alone = {"threads": own, **fixed, "lanes": 1}
    found = probed(model, chosen.recipe.batch, chosen.recipe.context, **alone) if team.leader else Kernels()
    return Kernels(**team.shared(found.to_dict()))


def _manifest(chosen: Setting, data: str, tokenizer: str, kernels: Kernels) -> dict[str, Any]:
    """What decides a run, and what it was on: all that resuming it needs."""
    shape, corpus = sizes(chosen.model.described()), chosen.corpus
    return {
        "model": chosen.model.name,
        "architecture": {
            **{size: int_or_none(getattr(shape, size)) for size in SHOWN_SIZES},
            "parameters": int(chosen.model.ledger.parameters()),
        },
        "recipe": chosen.recipe.to_dict(),
        "corpus": {
            "asked": data,
            "tokenizer_asked": tokenizer,
            "source": corpus.source,
            "sha256": corpus.sha256,
            "tokenizer": corpus.tokenizer.name,
            "vocab": corpus.vocab,
            "train_tokens": len(corpus.train),
            "validation_tokens": len(corpus.validation),
        },
        "seed": chosen.recipe.seed,
        "kernels": kernels.to_dict(),
    }
