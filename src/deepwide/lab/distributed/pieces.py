"""Which piece of each tensor a process holds, and how pieces become whole tensors and back.

A tensor is a DTensor where it is cut. The optimiser works on the pieces themselves: AdamW treats every element alike,
and what needs a whole matrix asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Replicate


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A tensor of the model as this process holds it.

    owner     the tensor in the model
    piece     what is here of it: the same memory
    """

    name: str
    owner: Tensor
    piece: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the whole tensor."""
        return tuple(self.owner.shape)

    @property
    def cut(self) -> tuple[str, ...]:
        """The ways of the layout in which it is cut."""
        if not isinstance(self.owner, DTensor):
            return ()
        names = self.owner.device_mesh.mesh_dim_names or ()
        return tuple(name for name, where in zip(names, self.owner.placements, strict=True) if not where.is_replicate())

    def gradient(self) -> Tensor | None:
        """This process's piece of the gradient."""
        gradient = self.owner.grad
        if not isinstance(gradient, DTensor) or not isinstance(self.owner, DTensor):
            return gradient
        return gradient.redistribute(placements=self.owner.placements).to_local()

    def whole(self, piece: Tensor) -> Tensor:
        """The tensor of which each process has such a piece; all that share it must ask."""
        if not isinstance(self.owner, DTensor):
            return piece
        there = DTensor.from_local(
            piece,
            self.owner.device_mesh,
            self.owner.placements,
            run_check=False,
            shape=self.owner.shape,
            stride=self.owner.stride(),
        )
        return there.full_tensor()

    def part(self, whole: Tensor) -> Tensor:
        """This process's piece of a whole tensor."""
        if not isinstance(self.owner, DTensor):
            return whole
        mesh, part = self.owner.device_mesh, whole
        place = mesh.get_coordinate()
        assert place is not None
        for way in reversed(range(mesh.ndim)):  # the last was cut first: tp, and what was left by fsdp
            where: Any = self.owner.placements[way]
            if not isinstance(where, Replicate):
                pieces = part.chunk(mesh.size(way), dim=where.dim)
                none = part.narrow(where.dim, 0, 0)
                part = pieces[place[way]] if place[way] < len(pieces) else none
        return part


def held(tensors: Mapping[str, Tensor]) -> dict[str, Held]:
    """These tensors as this process holds them; a parameter's piece is a parameter."""
    return {name: Held(name=name, owner=tensor, piece=_piece(tensor)) for name, tensor in tensors.items()}


def _piece(tensor: Tensor) -> Tensor:
    if not isinstance(tensor, DTensor):
        return tensor
    with torch.no_grad():
        local = tensor.to_local().detach()
    return nn.Parameter(local, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else local


class Pieces(nn.Module):
    """The parameters of a model as this process holds them, under their names: what its optimiser sees."""

    def __init__(self, architecture: object, parameters: Mapping[str, Held]) -> None:
        super().__init__()
        self.architecture, self.held = architecture, parameters

    def named_parameters(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, nn.Parameter]]:
        """Each under its name in the model."""
        for name, one in self.held.items():
            assert isinstance(one.piece, nn.Parameter)
            yield name, one.piece
