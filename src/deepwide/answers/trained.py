"""A trained model by its name: a run of the lab, or a folder of Hugging Face's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepwide.answers.models import Model, find_model
from deepwide.answers.packed import packed_model
from deepwide.answers.places import json_table
from deepwide.architecture.ledger import lower
from deepwide.errors import BadInput, did_you_mean
from deepwide.formats.huggingface import read_config
from deepwide.lab.needs import need_lab

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from deepwide.architecture.model import Architecture
    from deepwide.lab.adapt import Adapter
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
    run, folder = run_of(name, root), folder_of(name)
    if run is not None:
        return _from_run(run)
    if folder is None:
        if "/" in name:
            raise BadInput(f"no folder called {shown(name)}; give one with a {CONFIG}, or the name of a run")
        return _from_run(open_run(root, name))
    if (folder / CONFIG).exists():
        return _from_folder(folder)
    near = did_you_mean(name, run_names(root))
    raise BadInput(f"{shown(folder)} holds no {CONFIG} and no run's {MANIFEST}; give a run or a model's folder{near}")


def run_of(name: str, root: str | Path | None = None) -> Run | None:
    """The run of that name, or of that folder; None where it names none."""
    from deepwide.lab.store import open_run, run_names
    from deepwide.lab.store.names import MANIFEST

    if name in run_names(root):
        return open_run(root, name)
    folder = folder_of(name)
    if folder is None or not (folder / MANIFEST).exists():
        return None
    return open_run(folder.parent, folder.name)


def run_model(manifest: Mapping[str, Any], seed: int = 0, device: str | torch.device = "") -> Transformer:
    """The model that a run trains, with fresh weights; where processes share it, each has a device of its own."""
    from deepwide.lab.device import usual_device
    from deepwide.lab.network import build

    return build(run_architecture(manifest), seed=seed, numerics=_numerics(manifest), device=device or usual_device())


def run_architecture(manifest: Mapping[str, Any]) -> Architecture:
    """What a run's manifest says its model is, checked against the number of parameters that stands there, too."""
    return run_description(manifest).described()


def run_description(manifest: Mapping[str, Any]) -> Model:
    """The model of a run as it is counted: by its text, or by the config that was fine-tuned."""
    config = manifest.get("config")
    if isinstance(config, Mapping):
        architecture = read_config(config, where="manifest.json")
        name = str(manifest["model"])
        found = Model(name=name, source="config", ledger=lower(architecture), architecture=architecture, config=config)
    else:
        found = find_model(str(manifest["model"]))
    stated = (manifest.get("architecture") or {}).get("parameters")
    counted = int(found.ledger.parameters())
    if stated not in (None, counted):
        raise BadInput(
            f"model={found.name!r} has {counted:,} parameters, not the {stated:,} of the run: it has changed"
        )
    return found


def adapter_of(manifest: Mapping[str, Any]) -> Adapter | None:
    """The adapters that a run trains, where it trains some."""
    from deepwide.lab.adapt import Adapter

    table = manifest.get("adapter")
    if not table:
        return None
    try:
        return Adapter(rank=int(table["rank"]), alpha=float(table["alpha"]), targets=tuple(table["targets"]))
    except (TypeError, KeyError, ValueError) as error:
        raise BadInput(f"manifest.json: adapter cannot be read ({error}); it is of another version") from None


def _from_run(run: Run) -> Trained:
    from deepwide.lab.training import newest
    from deepwide.lab.training.tensors import load_weights

    if run.manifest.get("quantized"):
        return _named(run, packed_model(run, run_model))
    found = newest(run.checkpoints)
    if found is None:
        raise BadInput(f"run {run.name} has no checkpoint yet; train it until the first one is written")
    try:
        model = _adapted(run, found.checkpoint.weights) if run.manifest.get("adapter") else run_model(run.manifest)
    except BadInput as error:
        raise BadInput(f"run {run.name}: {error}") from None
    if not run.manifest.get("adapter"):
        load_weights(model, found.checkpoint.weights)
    unfinished = f"run {run.name} is not finished: this is its model after {found.checkpoint.step:,} steps"
    return _named(run, model, (*found.notes, *(() if run.manifest.get("finished") else (unfinished,))))


def _named(run: Run, model: Transformer, notes: tuple[str, ...] = ()) -> Trained:
    from deepwide.lab.data import load_tokenizer

    tokenizer = load_tokenizer(run.path, name=(run.manifest.get("corpus") or {}).get("tokenizer"))
    return Trained(
        name=run.name,
        model=model,
        tokenizer=tokenizer,
        context=(run.manifest.get("recipe") or {}).get("context"),
        before=tokenizer.specials.get("end" if model.stack_names == ["decoder"] else "start"),
        notes=notes,
    )


def _adapted(run: Run, kept: Mapping[str, Tensor]) -> Transformer:
    """What a run's adapters stand beside, with the adapters merged into it."""
    from deepwide.lab.adapt import adapt, adapter_names, merge
    from deepwide.lab.training.tensors import take_over, weights

    model, adapter = trained(str(run.manifest.get("start")), run.path.parent).model, adapter_of(run.manifest)
    assert adapter is not None
    adapt(model, adapter, seed=0)
    names = adapter_names(model)
    take_over({name: tensor for name, tensor in weights(model).items() if name in names}, kept)
    merge(model)
    return model


def _from_folder(folder: Path) -> Trained:
    from deepwide.lab.data import load_tokenizer
    from deepwide.lab.device import usual_device
    from deepwide.lab.huggingface import read
    from deepwide.lab.store.files import shown

    tokenizer, model = load_tokenizer(folder), read(folder).to(usual_device())
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


def folder_of(name: str) -> Path | None:
    """The folder of this name, if there is one that can be looked into."""
    try:
        path = Path(name).expanduser().resolve()
        return path if name and path.is_dir() else None
    except (OSError, RuntimeError, ValueError):  # too long, no such user, a null character
        return None
