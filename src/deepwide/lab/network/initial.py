"""The weights a model starts from: the same for the same seed, and of a size that keeps signals alive at any shape.

A matrix starts normal with a standard deviation of 1 / sqrt(inputs), so that what goes in and what comes out are of one
size at any width. The tables start the stream with vectors of size one; what a branch adds is as large, divided by
sqrt(branches) (Radford et al. 2019, section 2.3): at any depth the stream is of one size, and the token is heard in it.
The head starts small, so that the first loss is ln(vocabulary). Where it shares the table the stream starts as small,
and so do then the branches.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from deepwide.architecture.parts import Head as HeadDescription
from deepwide.lab.network.block import Block, Step
from deepwide.lab.network.inputs import RELATIVE, Inputs, PositionTable
from deepwide.lab.network.layers import LayerNorm, RMSNorm, Table
from deepwide.lab.network.transformer import Transformer

HEAD_SPREAD = 0.2  # standard deviation of the first scores; their loss is then ln(vocabulary) + 0.02
OWN_SCORE = 2.0  # at most what a tied head gives the token that it has just read, whatever the width
BIAS_STD = 0.02  # of what is learned about distances, which is added to scores
SINE = math.sqrt(0.5)  # the size of sines and cosines
BRANCH_ENDS = {"output", "down", "expert_down"}


@torch.no_grad()
def initialise(model: Transformer, seed: int) -> None:
    """Fills every tensor, in the order of their names in the model."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, PositionTable):
            module.reset()
    stds = _stds(model)
    for name, tensor in model.named_parameters():
        if not tensor.requires_grad:
            continue
        owner = model.get_submodule(name.rpartition(".")[0])
        if isinstance(owner, RMSNorm | LayerNorm):
            tensor.fill_(1.0 if name.endswith("weight") else 0.0)
        elif name.endswith((".bias", "_bias")):
            tensor.zero_()
        else:
            std = stds.get(id(tensor), 1 / math.sqrt(_inputs(tensor)))
            tensor.copy_(torch.empty(tensor.shape).normal_(0.0, std, generator=generator))


def _stds(model: Transformer) -> dict[int, float]:
    """The standard deviations that are not 1 / sqrt(inputs), by the ids of their tensors."""
    named = [part.name for part in model.architecture.head if isinstance(part, HeadDescription)]
    heads = [model.head.get_parameter(f"{name}.weight") for name in named]
    small = {id(head): _first_scores(head.shape[-1]) for head in heads}
    tables = {id(table.weight) for table in model.modules() if isinstance(table, Table | PositionTable)}
    shared = min((std for tensor, std in small.items() if tensor in tables), default=1.0)
    stds = dict.fromkeys(tables, shared) | small
    for name, module in model.named_modules():
        if name.endswith(RELATIVE):
            stds[id(module.weight)] = BIAS_STD
    for name in model.stack_names:
        stack = model.stack(name)
        start = _size(stack.inputs, shared, _size(model.embedding, shared))
        for block in stack.blocks:
            assert isinstance(block, Block)
            for step in block.steps:
                if not step.residual:
                    continue
                added = (start if _reads_norm(block, step) else 1.0) / math.sqrt(stack.branches)
                stds |= {id(end): added / math.sqrt(_inputs(end)) for end in _ends(block, step)}
    return stds


def _size(inputs: Inputs, table: float, before: float = 0.0) -> float:
    """Of the vectors that these parts make when learned tables are of size `table`."""
    size = before
    for name in inputs.order:
        part = inputs.get_submodule(name)
        if isinstance(part, RMSNorm | LayerNorm):
            size = 1.0
        elif isinstance(part, Table | PositionTable) and name != RELATIVE:
            size = math.hypot(size, table if isinstance(part, Table) or part.learned else SINE)
    return size


def _reads_norm(block: Block, step: Step) -> bool:
    """Whether what the branch adds does not grow or shrink with the stream: its norm stands before it, not after."""
    before = [hasattr(block, f"{each.name}_norm") for each in block.steps]
    return not step.after_sum and (any(before) if block.parallel else hasattr(block, f"{step.name}_norm"))


def _ends(block: Block, step: Step) -> list[nn.Parameter]:
    """The matrices that write what the branch adds."""
    named = block.get_submodule(step.name).named_parameters()
    return [p for name, p in named if p.dim() > 1 and set(name.split(".")[-2:]) & BRANCH_ENDS]


def _inputs(tensor: Tensor) -> int:
    """Features that a matrix [outputs, inputs], or one of a stack of experts' [experts, inputs, outputs], reads."""
    return tensor.shape[1] if tensor.dim() == 3 else tensor.shape[-1]


def _first_scores(width: int) -> float:
    """Of a head's matrix [vocab, width]: the spread of its scores, but a vector of it meets itself with OWN_SCORE."""
    return min(HEAD_SPREAD / math.sqrt(width), OWN_SCORE / width)
