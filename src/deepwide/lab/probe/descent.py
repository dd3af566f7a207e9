"""Plain gradient descent as a worker of the lab's loop: the training that the theory of tangent kernels speaks of."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from deepwide.lab.training.checkpoint import Checkpoint
from deepwide.lab.training.objective import Batch, backward
from deepwide.lab.training.tensors import load_weights, weights
from deepwide.lab.training.worker import clipped


class PlainDescent:
    """One process that takes w - rate * gradient, the same rate for every tensor; no state, no decay, no clipping."""

    def __init__(self, model: nn.Module, rate: float) -> None:
        self.model, self.rate = model, rate
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.device = self.parameters[0].device

    def gradients(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss of a batch, and the norm of its gradients."""
        for p in self.parameters:
            p.grad = None
        loss = backward(self.model, batch, 1, self.device)
        return loss, clipped(self.parameters, 0)

    @torch.no_grad()
    def step(self, share: float) -> None:
        """One step at a share of the rate."""
        for p in self.parameters:
            if p.grad is not None:
                p.sub_(p.grad, alpha=self.rate * share)

    def tensors(self) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
        """The weights; there is nothing else to be kept."""
        return weights(self.model), {}

    def load(self, start: Checkpoint) -> None:
        """Takes up the weights of a checkpoint."""
        load_weights(self.model, start.weights)

    def any_of(self, *flags: bool) -> tuple[bool, ...]:
        """The flags as they are: there is nobody else."""
        return flags
