"""Pipeline parallelism: the layers in stages, one process after the other, each at work on another part of the batch.

A stage is the very model with the parts of other stages taken out, so its tensors keep their names. Its turns follow
one forward, one backward (Narayanan et al. 2021, arXiv:2104.04473), as torch.distributed.pipelining plays them.

Shapes: B batch, T tokens, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.pipelining import PipelineStage, Schedule1F1B
from torch.nn.functional import cross_entropy

from deepwide.lab.distributed.team import Team
from deepwide.lab.network.transformer import Transformer
from deepwide.lab.training.objective import IGNORED, Batch

PIECES_PER_STAGE = 4  # parts of a batch under way: (stages - 1) of stages - 1 + 4 stages turns are then idle, a fifth


class Elsewhere(nn.Module):
    """Stands for parts that another stage has: hands on what it is given. A tied table may be kept in it."""

    relative = None

    def forward(self, x: Tensor, *others: object) -> Tensor:
        """What comes in goes out."""
        return x


def keep_stage(model: Transformer, stage: int, stages: int) -> None:
    """Takes out of a model what is not in that stage."""
    stack = model.stack(model.stack_names[0])
    layers = len(stack.blocks)
    own = range(layers * stage // stages, layers * (stage + 1) // stages)
    for i in range(layers):
        if i not in own:
            stack.blocks[i] = Elsewhere()
    if stage > 0:
        inputs, tables = Elsewhere(), model.embedding
        if stage == stages - 1 and tied(model):
            inputs.add_module("tokens", tables.get_submodule("tokens"))
        model.add_module("embedding", inputs)
        stack.add_module("inputs", Elsewhere())
    if stage < stages - 1:
        for name in stack.after:
            stack.add_module(name, Elsewhere())
        model.add_module("head", Elsewhere())


def tied(model: Transformer) -> bool:
    """Whether the head reads the table of the embedding."""
    return any(getattr(part, "tied", False) for part in model.architecture.head)


class Pipeline:
    """Runs batches through the stages."""

    def __init__(self, model: Transformer, team: Team) -> None:
        self.model, self.team = model, team
        self.counted = 1
        self._schedules: dict[object, Schedule1F1B] = {}

    def backward(self, batch: Batch, counted: int, pieces: int) -> Tensor:
        """Adds the gradients of the batch's loss over `counted` targets; the loss on the last stage, 0 elsewhere."""
        return self._run(batch, counted, self._pieces(batch, pieces), learns=True)

    def summed_loss(self, batch: Batch) -> Tensor:
        """The batch's summed loss on the last stage, 0 elsewhere."""
        return self._run(batch, 1, self._pieces(batch, 1), learns=False)

    def _pieces(self, batch: Batch, asked: int) -> int:
        """Into how many parts a batch is cut: as many as asked for, if they keep all stages at work."""
        rows, stages = len(batch.tokens), self.team.layout.pp
        enough = [n for n in range(stages, rows + 1) if rows % n == 0 and n % asked == 0]
        return max((n for n in enough if n <= max(asked, PIECES_PER_STAGE * stages)), default=enough[0])

    def _run(self, batch: Batch, counted: int, pieces: int, *, learns: bool) -> Tensor:
        batch, stages = batch.to(self.team.device), self.team.layout.pp
        self.counted = counted
        given: dict[str, Any] = {"return_outputs": False}
        if batch.kept is not None:
            given["kept_BT"] = batch.kept
        place, losses = self.team.place("pp"), list[Tensor]()
        schedule = self._schedule(batch, pieces, learns)
        step: Any = schedule.step if learns else schedule.eval
        if place == 0:
            step(batch.tokens, **given)
        elif place < stages - 1:
            step(**given)
        else:
            step(target=batch.targets, losses=losses, **given)
        return torch.stack(losses).sum().detach() if losses else torch.zeros((), device=self.team.device)

    def _schedule(self, batch: Batch, pieces: int, learns: bool) -> Schedule1F1B:
        """The turns for batches of this shape: what passes between stages has a size that is agreed once."""
        kind = (tuple(batch.tokens.shape), batch.kept is not None, pieces, learns)
        if kind not in self._schedules:
            stage = PipelineStage(
                self.model,
                self.team.place("pp"),
                self.team.layout.pp,
                self.team.device,
                group=self.team.group("pp"),
            )
            self._schedules[kind] = Schedule1F1B(stage, pieces, loss_fn=self._loss, scale_grads=False)
        return self._schedules[kind]

    def _loss(self, logits_BTV: Tensor, targets_BT: Tensor) -> Tensor:
        flat = logits_BTV.flatten(0, -2)
        return cross_entropy(flat, targets_BT.flatten(), ignore_index=IGNORED, reduction="sum") / self.counted
