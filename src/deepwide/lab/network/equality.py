"""The built model is the counted one: its tensors, gathered by name, equal the ledger's rows in shape and number."""

from __future__ import annotations

import re
from collections import Counter

from torch import nn

from deepwide.architecture.ledger import lower
from deepwide.lab.network.feed_forward import Experts
from deepwide.lab.network.layers import LayerNorm, Linear
from deepwide.lab.network.transformer import Transformer

Tensors = Counter[tuple[str, tuple[int, ...]]]


def differences(model: Transformer) -> list[str]:
    """What the model has that its ledger lacks, and the other way round, one sentence each; empty where they agree."""
    counted, built = counted_tensors(model), built_tensors(model)
    lacking = [f"{n} × {name} {list(shape)} counted, not built" for (name, shape), n in (counted - built).items()]
    return lacking + [
        f"{n} × {name} {list(shape)} built, not counted" for (name, shape), n in (built - counted).items()
    ]


def counted_tensors(model: Transformer) -> Tensors:
    """The ledger's rows: how many tensors of which name and shape."""
    tensors: Tensors = Counter()
    for row in lower(model.architecture).weights:
        if not row.tied:
            tensors[row.name, tuple(int(size) for size in row.shape)] += int(row.repeat * row.copies)
    return tensors


def built_tensors(model: Transformer) -> Tensors:
    """The model's parameters under the names of the ledger; a matrix is told as inputs × outputs."""
    tensors: Tensors = Counter()
    for name, tensor in model.named_parameters():
        owner, shape = model.get_submodule(name.rpartition(".")[0]), tuple(tensor.shape)
        if isinstance(owner, Experts):
            tensors[row_name(model, name), shape[1:]] += shape[0]
        else:
            tensors[row_name(model, name), shape[::-1] if isinstance(owner, Linear) else shape] += 1
    return tensors


def row_name(model: Transformer, name: str) -> str:
    """The name of the ledger's row that a parameter of this name belongs to."""
    path, _, leaf = name.rpartition(".")
    owner = model.get_submodule(path)
    if isinstance(owner, Experts):
        return f"{_place(model, path)}.{leaf.replace('_bias', '.bias')}"
    return f"{_place(model, path)}{_ending(owner, leaf)}"


def _place(model: Transformer, path: str) -> str:
    """Where the ledger says a module stands: layers of one run are one place."""
    words = [word for word in path.split(".") if word not in ("inputs", "after")]
    if words[1:2] == ["blocks"]:
        run = model.stack(words[0]).run_names[int(words[2])]
        words[1:3] = [run] if run else []
        words[-1] = (
            re.sub(r"^(.+)_(norm|norm_after)$", r"\1.\2", words[-1]) if len(words) == 2 + bool(run) else words[-1]
        )
    return ".".join(words).replace(".shared.", ".shared_")


def _ending(owner: nn.Module, leaf: str) -> str:
    """A matrix and a table are called by their place; a norm's gain has a name where there is a bias beside it."""
    if leaf == "weight":
        return ".gain" if isinstance(owner, LayerNorm) and owner.bias is not None else ""
    return f".{leaf}"
