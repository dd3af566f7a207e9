"""A quantised run on disk: one safetensors file of packed weights, and a manifest that says how to read them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepwide.errors import BadInput

if TYPE_CHECKING:
    from deepwide.lab.compress import Way
    from deepwide.lab.network import Transformer
    from deepwide.lab.store import Run

FILE = "quantized.safetensors"
FORMAT = {"format": "deepwide-quantized", "version": "1"}


def write_packed(folder: Path, model: Transformer) -> None:
    """The file of a model whose matrices are packed."""
    from deepwide.lab.compress import stored
    from deepwide.lab.training.tensor_file import write_tensors

    write_tensors(folder / FILE, stored(model), FORMAT)


def packed_model(run: Run, fresh: Callable[[Mapping[str, Any]], Transformer]) -> Transformer:
    """The model of a quantised run, with its packed matrices in place."""
    from deepwide.lab.compress import load_quantised
    from deepwide.lab.training.tensor_file import Unreadable, read_tensors

    way, rows = _said(run.manifest)
    try:
        tensors, header = read_tensors(run.path / FILE)
        if any(header.get(key) != value for key, value in FORMAT.items()):
            raise Unreadable("it is of another version")
    except Unreadable as error:
        raise BadInput(f"run {run.name}: {FILE} cannot be used: {error}; quantise again") from None
    model = fresh(run.manifest)
    load_quantised(model, way, rows, tensors)
    return model.requires_grad_(False)


def sizes_on_disk(file: Path) -> tuple[int, int]:
    """Bytes of a safetensors file's tensors, and of the header before them."""
    with file.open("rb") as opened:
        header = 8 + int.from_bytes(opened.read(8), "little")
    return file.stat().st_size - header, header


def _said(manifest: Mapping[str, Any]) -> tuple[Way, tuple[str, ...]]:
    from deepwide.lab.compress import checked_way

    table = manifest.get("quantized")
    try:
        assert isinstance(table, Mapping)
        to, group, rows = str(table["to"]), int(table["group"]), tuple(str(row) for row in table["rows"])
    except (AssertionError, KeyError, TypeError, ValueError):
        raise BadInput("manifest.json: quantized cannot be read; it is of another version") from None
    return checked_way(to, group), rows
