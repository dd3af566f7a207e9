"""Checkpoints: all tensors of a training and where it stood, in one file that is there whole or not at all.

A checkpoint is a safetensors file, `step-000123.safetensors`; nothing in it is ever unpickled. Its header carries the
SHA-256 of the whole file (taken with zeros where the hash stands), so a file cut short or altered is known as such, and
the one before it is used.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from deepwide.errors import BadInput
from deepwide.lab.training.tensor_file import Unreadable, read_tensors, write_tensors

FORMAT = "deepwide-checkpoint"
VERSION = "1"
NAME = re.compile(r"step-(\d{6,19})\.safetensors")
WEIGHT, STATE = "weight.", "optimizer."
KEEP = 2  # the newest, and the one before in case the disk spoils it


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Where a training stands after `step` steps, with all it needs to go on."""

    step: int
    tokens: int
    seconds: float
    recipe_sha256: str
    weights: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A checkpoint that could be read, its file, and what was wrong with newer ones."""

    checkpoint: Checkpoint
    path: Path
    notes: tuple[str, ...] = ()


def write(folder: Path, checkpoint: Checkpoint, keep: int = KEEP) -> Path:
    """Puts a checkpoint into the folder and removes all but the newest `keep`; returns its file.

    Where it cannot be written it is BadInput in one line, and the older ones stay.
    """
    path = folder / f"step-{checkpoint.step:06d}.safetensors"
    tensors = {WEIGHT + name: tensor for name, tensor in checkpoint.weights.items()}
    tensors.update({STATE + name: tensor for name, tensor in checkpoint.optimizer.items()})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_tensors(path, tensors, _header(checkpoint))
        _prune(folder, checkpoint.step, keep)
    except OSError as error:
        raise BadInput(
            f"{path} cannot be written: {error.strerror or error}; make room or choose another place, then resume: "
            "earlier checkpoints are as they were"
        ) from None
    return path


def newest(folder: Path) -> Found | None:
    """The newest checkpoint that is whole, None where there are none; BadInput where none of several can be read."""
    notes: list[str] = []
    for _, path in reversed(_listed(folder)):
        try:
            return Found(checkpoint=read(path), path=path, notes=tuple(notes))
        except Unreadable as error:
            notes.append(f"{path.name} is passed over: {error}")
    if notes:
        raise BadInput(f"{folder}: no checkpoint can be read ({'; '.join(notes)}); remove the folder to begin anew")
    return None


def read(path: Path) -> Checkpoint:
    """The checkpoint of a file; Unreadable, with the reason, where it is not one that is whole."""
    tensors, header = read_tensors(path)
    if header.get("format") != FORMAT or header.get("version") != VERSION:
        raise Unreadable(f"it is not a checkpoint of version {VERSION}")
    try:
        where = json.loads(header["where"])
        step, tokens, seconds = int(where["step"]), int(where["tokens"]), float(where["seconds"])
        recipe = str(where["recipe_sha256"])
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        raise Unreadable("it does not say where the training stood") from None
    if step < 0 or tokens < 0 or not math.isfinite(seconds):
        raise Unreadable("where the training stood makes no sense")
    return Checkpoint(
        step=step,
        tokens=tokens,
        seconds=seconds,
        recipe_sha256=recipe,
        weights={n.removeprefix(WEIGHT): t for n, t in tensors.items() if n.startswith(WEIGHT)},
        optimizer={n.removeprefix(STATE): t for n, t in tensors.items() if n.startswith(STATE)},
    )


def _header(checkpoint: Checkpoint) -> dict[str, str]:
    where = {name: getattr(checkpoint, name) for name in ("step", "tokens", "seconds", "recipe_sha256")}
    return {"format": FORMAT, "version": VERSION, "where": json.dumps(where)}


def _listed(folder: Path) -> list[tuple[int, Path]]:
    """The folder's checkpoints by step, the newest last."""
    if not folder.is_dir():
        return []
    try:
        named = [(NAME.fullmatch(path.name), path) for path in folder.iterdir()]
    except OSError as error:
        raise BadInput(f"{folder} cannot be read: {error.strerror or error}") from None
    return sorted((int(match[1]), path) for match, path in named if match)


def _prune(folder: Path, step: int, keep: int) -> None:
    """Removes old checkpoints, those of later steps (they could not be read) and what a killed writer left."""
    listed = _listed(folder)
    upto = [path for s, path in listed if s <= step]
    beyond = [path for s, path in listed if s > step]
    for path in (*upto[: max(0, len(upto) - keep)], *beyond, *folder.glob(".step-*.part")):
        path.unlink(missing_ok=True)
