"""Muon where matrices are cut: each is put together for its step, made orthogonal, and cut again.

Momenta stay cut, as gradients do. Every process that shares a matrix makes it orthogonal for itself: that costs the
work of one process, not a part of it, and no more memory than a stack of matrices.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from deepwide.lab.distributed.pieces import Held
from deepwide.lab.training.muon import ADAMW_STEP, orthogonal_all, stacks


class CutMuon:
    """A step of Muon on pieces of matrices."""

    def __init__(self, parameters: Mapping[str, Held]) -> None:
        self.held = {id(one.piece): one for one in parameters.values()}

    def __call__(
        self,
        matrices: Sequence[Tensor],
        gradients: Sequence[Tensor],
        momenta: Sequence[Tensor],
        *,
        rate: float,
        weight_decay: float,
        momentum: float,
        dtype: torch.dtype,
    ) -> None:
        """The step that `muon_step` takes of whole matrices."""
        if not matrices:
            return
        torch._foreach_lerp_(list(momenta), list(gradients), 1 - momentum)
        updates = torch._foreach_lerp(list(gradients), list(momenta), momentum)
        torch._foreach_mul_(list(matrices), 1 - rate * weight_decay)
        owners = [self.held[id(matrix)] for matrix in matrices]
        for stack in stacks([one.shape for one in owners]):
            wholes = [owners[i].whole(updates[i]) for i in stack]
            scale = ADAMW_STEP * math.sqrt(max(wholes[0].shape[-2:]))
            for i, update in zip(stack, orthogonal_all(wholes, dtype), strict=True):
                matrices[i].add_(owners[i].part(update), alpha=-rate * scale)
