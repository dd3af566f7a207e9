"""Magnitude pruning: the smallest weights of all layers together become zero. The model stays as large and as slow."""

from __future__ import annotations

from torch import nn
from torch.nn.utils import prune

from deepwide.lab.network import Transformer
from deepwide.lab.network.feed_forward import Experts
from deepwide.lab.network.layers import Linear

STACKED = 3  # dimensions of the experts' matrices
MATRICES = 2  # dimensions from which on a tensor is one, or a stack of them


def make_sparse(model: Transformer, sparsity: float) -> None:
    """Sets a share of the weights of the matrices inside layers to zero, the smallest first (Han et al. 2015)."""
    matrices = _matrices(model)
    prune.global_unstructured(matrices, pruning_method=prune.L1Unstructured, amount=sparsity)
    for module, name in matrices:
        prune.remove(module, name)  # type: ignore[no-untyped-call]  # of PyTorch


def zeros(model: Transformer) -> tuple[int, int]:
    """How many weights of the matrices inside layers are zero, and how many there are."""
    tensors = [getattr(module, name) for module, name in _matrices(model)]
    return sum(int((tensor == 0).sum()) for tensor in tensors), sum(tensor.numel() for tensor in tensors)


def _matrices(model: Transformer) -> list[tuple[nn.Module, str]]:
    found: list[tuple[nn.Module, str]] = []
    for stack in model.stack_names:
        for module in model.stack(stack).blocks.modules():
            if isinstance(module, Linear | Experts):
                own = module.named_parameters(recurse=False)
                biases = ("bias", "_bias")
                found += [(module, name) for name, t in own if t.dim() >= MATRICES and not name.endswith(biases)]
    return found


def multiplied(model: Transformer) -> int:
    """Weights that one token is multiplied with: every matrix once, of experts those that it meets."""
    total = 0
    for module in model.modules():
        if isinstance(module, Linear):
            total += module.weight.numel()
        elif isinstance(module, Experts):
            stacked = [t for _, t in module.named_parameters(recurse=False) if t.dim() == STACKED]
            total += sum(tensor[0].numel() * module.active for tensor in stacked)
    return total
