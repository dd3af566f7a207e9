"""Writing a model as a folder that transformers loads: all of it, or nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from deepwide.errors import BadInput
from deepwide.formats.export.huggingface import config_of
from deepwide.lab.huggingface.constants import factors, stated
from deepwide.lab.huggingface.pairs import pairs
from deepwide.lab.huggingface.tables import FAMILIES
from deepwide.lab.network.transformer import Transformer
from deepwide.lab.store.files import json_bytes, replace_whole, shown, written
from deepwide.lab.training.tensor_file import write_tensors
from deepwide.lab.training.tensors import weights

CONFIG, WEIGHTS = "config.json", "model.safetensors"
WAY_OUT = "make room, or choose another folder"


class Saved(Protocol):
    """A tokeniser that can write its files."""

    @property
    def specials(self) -> Mapping[str, int]:
        """The numbers of its special tokens: pad, start, end, mask."""

    def save(self, folder: str | Path) -> None:
        """Writes tokenizer.json and tokenizer_config.json."""


def write(model: Transformer, folder: str | Path, tokenizer: Saved | None = None) -> dict[str, Any]:
    """Writes config.json, model.safetensors and the tokeniser's files; returns the config.

    The folder must be new or empty. It is filled under another name first, so it is there whole or not at all.
    """
    config = _config(model, tokenizer)
    tensors = _tensors(model, str(config["model_type"]))
    place = Path(folder)
    _check_free(place)
    part = place.with_name(f".{place.name[:50]}.{os.getpid()}.part")
    with written(place, WAY_OUT):
        shutil.rmtree(part, ignore_errors=True)  # of a killed process of the same number
        try:
            part.mkdir(parents=True)
            replace_whole(part / CONFIG, json_bytes(config))
            write_tensors(part / WEIGHTS, tensors, {"format": "pt"})
            if tokenizer is not None:
                tokenizer.save(part)
            part.replace(place)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
    return config


def _config(model: Transformer, tokenizer: Saved | None) -> dict[str, Any]:
    """The config of the format that can say this model; BadInput where none can."""
    config = config_of(model.architecture, computed=stated(model.numerics))
    family = str(config["model_type"])
    if family not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise BadInput(f"{model.architecture.name}: weights of {family!r} cannot be written; known formats: {known}")
    specials = tokenizer.specials if tokenizer is not None else {}
    for field, role in (("bos_token_id", "start"), ("eos_token_id", "end"), ("pad_token_id", "pad")):
        config[field] = specials.get(role)
    if len(model.stack_names) > 1 and "start" in specials:
        config["decoder_start_token_id"] = specials["start"]
    return {**config, "dtype": "float32"}


def _tensors(model: Transformer, family: str) -> dict[str, Tensor]:
    """Their tensors, made of ours."""
    own, scaled = weights(model), factors(model, family)
    own |= {name: own[name] * factor for name, factor in scaled.items()}
    return {pair.theirs: pair.joined(own) for pair in pairs(model, family)}


def _check_free(place: Path) -> None:
    """Refuses a folder with anything in it, and a file."""
    with written(place, WAY_OUT):
        if place.is_dir() and any(place.iterdir()):
            raise BadInput(f"{shown(place)} is not empty; choose a new folder, or remove it first")
        if place.exists() and not place.is_dir():
            raise BadInput(f"{shown(place)} is a file; choose a folder")
