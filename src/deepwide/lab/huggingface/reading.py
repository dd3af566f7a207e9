"""Reading a model from a folder of Hugging Face's: names, shapes and types are checked before a weight is read.

Only safetensors files are opened, one or the shards of an index; a pickle, which could run code, is never read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from deepwide.architecture.ledger import lower
from deepwide.architecture.model import Architecture
from deepwide.architecture.sizes import sizes
from deepwide.errors import BadInput
from deepwide.formats.config_file import LARGEST_CONFIG_BYTES, config_fields
from deepwide.formats.constants import constants
from deepwide.formats.huggingface import read_config
from deepwide.formats.weights import safetensors as header
from deepwide.formats.weights.tensors import StoredTensor
from deepwide.lab.huggingface.constants import numerics
from deepwide.lab.huggingface.pairs import Pair, format_of, pairs
from deepwide.lab.huggingface.tables import HEADS, Format, is_tied
from deepwide.lab.network import build
from deepwide.lab.network.transformer import Transformer
from deepwide.lab.store.files import shown
from deepwide.lab.training.tensors import weights

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
READABLE = ("F64", "F32", "F16", "BF16")
NOT_COMPUTED = ("scale_attn_by_inverse_layer_idx", "add_cross_attention")  # where a config says true
SHOWN = 3  # names in a message
MOST_TIMES = 2  # what a config describes, of what the files hold: less is told tensor by tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The tensors of a folder under the names of the format, and where each lies and what it is called there."""

    folder: Path
    tensors: Mapping[str, StoredTensor]
    files: Mapping[str, Path]

    def load(self, name: str) -> Tensor:
        """The values of a tensor."""
        path = self.files[name]
        try:
            with safe_open(path, framework="pt") as file:
                values: Tensor = file.get_tensor(self.tensors[name].name)
        except (SafetensorError, OSError, RuntimeError, ValueError) as error:
            raise BadInput(f"{shown(path.name)}: {name} cannot be read ({str(error)[:100]}); fetch it again") from None
        return values


def read(folder: str | Path) -> Transformer:
    """The model of a folder, in fp32."""
    place = Path(folder)
    config = _config(place)
    family = str(config.get("model_type"))
    form = format_of(family)
    stored = _stored(place, form)
    computed = constants(config, CONFIG)
    architecture = read_config(config, where=CONFIG)
    changes = _untying(architecture, stored, form)
    if changes:
        architecture = read_config(config, where=CONFIG, changes=changes)
    _check_sizes(architecture, stored)
    model = build(architecture, numerics=numerics(computed), device="meta")
    needed = pairs(model, family)
    _check(needed, weights(model), stored, form)
    model.to_empty(device="cpu")
    model.tie()
    _fill(model, needed, stored)
    return model


def _config(folder: Path) -> Mapping[str, Any]:
    path = folder / CONFIG
    try:
        with path.open("rb") as file:
            config = config_fields(file.read(LARGEST_CONFIG_BYTES + 1), CONFIG)
    except OSError as error:
        raise BadInput(f"{shown(path)} cannot be read ({error.strerror}); give a folder with a config.json") from None
    for field in NOT_COMPUTED:
        if config.get(field):
            raise BadInput(f"{CONFIG}: {field}=true cannot be computed; only the plain form can")
    if config.get("quantization_config"):
        raise BadInput(f"{CONFIG}: quantised weights cannot be read; take the model in bf16, fp16 or fp32")
    return config


def _stored(folder: Path, form: Format) -> Stored:
    """What the folder holds, by name; headers alone are read."""
    path = next((folder / name for name in (INDEX, WEIGHTS) if (folder / name).is_file()), None)
    if path is None:
        pickles = [each.name for each in folder.glob("*.bin")]
        if pickles:
            raise BadInput(
                f"{shown(pickles[0])} is a pickle, which can run code, and is not opened; "
                "save it as safetensors where you trust it: model.save_pretrained(folder) of transformers"
            )
        raise BadInput(f"{shown(folder)} holds no {WEIGHTS} and no {INDEX}; give the folder of a model")
    tensors, files = {}, {}
    for file in _files(path):
        for tensor in header.read(file).tensors:
            name = _named(tensor.name, form)
            tensors[name], files[name] = tensor, file
    return Stored(folder=folder, tensors=tensors, files=files)


def _files(path: Path) -> Iterator[Path]:
    """The file itself, or the shards of an index, which is checked with every header before one is named."""
    if path.name != INDEX:
        yield path
        return
    header.read(path)
    table = config_fields(path.read_bytes(), INDEX)["weight_map"]
    yield from sorted({path.parent / shard for shard in table.values()})


def _named(name: str, form: Format) -> str:
    """A tensor's name as the format has it now."""
    for old, new in form.older:
        if name.endswith(old):
            name = name.removesuffix(old) + new
    outside = name.startswith((form.prefix, "lm_head.", "cls."))
    return name if outside else form.prefix + name


def _untying(architecture: Architecture, stored: Stored, form: Format) -> dict[str, Any]:
    """Whether the head is tied, where the tensors know better than the config: a head that differs is its own."""
    head = next((name for name in HEADS if name in stored.tensors), None)
    if not is_tied(architecture):
        return {"tied": True} if head is None and "t5" in form.families else {}  # transformers 5 ties every T5
    if head is None:
        return {}
    table = f"{form.rows(architecture)[0].theirs}.weight"  # of the tokens
    same = table in stored.tensors and torch.equal(stored.load(head), stored.load(table))
    return {} if same else {"tied": False}


def _check_sizes(architecture: Architecture, stored: Stored) -> None:
    """Refuses a config that asks for far more than the files hold, before the model is made."""
    for name in ("hidden", "head_dim"):
        if getattr(sizes(architecture), name) == 0:
            raise BadInput(f"{CONFIG}: {name}=0 must be at least 1")
    counted = int(lower(architecture).parameters())
    held = sum(prod(tensor.shape) for tensor in stored.tensors.values())
    if counted > MOST_TIMES * held:
        raise BadInput(f"{CONFIG} describes {counted:,} parameters, and the files hold {held:,}: one is wrong")


def _check(needed: tuple[Pair, ...], own: Mapping[str, Tensor], stored: Stored, form: Format) -> None:
    """Refuses tensors that are missing, or of another shape or type, or that nothing here would use."""
    names = {pair.theirs for pair in needed}
    missing = sorted(names - stored.tensors.keys())
    if missing:
        raise BadInput(
            f"{shown(stored.folder)}: no tensor called {_some(missing)}; it is of another model or cut short"
        )
    strange = sorted(stored.tensors.keys() - names - set(HEADS))
    strange = [name for name in strange if not name.endswith(form.left)]
    if strange:
        raise BadInput(f"{shown(stored.folder)}: {_some(strange)} would be left over; the config is of another model")
    for pair in needed:
        found, expected = stored.tensors[pair.theirs], tuple(pair.joined(own).shape)
        if found.shape != expected:
            raise BadInput(f"{pair.theirs} is {list(found.shape)}, and {list(expected)} by {CONFIG}: one is wrong")
        if found.dtype not in READABLE:
            known = ", ".join(READABLE)
            raise BadInput(f"{pair.theirs} is of type {found.dtype}, which is not computed with; expected {known}")


@torch.no_grad()
def _fill(model: Transformer, needed: tuple[Pair, ...], stored: Stored) -> None:
    own = weights(model)
    for pair in needed:
        for mine, theirs in pair.parted(own, stored.load(pair.theirs)):
            mine.copy_(theirs)


def _some(names: list[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(map(shown, names[:SHOWN])) + (f" and {more} more" if more > 0 else "")
