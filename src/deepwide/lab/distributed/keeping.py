"""The tensors of a model that is spread, whole on the leader for a checkpoint, and from there back to their places.

So a checkpoint is the same file however many processes made it, and any layout goes on from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
import torch.distributed as dist
from torch import Tensor

from deepwide.lab.distributed.pieces import Held
from deepwide.lab.distributed.team import Team
from deepwide.lab.training.tensor_file import DTYPES

NAMED = {name: dtype for dtype, name in DTYPES.items()}
COUNT = "step"  # of AdamW: one number for each tensor, never cut


def gathered(team: Team, tensors: Mapping[str, Held], pieces: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The whole tensors of these pieces, on the leader's processor; nothing on the other processes.

    pieces     by the name of the tensor they are of, which a kind may precede: exp_avg.NAME
    """
    if team.mesh is None:
        return dict(pieces)
    whole: dict[str, Tensor] = {}
    for stage, source in enumerate(_first_of_stages(team)):
        here = team.place("pp") == stage
        own = _wholes(tensors, pieces) if here else iter(())
        if stage == 0:
            whole.update((name, tensor) for name, tensor in own if team.leader)
        else:
            _passed(team, source, {name: tensor for name, tensor in own if team.rank == source}, whole)
    return whole


@torch.no_grad()
def given_back(team: Team, tensors: Mapping[str, Held], whole: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of the leader's whole tensors the pieces that are this process's, by the same names."""
    if team.mesh is None:
        return dict(whole)
    pieces = {}
    for name, kind, shape in team.shared([(n, DTYPES[t.dtype], list(t.shape)) for n, t in whole.items()]):
        tensor = (
            whole[name].to(team.device) if team.leader else torch.empty(shape, dtype=NAMED[kind], device=team.device)
        )
        dist.broadcast(tensor, 0)
        owner = tensors.get(_owner(name, tensors))
        if owner is not None:
            pieces[name] = tensor if name.startswith(f"{COUNT}.") else owner.part(tensor)
    return pieces


def _wholes(tensors: Mapping[str, Held], pieces: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    for name, piece in pieces.items():
        one = tensors[_owner(name, tensors)]
        yield name, (piece if name.startswith(f"{COUNT}.") else one.whole(piece)).detach().cpu()


def _owner(name: str, tensors: Mapping[str, Held]) -> str:
    """The tensor that a state is of: its name is what follows the kind of state."""
    return name if name in tensors else name.partition(".")[2]


def _first_of_stages(team: Team) -> list[int]:
    """For each stage the process that speaks for it."""
    assert team.mesh is not None
    return [int(stage.flatten()[0]) for stage in team.mesh.mesh]


def _passed(team: Team, source: int, own: dict[str, Tensor], whole: dict[str, Tensor]) -> None:
    """Brings what another stage has to the leader; a tensor that both have is the leader's already."""
    for name, kind, shape in team.shared([(n, DTYPES[t.dtype], list(t.shape)) for n, t in own.items()], source):
        if team.rank == source:
            dist.send(own[name].contiguous(), 0)
        elif team.leader:
            there = torch.empty(shape, dtype=NAMED[kind])
            dist.recv(there, source)
            whole.setdefault(name, there)
