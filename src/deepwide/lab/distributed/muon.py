"""Muon where matrices are cut: each is put together for its step, made orthogonal, and cut again.

Momenta stay cut, as gradients do. Every process that shares a matrix makes it orthogonal for itself: that costs the
work of one process, not a part of it, and no more memory than a stack of matrices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from deepwide.lab.distributed.pieces import Held
from deepwide.lab.training.muon import muon_step


class CutMuon:
    """A step of Muon on pieces of matrices."""

    def __init__(self, parameters: Mapping[str, Held]) -> None:
        self.held = {id(one.piece): one for one in parameters.values()}

    def __call__(self, matrices: Sequence[Tensor], *others: Sequence[Tensor], **how: Any) -> None:
        """The step that `muon_step` takes, which is told how each matrix is cut."""
        muon_step(matrices, *others, cuts=[self.held[id(matrix)] for matrix in matrices], **how)
