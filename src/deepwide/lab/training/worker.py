"""What a process does in each step of the loop: gradients, a step of the optimiser, and what a checkpoint keeps.

Here it is alone with the whole model. Where several processes share one, each is a worker of another kind, and the loop
is the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from deepwide.lab.lanes import Lanes
from deepwide.lab.training.checkpoint import Checkpoint
from deepwide.lab.training.objective import Batch, Loss, backward, summed_loss
from deepwide.lab.training.optimizer import Optimizer
from deepwide.lab.training.recipe import Recipe
from deepwide.lab.training.tensors import check_tensors, take_over, weights

Tensors = Mapping[str, Tensor]
BESIDE = "beside."  # begins the names of what is trained beside the model


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Learner:
    """A model, what it learns by, and what of it is kept.

    loss              summed over the targets of a batch; cross entropy by default
    beside            what is trained with the model and is no part of it; a checkpoint has it among the states
    kept              names of the weights that a checkpoint holds, where the others are known from elsewhere
    frozen            other models that the loss asks
    """

    model: nn.Module
    loss: Loss = summed_loss
    beside: nn.Module | None = None
    kept: frozenset[str] | None = None
    frozen: tuple[nn.Module, ...] = ()


class _Trained:
    """All that the optimiser is to train: the model, and what stands beside it."""

    def __init__(self, learner: Learner) -> None:
        self.learner, self.architecture = learner, learner.model.architecture

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The model's under their own names."""
        yield from self.learner.model.named_parameters()
        if self.learner.beside is not None:
            yield from ((BESIDE + name, tensor) for name, tensor in self.learner.beside.named_parameters())


class Alone:
    """One process with the whole model; its lanes compute parts of a batch side by side."""

    def __init__(self, learner: Learner | nn.Module, recipe: Recipe, lanes: Lanes | None = None) -> None:
        learner = learner if isinstance(learner, Learner) else Learner(model=learner)
        self.learner, self.model, self.loss = learner, learner.model, learner.loss
        self.recipe, self.lanes = recipe, lanes
        dtype = getattr(self.model, "compute_dtype", torch.float32)
        trained: Any = self.model if learner.beside is None else _Trained(learner)
        self.optimizer = Optimizer(trained, recipe, dtype)
        self.device = self.optimizer.parameters[0].device

    @property
    def held(self) -> tuple[nn.Module, ...]:
        """Everything with weights that a step asks."""
        beside = () if self.learner.beside is None else (self.learner.beside,)
        return (self.model, *beside, *self.learner.frozen)

    def gradients(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss of a batch, and the norm of its gradients, which are then clipped."""
        self.optimizer.zero_grad()
        trained, pieces = self.optimizer.parameters, self.recipe.accumulate
        loss = backward(self.model, batch, pieces, self.device, lanes=self.lanes, loss=self.loss, trained=trained)
        return loss, clipped(trained, self.recipe.clip)

    def step(self, share: float) -> None:
        """One step of the optimiser at a share of the full rate."""
        self.optimizer.step(share)

    def tensors(self) -> tuple[Tensors, Tensors]:
        """Weights and states of the optimiser, by name: the very ones in use, not copies."""
        return self._kept(), {**self.optimizer.state(), **self._beside()}

    def load(self, start: Checkpoint) -> None:
        """Takes up weights and states."""
        beside = self._beside()
        own = {name: tensor for name, tensor in start.optimizer.items() if name in beside}
        check_tensors(beside, own, "states")
        take_over(self._kept(), start.weights)
        take_over(beside, own)
        self.optimizer.load({name: tensor for name, tensor in start.optimizer.items() if name not in beside})

    def any_of(self, *flags: bool) -> tuple[bool, ...]:
        """The flags as they are: there is nobody else."""
        return flags

    def _kept(self) -> dict[str, Tensor]:
        kept = self.learner.kept
        return {name: tensor for name, tensor in weights(self.model).items() if kept is None or name in kept}

    def _beside(self) -> dict[str, Tensor]:
        beside = self.learner.beside
        return {} if beside is None else {BESIDE + name: tensor for name, tensor in weights(beside).items()}


def clipped(parameters: list[nn.Parameter], limit: float) -> Tensor:
    """The norm of all gradients together, which are then scaled down to a norm of `limit` where they exceed it."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = nn.utils.get_total_norm(gradients)
    if limit:
        nn.utils.clip_grads_with_norm_(parameters, limit, norm)
    return norm
