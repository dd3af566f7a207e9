"""A trained model by its name: a run of the lab, or a folder of Hugging Face's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepwide.answers.models import find_model
from deepwide.answers.places import json_table
from deepwide.errors import BadInput, did_you_mean
from deepwide.lab.needs import need_lab

if TYPE_CHECKING:
    from deepwide.architecture.model import Architecture
    from deepwide.lab.data import Tokenizer
    from deepwide.lab.network import Numerics, Transformer
    from deepwide.lab.store import Run

CONFIG = "config.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A model with its weights, ready to compute.

    context           tokens it was trained on at once; None where that is not known
    before            the token that a text begins after, and that an encoder-decoder's decoder reads first; None where
                      there is none
    """

    name: str
    model: Transformer
    tokenizer: Tokenizer
    context: int | None = None
    before: int | None = None
    notes: tuple[str, ...] = ()


def trained(name: str, root: str | Path | None = None) -> Trained:
    """The model of a run in the folder of runs, or else of a folder: one that holds a run, or Hugging Face's files.

    A run's model is that of its newest checkpoint that is whole.
    """
    from deepwide.lab.store import open_run, run_names
    from deepwide.lab.store.files import shown
    from deepwide.lab.store.names import MANIFEST

    need_lab()
    if name in run_names(root):
        return _from_run(open_run(root, name))
    folder = _folder(name)
    if folder is None:
        if "/" in name:
            raise BadInput(f"no folder called {shown(name)}; give one with a {CONFIG}, or the name of a run")
        return _from_run(open_run(root, name))
    if (folder / MANIFEST).exists():
        return _from_run(open_run(folder.parent, folder.name))
    if (folder / CONFIG).exists():
        return _from_folder(folder)
    near = did_you_mean(name, run_names(root))
    raise BadInput(f"{shown(folder)} holds no {CONFIG} and no run's {MANIFEST}; give a run or a model's folder{near}")


def run_model(manifest: Mapping[str, Any], seed: int = 0) -> Transformer:
    """The model that a run trains, with the weights that it starts from."""
    from deepwide.lab.network import build

    return build(run_architecture(manifest), seed=seed, numerics=_numerics(manifest), device=_device())


def run_architecture(manifest: Mapping[str, Any]) -> Architecture:
    """What a run's manifest says its model is, checked against the number of parameters that stands there, too."""
    found = find_model(str(manifest["model"]))
    stated = (manifest.get("architecture") or {}).get("parameters")
    counted = int(found.ledger.parameters())
    if stated not in (None, counted):
        raise BadInput(
            f"model={found.name!r} has {counted:,} parameters, not the {stated:,} of the run: it has changed"
        )
    return found.described()


def _from_run(run: Run) -> Trained:
    from deepwide.lab.data import load_tokenizer
    from deepwide.lab.training import newest
    from deepwide.lab.training.tensors import load_weights

    found = newest(run.checkpoints)
    if found is None:
        raise BadInput(f"run {run.name} has no checkpoint yet; train it until the first one is written")
    tokenizer = load_tokenizer(run.path, name=(run.manifest.get("corpus") or {}).get("tokenizer"))
    try:
        model = run_model(run.manifest)
    except BadInput as error:
        raise BadInput(f"run {run.name}: {error}") from None
    load_weights(model, found.checkpoint.weights)
    unfinished = f"run {run.name} is not finished: this is its model after {found.checkpoint.step:,} steps"
    return Trained(
        name=run.name,
        model=model,
        tokenizer=tokenizer,
        context=(run.manifest.get("recipe") or {}).get("context"),
        before=tokenizer.specials.get("end" if model.stack_names == ["decoder"] else "start"),
        notes=(*found.notes, *(() if run.manifest.get("finished") else (unfinished,))),
    )


def _from_folder(folder: Path) -> Trained:
    from deepwide.lab.data import load_tokenizer
    from deepwide.lab.huggingface import read
    from deepwide.lab.store.files import shown

    tokenizer, model = load_tokenizer(folder), read(folder).to(_device())
    stated, begins = model.architecture.context, json_table(folder / CONFIG).get("decoder_start_token_id")
    return Trained(
        name=shown(folder.name),
        model=model,
        tokenizer=tokenizer,
        context=None if stated is None else int(stated),
        before=begins if isinstance(begins, int) else tokenizer.specials.get("start", tokenizer.specials.get("end")),
    )


def _numerics(manifest: Mapping[str, Any]) -> Numerics:
    """The constants that a run computes with, where its manifest states some."""
    from deepwide.formats.constants import RotaryScaling
    from deepwide.lab.network import Numerics

    table = dict(manifest.get("numerics") or {})
    scaling = table.get("rotary_scaling")
    try:
        return Numerics(**{**table, "rotary_scaling": RotaryScaling(**scaling) if scaling else None})
    except TypeError as error:
        raise BadInput(f"manifest.json: numerics cannot be read ({error}); it is of another version") from None


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _folder(name: str) -> Path | None:
    """The folder of this name, if there is one that can be looked into."""
    try:
        path = Path(name).expanduser().resolve()
        return path if name and path.is_dir() else None
    except (OSError, RuntimeError, ValueError):  # too long, no such user, a null character
        return None
