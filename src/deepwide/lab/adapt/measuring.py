"""What one training step really holds and computes: bytes of tensors, and products as PyTorch's counter sees them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, autograd, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from deepwide.lab.network.attend import KERNELS
from deepwide.lab.training.objective import Batch
from deepwide.lab.training.worker import Alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """What training takes, whether it was counted beforehand or measured.

    trainable_parameters   the adapters', or all; of a projection too
    weights_bytes          of the model, of its teacher and of what is trained beside it
    gradients_bytes        of what is trained
    optimizer_bytes        its moments; counters of steps left out
    activations_bytes      what the forward pass of a piece of the batch keeps for the backward one
    flops_per_token        products of a step, forward and backward, the teacher's forward pass included
    """

    trainable_parameters: float
    weights_bytes: float
    gradients_bytes: float
    optimizer_bytes: float
    activations_bytes: float
    flops_per_token: float

    def to_dict(self) -> dict[str, float]:
        """The numbers by name."""
        return asdict(self)


def measured(worker: Alone, batch: Batch) -> Accounts:
    """One step's gradients on a batch, counted; the weights stay as they are.

    PyTorch's counter knows no fused attention on a processor, so that for this step it is spelled out in products.
    """
    model: Any = worker.model
    before, model.attend = model.attend, KERNELS["bmm"]
    piece = batch.pieces(worker.recipe.accumulate)[0].to(worker.device)
    worker.optimizer.zero_grad()
    with FlopCounterMode(display=False) as counter:
        autograd.backward(worker.loss(model, piece))
    gradients = [p.grad for p in worker.optimizer.parameters if p.grad is not None]
    model.attend = before
    kept = _kept_bytes(worker, piece)
    told = Accounts(
        trainable_parameters=sum(p.numel() for p in worker.optimizer.parameters),
        weights_bytes=_bytes(tensor for held in worker.held for tensor in held.parameters()),
        gradients_bytes=_bytes(gradients),
        optimizer_bytes=_bytes(t for name, t in worker.optimizer.state().items() if not name.startswith("step.")),
        activations_bytes=kept,
        flops_per_token=counter.get_total_flops() / piece.tokens.numel(),
    )
    worker.optimizer.zero_grad()
    return told


def _kept_bytes(worker: Alone, piece: Batch) -> int:
    """Bytes of the distinct storages that a forward pass keeps, weights left out."""
    own = {tensor.untyped_storage().data_ptr() for held in worker.held for tensor in _tensors(held)}
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = worker.loss(worker.model, piece)
    found = sum(t.untyped_storage().nbytes() for place, t in kept.items() if place not in own)
    del loss  # until here it held them, so that no two have had one place
    return found


def _tensors(held: nn.Module) -> list[Tensor]:
    return [*held.parameters(), *held.buffers()]


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum({id(t): t.numel() * t.element_size() for t in tensors}.values())
