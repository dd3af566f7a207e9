"""A smaller model from a larger one: the layers, heads and channels that stay, in the shape that was counted for them.

Shapes: weights are [outputs, inputs].
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from deepwide.architecture.model import Architecture
from deepwide.lab.compress.importance import key_heads
from deepwide.lab.network import Transformer, build
from deepwide.lab.network.attention import Attention
from deepwide.lab.network.feed_forward import FeedForward
from deepwide.lab.training.tensors import load_weights, weights

BLOCK = re.compile(r"^(\w+)\.blocks\.(\d+)\.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What stays, in order.

    layers            of the last stack, by their number in the larger model
    groups            of an attention, by the path of its module there: its heads of keys, each with its query heads
    channels          of a network, likewise
    """

    layers: tuple[int, ...]
    groups: Mapping[str, Tensor] = field(default_factory=dict)
    channels: Mapping[str, Tensor] = field(default_factory=dict)


def cut(model: Transformer, smaller: Architecture, kept: Kept) -> Transformer:
    """The smaller model, with what stays of the larger one's weights; it is built equal to its ledger, or refused."""
    device = next(model.parameters()).device
    new = build(smaller, numerics=model.numerics, device=device)
    old = weights(model)
    load_weights(new, {name: _piece(model, old, _name_before(model, name, kept), kept) for name in weights(new)})
    return new


def strongest(scores: Tensor, count: int) -> Tensor:
    """The places of the highest scores, in their order."""
    return torch.topk(scores, count).indices.sort().values


def _name_before(model: Transformer, name: str, kept: Kept) -> str:
    """What a tensor of the smaller model was called in the larger one."""
    found = BLOCK.match(name)
    if found is None or found[1] != model.stack_names[-1]:
        return name
    return f"{found[1]}.blocks.{kept.layers[int(found[2])]}.{name[found.end() :]}"


def _piece(model: Transformer, old: Mapping[str, Tensor], name: str, kept: Kept) -> Tensor:
    """What stays of a tensor."""
    words = name.split(".")
    for cut_at in range(len(words) - 1, 0, -1):
        path = ".".join(words[:cut_at])
        module: nn.Module = model.get_submodule(path)
        if isinstance(module, Attention) and path in kept.groups:
            return _of_attention(module, words[cut_at], old[name], kept.groups[path])
        if isinstance(module, FeedForward) and path in kept.channels:
            return _of_network(words[cut_at], old[name], kept.channels[path])
    return old[name]


def _of_attention(a: Attention, role: str, tensor: Tensor, groups: Tensor) -> Tensor:
    """Rows of queries, keys and values, columns of the output, of the kept groups alone."""
    shared = a.heads // key_heads(a)
    if role in ("query", "query_norm") and (role == "query" or a.normed_whole):
        return tensor[_spread(groups, shared * a.head_dim)]
    if role == "key" or (role == "key_norm" and a.normed_whole):
        return tensor[_spread(groups, a.head_dim)]
    if role == "value":
        return tensor[_spread(groups, a.value_dim)]
    if role == "output" and tensor.dim() == 2:
        return tensor[:, _spread(groups, shared * a.value_dim)]
    return tensor


def _of_network(role: str, tensor: Tensor, channels: Tensor) -> Tensor:
    if role in ("gate", "up"):
        return tensor[channels]
    return tensor[:, channels] if tensor.dim() == 2 else tensor


def _spread(places: Tensor, width: int) -> Tensor:
    """The numbers of all elements of blocks of this width."""
    return (places[:, None] * width + torch.arange(width, device=places.device)).flatten()
