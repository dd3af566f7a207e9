"""Training by several processes: the same loop, the same losses, the same checkpoints as by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields

import torch
from torch import Tensor
from torch.distributed.fsdp import FSDPModule

from deepwide.lab.distributed.gradients import add_up, clipped
from deepwide.lab.distributed.keeping import gathered, given_back
from deepwide.lab.distributed.layout import refuse_unfit
from deepwide.lab.distributed.muon import CutMuon
from deepwide.lab.distributed.pieces import Pieces
from deepwide.lab.distributed.spreading import Spread
from deepwide.lab.training.checkpoint import Checkpoint
from deepwide.lab.training.loop import Outcome, Row
from deepwide.lab.training.loop import train as loop
from deepwide.lab.training.objective import IGNORED, Batch, backward, summed_loss
from deepwide.lab.training.objective import mean_loss as mean_loss_alone
from deepwide.lab.training.optimizer import Optimizer
from deepwide.lab.training.recipe import Recipe
from deepwide.lab.training.tensors import check_tensors
from deepwide.lab.training.worker import Alone


def train(
    spread: Spread,
    recipe: Recipe,
    *,
    batches: Callable[[int], Batch],
    report: Callable[[Row], None],
    evaluate: Callable[[], float] | None = None,
    save: Callable[[Checkpoint], object] | None = None,
    start: Checkpoint | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    alone: Alone | None = None,
) -> Outcome:
    """Trains a model that is spread over processes, all of which call this; arguments are those of the loop.

    batches           the whole batch of a step, the same in every process: each takes its rows
    report, save      are called by the leader alone
    evaluate          is called by all: `mean_loss` below
    start             counts where the leader gives it; the others need not read it
    should_stop       all stop where one says so
    alone             takes the steps of a process that is alone
    """
    if spread.team.mesh is None:
        return loop(
            spread.model,
            recipe,
            batches=batches,
            report=report,
            evaluate=evaluate,
            save=save,
            start=start,
            should_stop=should_stop,
            worker=alone,
        )
    team = spread.team
    refuse_unfit(team.layout, spread.model.architecture, batch=recipe.batch, accumulate=recipe.accumulate)
    return loop(
        spread.model,
        recipe,
        batches=batches,
        report=report if team.leader else _ignored,
        evaluate=evaluate,
        save=save if team.leader or save is None else _ignored,
        start=_start_of_all(spread, start),
        should_stop=should_stop,
        worker=Member(spread, recipe),
    )


@torch.no_grad()
def mean_loss(spread: Spread, batches: Iterable[Batch]) -> float:
    """The loss per counted target over several batches, in nats; all processes give the same batches."""
    team, model = spread.team, spread.model
    if team.mesh is None:
        return mean_loss_alone(model, batches, team.device)
    training, total, counted = model.training, torch.zeros((), device=team.device), 0
    model.eval()
    for batch in batches:
        own = _rows(_filled_up(batch, team.layout.data * team.layout.pp), spread)
        pipeline = spread.pipeline
        total += pipeline.summed_loss(own) if pipeline else summed_loss(model, own.to(team.device))
        counted += batch.counted
    model.train(training)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()  # what was put together here would else be taken for the next step's
    return float(team.summed(total, ("pp", "dp", "fsdp"))) / max(1, counted)


class Member:
    """One of several processes: a worker of the loop."""

    def __init__(self, spread: Spread, recipe: Recipe) -> None:
        self.spread, self.recipe, self.device = spread, recipe, spread.team.device
        pieces = Pieces(spread.model.architecture, spread.parameters)
        muon = CutMuon(spread.parameters)
        self.optimizer = Optimizer(pieces, recipe, spread.model.compute_dtype, muon=muon)

    def gradients(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss of the whole batch, and the norm of the gradients, which are then clipped."""
        self.spread.model.zero_grad(set_to_none=True)
        counted, pieces, own = max(1, batch.counted), self.recipe.accumulate, _rows(batch, self.spread)
        if self.spread.pipeline:
            loss = self.spread.pipeline.backward(own, counted, pieces)
        else:
            loss = backward(self.spread.model, own, pieces, self.device, counted)
        add_up(self.spread)
        loss = self.spread.team.summed(loss, ("pp", "dp", "fsdp"))
        return loss, clipped(self.spread, self.recipe.clip)

    def step(self, share: float) -> None:
        """One step of the optimiser at a share of the full rate."""
        for one in self.spread.parameters.values():
            one.piece.grad = one.gradient()
        self.optimizer.step(share)

    def tensors(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Weights and states of the optimiser, whole, on the leader; nothing on the others."""
        held = self.spread.tensors
        own = {name: one.piece.detach() for name, one in held.items()}
        team = self.spread.team
        return gathered(team, held, own), gathered(team, held, self.optimizer.state())

    def load(self, start: Checkpoint) -> None:
        """Takes up the leader's weights and states."""
        held, team = self.spread.tensors, self.spread.team
        given = team.shared({name: list(tensor.shape) for name, tensor in start.weights.items()})
        check_tensors(_shaped(self.spread.shapes), _shaped(given), "weights")
        weights = given_back(team, held, start.weights)
        with torch.no_grad():
            for name, one in held.items():
                one.piece.copy_(weights[name])
        self.optimizer.load(given_back(team, held, start.optimizer))

    def any_of(self, *flags: bool) -> tuple[bool, ...]:
        """Each flag as true where it is true for one of the processes."""
        return self.spread.team.any_of(*flags)


def _start_of_all(spread: Spread, start: Checkpoint | None) -> Checkpoint | None:
    """The leader's start, for the others without its tensors."""
    facts = ("step", "tokens", "seconds", "recipe_sha256")
    told = spread.team.shared(None if start is None else {name: getattr(start, name) for name in facts})
    if told is None or spread.team.leader:
        return start if told is not None else None
    return Checkpoint(**told, weights={}, optimizer={})


def _shaped(shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """Tensors that have a shape and nothing else."""
    return {name: torch.empty(tuple(shape), device="meta") for name, shape in shapes.items()}


def _rows(batch: Batch, spread: Spread) -> Batch:
    """The rows of a batch that are this process's."""
    return batch.pieces(spread.team.layout.data)[spread.team.data_rank]


def _filled_up(batch: Batch, multiple: int) -> Batch:
    """The batch with rows added that do not count, up to a multiple."""
    lacking = -len(batch.tokens) % multiple
    if not lacking:
        return batch
    more = {f.name: getattr(batch, f.name) for f in fields(batch) if getattr(batch, f.name) is not None}
    filled = {name: torch.cat([x, x[:1].expand(lacking, *x.shape[1:])]) for name, x in more.items()}
    filled["targets"][-lacking:] = IGNORED
    return Batch(**filled)


def _ignored(told: object) -> None:
    """The leader alone reports and saves."""
