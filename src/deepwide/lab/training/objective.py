"""What is learned: batches of tokens with the targets that the loss compares them with, and the loss.

Shapes: B batch, T tokens, S tokens of the source, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from deepwide.lab.lanes import Lanes

IGNORED = -100  # a target that does not count
Loss = Callable[[nn.Module, "Batch"], Tensor]  # of a model on a batch, summed over the targets that count


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one step reads, and what it is to say. Each target stands where the model is to say it.

    tokens, targets      [B, T]
    kept, source_kept    [B, T] and [B, S], False at padding; None where every token is real
    sources              [B, S], what an encoder-decoder's encoder reads
    """

    tokens: Tensor
    targets: Tensor
    kept: Tensor | None = None
    sources: Tensor | None = None
    source_kept: Tensor | None = None

    @property
    def counted(self) -> int:
        """Targets that count."""
        return int((self.targets != IGNORED).sum())

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        return self if self.tokens.device == device else self._each(lambda x: [x.to(device, non_blocking=True)])[0]

    def pieces(self, count: int) -> list[Batch]:
        """The batch cut into so many equal pieces."""
        return [self] if count == 1 else self._each(lambda x: list(x.chunk(count)))

    def _each(self, change: Callable[[Tensor], list[Tensor]]) -> list[Batch]:
        present = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}
        changed = {name: change(x) for name, x in present.items()}
        count = len(changed["tokens"])
        return [Batch(**{name: parts[i] for name, parts in changed.items()}) for i in range(count)]


def batch_of(**arrays: NDArray[Any] | Tensor | None) -> Batch:
    """A batch of arrays, by the names of its fields; they are not copied."""
    return Batch(**{name: None if x is None else torch.as_tensor(x) for name, x in arrays.items()})  # type: ignore[arg-type] # tokens and targets are there


def next_token(windows: NDArray[Any] | Tensor) -> Batch:
    """Each token is to tell the one after it, in windows [B, T + 1]."""
    windows_BT = torch.as_tensor(windows)
    return Batch(tokens=windows_BT[:, :-1], targets=windows_BT[:, 1:])


def summed_loss(model: nn.Module, batch: Batch) -> Tensor:
    """Cross entropy in nats, summed over the targets that count."""
    given = {"kept_BT": batch.kept, "sources_BS": batch.sources, "source_kept_BS": batch.source_kept}
    present = {name: x for name, x in given.items() if x is not None}
    logits_BTV = model(batch.tokens, **present)
    return cross_entropy(logits_BTV.flatten(0, -2), batch.targets.flatten(), ignore_index=IGNORED, reduction="sum")


def backward(
    model: nn.Module,
    batch: Batch,
    pieces: int,
    device: torch.device,
    counted: int | None = None,
    lanes: Lanes | None = None,
    loss: Loss | None = None,
    trained: Sequence[nn.Parameter] = (),
) -> Tensor:
    """Adds the gradients of the batch's mean loss, piece by piece, and returns that loss.

    Each piece is divided by the targets of the whole batch, or by `counted` where others have a part of it: together
    they are the one batch, however the targets are spread over them. Lanes share each piece; they give `trained` their
    gradients, all parameters of the model where that is left out. `loss` is `summed_loss` where it is left out.
    """
    loss_of = loss or summed_loss
    counted = max(1, batch.counted) if counted is None else counted
    losses = []
    for piece in batch.pieces(pieces):
        if lanes and lanes.count > 1:
            losses += _side_by_side(model, piece, counted, lanes, loss_of, trained)
            continue
        of_piece = loss_of(model, piece.to(device)) / counted
        torch.autograd.backward(of_piece)
        losses.append(of_piece.detach())
    return losses[0] if len(losses) == 1 else torch.stack(losses).sum()


def _side_by_side(
    model: nn.Module, batch: Batch, counted: int, lanes: Lanes, loss_of: Loss, trained: Sequence[nn.Parameter]
) -> list[Tensor]:
    """Adds the gradients of a batch whose parts are computed in lanes, always in one order, so that sums repeat."""
    weights = trained or [p for p in model.parameters() if p.requires_grad]

    def one(part: Batch) -> tuple[Tensor, tuple[Tensor | None, ...]]:
        loss = loss_of(model, part) / counted
        return loss.detach(), torch.autograd.grad(loss, weights, allow_unused=True)

    results = lanes.map(one, batch.pieces(min(lanes.count, len(batch.tokens))))
    for weight, *gradients in zip(weights, *(gradients for _, gradients in results), strict=True):
        for gradient in gradients:
            if gradient is not None:
                weight.grad = gradient if weight.grad is None else weight.grad.add_(gradient)
    return [loss for loss, _ in results]


@torch.inference_mode()
def mean_loss(model: nn.Module, batches: Iterable[Batch], device: torch.device) -> float:
    """The loss per counted target over several batches, in nats, without training."""
    training, total, counted = model.training, 0.0, 0
    model.eval()
    for batch in batches:
        total += float(summed_loss(model, batch.to(device)))
        counted += batch.counted
    model.train(training)
    return total / max(1, counted)
