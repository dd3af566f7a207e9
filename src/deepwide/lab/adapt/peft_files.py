"""Adapters as files of peft's own format: adapter_config.json and adapter_model.safetensors.

Under our names they load on our model. Where each matrix is one of transformers' too, they are written under its names
besides, and load on its model.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from deepwide.errors import BadInput
from deepwide.lab.adapt.lora import Adapter, config_of, deltas, unadapted
from deepwide.lab.huggingface.constants import factors
from deepwide.lab.huggingface.pairs import pairs
from deepwide.lab.network import Transformer
from deepwide.lab.store.files import json_bytes, replace_whole, written
from deepwide.lab.training.tensor_file import write_tensors

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."  # what peft writes before every name


def write_adapter(model: Transformer, adapter: Adapter, folder: Path, base: str, family: str = "") -> int:
    """Writes the adapters of a model into a folder; returns the bytes of their tensors' file.

    base              what they belong to
    family            of transformers, under whose names they are written; ours where left out
    """
    named = _transformers_names(model, family) if family else None
    tensors: dict[str, Tensor] = {}
    targets = []
    for path, a, b in deltas(model):
        name, factor = (path, 1.0) if named is None else named[path]
        targets.append(name)
        tensors[f"{PREFIX}{name}.lora_A.weight"] = a
        tensors[f"{PREFIX}{name}.lora_B.weight"] = b * factor
    config = config_of(adapter, None if named is None else sorted(targets)).to_dict()
    config |= {"base_model_name_or_path": base, "inference_mode": True, "peft_type": "LORA", "task_type": None}
    with written(folder, "make room, then resume the run"):
        folder.mkdir(parents=True, exist_ok=True)
        write_tensors(folder / WEIGHTS, tensors, {"format": "pt"})
        replace_whole(folder / CONFIG, json_bytes(config))
    return (folder / WEIGHTS).stat().st_size


def saved_as(model: Transformer, adapter: Adapter, folder: Path, base: str, family: str = "") -> dict[str, int]:
    """Writes the adapters in every form that there is for them; bytes by the folder's name."""
    sizes = {"adapter": write_adapter(model, adapter, folder / "adapter", base)}
    if family:
        try:
            beside = folder / "adapter-huggingface"
            sizes[beside.name] = write_adapter(model, adapter, beside, base, family)
        except BadInput:  # transformers has another tensor for these matrices
            pass
    return sizes


def _transformers_names(model: Transformer, family: str) -> dict[str, tuple[str, float]]:
    """For each adapted module that of transformers, and what its weights are multiplied by there."""
    plain = unadapted(model)
    scaled = factors(plain, family)
    found = {}
    for pair in pairs(plain, family):
        ours, theirs = pair.ours[0].removesuffix(".weight"), pair.theirs.removesuffix(".weight")
        if len(pair.ours) == 1 and not pair.turned and pair.theirs.endswith(".weight"):
            found[ours] = (theirs, scaled.get(pair.ours[0], 1.0))
    missing = next((path for path, _, _ in deltas(model) if path not in found), None)
    if missing:
        raise BadInput(f"{family} keeps {missing} in one tensor with others; its adapter has no name there")
    return found
