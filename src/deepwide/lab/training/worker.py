"""What a process does in each step of the loop: gradients, a step of the optimiser, and what a checkpoint keeps.

Here it is alone with the whole model. Where several processes share one, each is a worker of another kind, and the loop
is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from deepwide.lab.lanes import Lanes
from deepwide.lab.training.checkpoint import Checkpoint
from deepwide.lab.training.objective import Batch, backward
from deepwide.lab.training.optimizer import Optimizer
from deepwide.lab.training.recipe import Recipe
from deepwide.lab.training.tensors import load_weights, weights

Tensors = Mapping[str, Tensor]


class Worker(Protocol):
    """What the loop asks of a process."""

    device: torch.device

    def gradients(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss of a batch, and the norm of its gradients, which are then clipped."""

    def step(self, share: float) -> None:
        """One step of the optimiser at a share of the full rate."""

    def tensors(self) -> tuple[Tensors, Tensors]:
        """Weights and states of the optimiser, by name."""

    def load(self, start: Checkpoint) -> None:
        """Takes up weights and states."""

    def any_of(self, *flags: bool) -> tuple[bool, ...]:
        """Each flag as true where it is true for one of those who work together."""


class Alone:
    """One process with the whole model; its lanes compute parts of a batch side by side."""

    def __init__(self, model: nn.Module, recipe: Recipe, lanes: Lanes | None = None) -> None:
        self.model, self.recipe, self.lanes = model, recipe, lanes
        self.optimizer = Optimizer(model, recipe, getattr(model, "compute_dtype", torch.float32))
        self.device = self.optimizer.parameters[0].device

    def gradients(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss of a batch, and the norm of its gradients, which are then clipped."""
        self.optimizer.zero_grad()
        loss = backward(self.model, batch, self.recipe.accumulate, self.device, lanes=self.lanes)
        return loss, clipped(self.optimizer.parameters, self.recipe.clip)

    def step(self, share: float) -> None:
        """One step of the optimiser at a share of the full rate."""
        self.optimizer.step(share)

    def tensors(self) -> tuple[Tensors, Tensors]:
        """Weights and states of the optimiser, by name: the very ones in use, not copies."""
        return weights(self.model), self.optimizer.state()

    def load(self, start: Checkpoint) -> None:
        """Takes up weights and states."""
        load_weights(self.model, start.weights)
        self.optimizer.load(start.optimizer)

    def any_of(self, *flags: bool) -> tuple[bool, ...]:
        """The flags as they are: there is nobody else."""
        return flags


def clipped(parameters: list[nn.Parameter], limit: float) -> Tensor:
    """The norm of all gradients together, which are then scaled down to a norm of `limit` where they exceed it."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = nn.utils.get_total_norm(gradients)
    if limit:
        nn.utils.clip_grads_with_norm_(parameters, limit, norm)
    return norm
