"""Muon: the momentum of each matrix made orthogonal before it is taken as a step (kellerjordan.github.io/posts/muon).

Matrices of one shape are orthogonalised together, as one batched product each, and in the dtype that is quick on this
machine. torch.optim.Muon gives the same numbers in bf16, one matrix at a time and in bf16 alone, which is many times
slower than fp32 on processors without it.

Shapes: n matrices, A rows, B columns, A <= B.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

# The quintic iteration of the post above, and the size of its steps, matched to AdamW's (Liu et al. 2025,
# arXiv:2502.16982, section 2.2).
QUINTIC = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
SMALLEST_NORM = 1e-7
ADAMW_STEP = 0.2
STACK_ELEMENTS = 2**24  # matrices orthogonalised at once; more would only take memory


class Cut(Protocol):
    """How this process holds a matrix: its whole shape, the whole of which it has a piece, its piece of a whole."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the whole matrix."""

    def whole(self, piece: Tensor) -> Tensor:
        """The matrix of which each process has such a piece."""

    def part(self, whole: Tensor) -> Tensor:
        """This process's piece of it."""


class Uncut:
    """A matrix that this process has whole."""

    def __init__(self, matrix: Tensor) -> None:
        self.shape = tuple(matrix.shape)

    def whole(self, piece: Tensor) -> Tensor:
        """The piece is all of it."""
        return piece

    def part(self, whole: Tensor) -> Tensor:
        """All of it."""
        return whole


def muon_step(
    matrices: Sequence[Tensor],
    gradients: Sequence[Tensor],
    momenta: Sequence[Tensor],
    *,
    rate: float,
    weight_decay: float,
    momentum: float,
    dtype: torch.dtype,
    cuts: Sequence[Cut] | None = None,
) -> None:
    """One step of all matrices in place; a stack [n, A, B] counts as n matrices. Nesterov, decoupled decay.

    Where `cuts` are given, the tensors are pieces: each update is put together, made orthogonal, and cut again.
    """
    if not matrices:
        return
    torch._foreach_lerp_(list(momenta), list(gradients), 1 - momentum)
    updates = torch._foreach_lerp(list(gradients), list(momenta), momentum)
    torch._foreach_mul_(list(matrices), 1 - rate * weight_decay)
    owners: Sequence[Cut] = [Uncut(matrix) for matrix in matrices] if cuts is None else cuts
    for stack in stacks([owner.shape for owner in owners]):
        wholes = [owners[i].whole(updates[i]) for i in stack]
        scale = ADAMW_STEP * math.sqrt(max(wholes[0].shape[-2:]))
        for i, update in zip(stack, orthogonal_all(wholes, dtype), strict=True):
            matrices[i].add_(owners[i].part(update), alpha=-rate * scale)


def stacks(shapes: Sequence[tuple[int, ...]]) -> list[list[int]]:
    """Which tensors go together: those of one shape, standing or lying, up to a limit of elements."""
    groups: dict[tuple[int, ...], list[list[int]]] = {}
    for i, shape in enumerate(shapes):
        most = max(1, STACK_ELEMENTS // math.prod(shape))
        same = groups.setdefault(tuple(sorted(shape[-2:])), [[]])
        if len(same[-1]) >= most:
            same.append([])
        same[-1].append(i)
    return [stack for same in groups.values() for stack in same]


def orthogonal_all(updates: Sequence[Tensor], dtype: torch.dtype) -> list[Tensor]:
    """Each matrix (or stack of them), which lie alike but for standing ones, with singular values near 1."""
    lying = [u.mT if u.shape[-2] > u.shape[-1] else u for u in updates]
    counts = [math.prod(u.shape[:-2]) for u in lying]
    stacked = torch.cat([u.reshape(-1, *u.shape[-2:]) for u in lying])
    pieces = torch.split(orthogonalised(stacked, dtype), counts)
    back = [piece.reshape(u.shape) for piece, u in zip(pieces, lying, strict=True)]
    return [p.mT if u.shape[-2] > u.shape[-1] else p for p, u in zip(back, updates, strict=True)]


def orthogonalised(x_nAB: Tensor, dtype: torch.dtype) -> Tensor:
    """Singular values near 1 (0.7 to 1.2), singular vectors as they were.

    X <- a X + (b G + c G G) X, with G = X X^T
    """
    a, b, c = QUINTIC
    x: Tensor = (x_nAB / x_nAB.norm(dim=(-2, -1), keepdim=True).clamp(min=SMALLEST_NORM)).to(dtype)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x
