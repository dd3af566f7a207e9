"""A model whose matrices are packed: which of its modules that concerns, and its tensors as a file keeps them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import torch
from torch import Tensor, nn

from deepwide.errors import BadInput, did_you_mean
from deepwide.lab.compress.codes import GROUPS, Way, bitsandbytes, pack
from deepwide.lab.compress.layers import Packed, PackedLinear, PackedStack
from deepwide.lab.network import Transformer
from deepwide.lab.network.equality import row_name
from deepwide.lab.network.feed_forward import Experts
from deepwide.lab.network.layers import Linear
from deepwide.lab.training.tensors import load_weights, weights

__all__ = ["Way", "checked_way", "load_quantised", "quantise", "stored", "unpacked_first"]
WAYS = ("int8", "int4", "nf4")
FULL = ("scale_scales", "mean")  # what NF4 keeps in fp32


def checked_way(to: str, group: int) -> Way:
    """The way, if there is one like this and what it needs is installed."""
    if to not in WAYS:
        raise BadInput(f"to={to!r} is unknown{did_you_mean(to, WAYS)}; known: {', '.join(WAYS)}")
    if to == "int8" and group:
        raise BadInput(f"group={group} is for int4 and nf4; int8 has one scale for each output: leave it out")
    if to != "int8" and group not in GROUPS:
        raise BadInput(f"group={group} is not one of {', '.join(map(str, GROUPS))}")
    if to == "nf4":
        bitsandbytes()
    return Way(to=to, group=group)


@torch.no_grad()
def quantise(model: Transformer, way: Way, rows: Collection[str]) -> None:
    """Packs the matrices of these rows of the ledger; all else is rounded to bfloat16, as a file keeps it."""
    for name, tensor in list(_matrices(model, rows)):
        if tensor.dim() == 3:
            each = [pack(one.t().contiguous().float(), way) for one in tensor]
            packed = {key: torch.stack([one[key] for one in each]) for key in each[0]}
        else:
            packed = pack(tensor.float(), way)
        _placed(model, name, way).fill(packed)
    for name, tensor in weights(model).items():
        if not _is_packed(model, name):
            tensor.copy_(tensor.to(torch.bfloat16))


def load_quantised(model: Transformer, way: Way, rows: Collection[str], kept: Mapping[str, Tensor]) -> None:
    """Makes room for packed matrices in a fresh model, and fills it with what a file kept."""
    for name, _ in list(_matrices(model, rows)):
        _placed(model, name, way)
    load_weights(model, kept)


def stored(model: Transformer) -> dict[str, Tensor]:
    """The tensors as a file keeps them: codes as they are, scales and all other weights in bfloat16."""
    return {name: _narrow(model, name, tensor) for name, tensor in weights(model).items()}


def unpacked_first(model: Transformer) -> tuple[int, int]:
    """How many packed modules have to be unpacked before each product, and how many there are."""
    packed = [module for module in model.modules() if isinstance(module, Packed)]
    quick = [m for m in packed if isinstance(m, PackedLinear) and m.has_kernel and m.codes.device.type == "cpu"]
    return len(packed) - len(quick), len(packed)


def _narrow(model: Transformer, name: str, tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point() or (_is_packed(model, name) and name.endswith(FULL)):
        return tensor
    return tensor.to(torch.bfloat16)


def _is_packed(model: Transformer, name: str) -> bool:
    path, _, leaf = name.rpartition(".")
    owner = model.get_submodule(path)
    return isinstance(owner, Packed) and leaf in owner.names


def _matrices(model: Transformer, rows: Collection[str]) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in model.named_parameters():
        owner = model.get_submodule(name.rpartition(".")[0])
        if isinstance(owner, Linear | Experts) and tensor.dim() > 1 and row_name(model, name) in rows:
            yield name, tensor


def _placed(model: Transformer, name: str, way: Way) -> Packed:
    """Puts a packed matrix in the place of a parameter of this name."""
    path, _, leaf = name.rpartition(".")
    owner = model.get_submodule(path)
    tensor = owner.get_parameter(leaf)
    if isinstance(owner, Linear):
        linear = PackedLinear(way, (owner.out_features, owner.in_features), owner._parameters["bias"])
        return _set(model, path, linear.to(tensor.device))
    experts, inputs, outputs = tensor.shape
    del owner._parameters[leaf]
    return _set(model, name, PackedStack(way, (outputs, inputs), experts).to(tensor.device))


def _set(model: nn.Module, name: str, module: Packed) -> Packed:
    path, _, leaf = name.rpartition(".")
    parent = model.get_submodule(path)
    parent._modules[leaf] = module
    return module
