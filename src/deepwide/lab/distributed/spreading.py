"""A model over the processes of a team: each keeps what the layout leaves to it, and forgets the rest."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.fsdp import FSDPModule, fully_shard

from deepwide.lab.distributed.layout import refuse_unfit
from deepwide.lab.distributed.pieces import Held, held
from deepwide.lab.distributed.pipeline import Pipeline, keep_stage, tied
from deepwide.lab.distributed.team import Team
from deepwide.lab.distributed.tensor_parallel import TABLE, cut_tensors, partial_names
from deepwide.lab.network.block import Block
from deepwide.lab.network.transformer import Transformer
from deepwide.lab.training.tensors import weights

Sum = tuple[tuple[str, ...], dist.ProcessGroup]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A model as this process has it.

    tensors       all that it holds, by their names in the whole model
    shapes        of the whole model's tensors, wherever they are
    sums          parameters whose gradients are to be added up, and over which processes
    elsewhere     parameters that another stage has as well, and counts
    pipeline      runs the stages, where there are any
    """

    model: Transformer
    team: Team
    tensors: dict[str, Held]
    shapes: dict[str, tuple[int, ...]]
    sums: tuple[Sum, ...] = ()
    elsewhere: frozenset[str] = frozenset()
    pipeline: Pipeline | None = None

    @property
    def parameters(self) -> dict[str, Held]:
        """What is trained of it here."""
        return {name: one for name, one in self.tensors.items() if one.owner.requires_grad}


def spread(model: Transformer, team: Team) -> Spread:
    """Spreads a model over a team; all processes give the same one, whole, on the processor.

    The leader's weights are everybody's. Kernels are to be applied before: attention is wrapped here.
    """
    layout, mesh = team.layout, team.mesh
    shapes = {name: tuple(tensor.shape) for name, tensor in weights(model).items()}
    if mesh is None:
        model.to(team.device)
        return Spread(model=model, team=team, tensors=held(weights(model)), shapes=shapes)
    refuse_unfit(layout, model.architecture, batch=layout.data * layout.pp)
    _as_the_leader_has_it(model)
    pairs = _ends_of_pipelines(team) if layout.pp > 1 and tied(model) else None
    if layout.pp > 1:
        keep_stage(model, team.place("pp"), layout.pp)
    if layout.tp > 1:
        cut_tensors(model, mesh["tp"])
    if layout.fsdp > 1:
        _shard(model, team)
    else:
        model.to(team.device)
    tensors = held(_named(model))
    last = 0 < team.place("pp") == layout.pp - 1
    return Spread(
        model=model,
        team=team,
        tensors=tensors,
        shapes=shapes,
        sums=tuple(_sums(model, team, pairs)),
        elsewhere=frozenset([f"{TABLE}.weight"]) if pairs and last else frozenset(),
        pipeline=Pipeline(model, team) if layout.pp > 1 else None,
    )


def _named(model: Transformer) -> dict[str, Tensor]:
    """The tensors themselves, gradients and all, a tied one once."""
    names = weights(model)
    return {name: tensor for name, tensor in model.state_dict(keep_vars=True).items() if name in names}


@torch.no_grad()
def _as_the_leader_has_it(model: Transformer) -> None:
    """Gives all processes the leader's weights: on another processor the same seed may round otherwise."""
    for tensor in weights(model).values():
        dist.broadcast(tensor, 0)


def _shard(model: Transformer, team: Team) -> None:
    """Cuts every tensor over the processes that share it, layer by layer; gradients are added up, not averaged."""
    assert team.mesh is not None
    _hush()
    mesh = team.mesh["dp", "fsdp"] if team.layout.dp > 1 else team.mesh["fsdp"]
    for block in [m for m in model.modules() if isinstance(m, Block)]:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)


def _hush() -> None:
    """Silences what PyTorch says of scores changed in place, which nothing here does, and of gathering in two steps."""
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module", category=UserWarning)
    logging.getLogger("torch.distributed.tensor._redistribute").setLevel(logging.ERROR)


def _ends_of_pipelines(team: Team) -> dist.ProcessGroup | None:
    """The first and the last stage of this process's pipeline, None for a stage between them."""
    assert team.mesh is not None
    own = None
    for column in team.mesh.mesh.flatten(1).T.tolist():
        group = dist.new_group([column[0], column[-1]])
        if team.rank in (column[0], column[-1]):
            own = group
    return own


def _sums(model: Transformer, team: Team, pair: dist.ProcessGroup | None) -> list[Sum]:
    """Which gradients are parts of sums that nothing else adds up."""
    sums: list[Sum] = []
    names = tuple(name for name, p in model.named_parameters() if p.requires_grad)
    if pair is not None and f"{TABLE}.weight" in names:
        sums.append(((f"{TABLE}.weight",), pair))
    if team.layout.tp > 1 and (partial := partial_names(model)):
        sums.append((tuple(partial), team.group("tp")))
    if team.layout.dp > 1 and team.layout.fsdp == 1:
        sums.append((names, team.group("dp")))
    return sums
