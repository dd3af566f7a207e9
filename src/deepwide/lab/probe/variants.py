"""The same weights in another model: without networks, without skip connections, or both."""

from __future__ import annotations

from dataclasses import replace

import torch

from deepwide.architecture.ablations import ablated
from deepwide.architecture.attention import Attention
from deepwide.architecture.model import Architecture, Layer, Stack
from deepwide.errors import BadInput
from deepwide.lab.network import Transformer, build
from deepwide.lab.training.tensors import weights


def without_skips(architecture: Architecture) -> Architecture:
    """The model whose branches replace the stream instead of being added to it."""
    return ablated(architecture, ["no_residual"])


def attention_alone(architecture: Architecture) -> Architecture:
    """The model whose layers are attention and nothing else."""
    return replace(architecture, stacks=tuple(_attending(stack, architecture) for stack in architecture.stacks))


def _attending(stack: Stack, architecture: Architecture) -> Stack:
    return replace(stack, runs=tuple(replace(r, layer=_kept(r.layer, architecture.family)) for r in stack.runs))


def _kept(layer: Layer, family: str) -> Layer:
    branches = tuple(branch for branch in layer.branches if isinstance(branch.body, Attention))
    if not branches:
        raise BadInput(f"{family} has layers without attention, and this probe looks at attention; give another model")
    return replace(layer, branches=branches)


@torch.no_grad()
def with_weights_of(model: Transformer, architecture: Architecture) -> Transformer:
    """A model of another architecture with the tensors of the same names of `model`; it must have all of its own."""
    device = next(model.parameters()).device
    changed = build(architecture, numerics=model.numerics, device=device)
    there = weights(model)
    for name, tensor in weights(changed).items():
        tensor.copy_(there[name])
    return changed
