"""The weights a model starts from: the same for the same seed, and of a size that keeps signals alive at any shape.

A matrix starts normal with a standard deviation of 1 / sqrt(inputs), so that what goes in and what comes out are of one
size at any width; what a branch adds to the stream is divided by sqrt(branches), so that the stream is at any depth
(Radford et al. 2019, section 2.3). The output head starts small, so that the first loss is ln(vocabulary).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from deepwide.lab.network.inputs import PositionTable
from deepwide.lab.network.layers import LayerNorm, Linear, RMSNorm, Table
from deepwide.lab.network.transformer import Transformer

TABLE_STD = 0.02  # of tables of vectors: GPT-2's and BERT's own
HEAD_SPREAD = 0.2  # standard deviation of the first scores; their loss is then ln(vocabulary) + 0.02
BRANCH_ENDS = ("output", "down", "expert_down")


@torch.no_grad()
def initialise(model: Transformer, seed: int) -> None:
    """Fills every tensor, in the order of their names in the model."""
    generator = torch.Generator().manual_seed(seed)
    branches = {name: max(1, model.stack(name).branches) for name in model.stack_names}
    for module in model.modules():
        if isinstance(module, PositionTable):
            module.reset()
    tied = {id(layer.weight) for layer in model.head.modules() if isinstance(layer, Linear)}
    for name, tensor in model.named_parameters():
        if not tensor.requires_grad:
            continue
        owner = model.get_submodule(name.rpartition(".")[0])
        if isinstance(owner, RMSNorm | LayerNorm):
            tensor.fill_(1.0 if name.endswith("weight") else 0.0)
        elif name.endswith((".bias", "_bias")):
            tensor.zero_()
        else:
            std = _std(name, tensor, owner, branches)
            if id(tensor) in tied:
                std = min(TABLE_STD, HEAD_SPREAD / math.sqrt(tensor.shape[-1]))
            tensor.copy_(torch.empty(tensor.shape).normal_(0.0, std, generator=generator))


def _std(name: str, tensor: Tensor, owner: nn.Module, branches: dict[str, int]) -> float:
    if isinstance(owner, Table | PositionTable):
        return TABLE_STD
    stacked = tensor.dim() == 3
    inputs = tensor.shape[1] if stacked else tensor.shape[-1]
    leaf = name.rpartition(".")[2] if stacked else name.split(".")[-2]
    ends = branches.get(name.split(".")[0], 1) if leaf in BRANCH_ENDS else 1
    return 1 / math.sqrt(inputs * ends)
