"""How the gradient of a loss spreads over the layers of a model: at each layer's input, and in its weights.

Shapes: B batch, T tokens, D hidden.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from deepwide.lab.network import Transformer
from deepwide.lab.probe.watching import at_rest, streams
from deepwide.lab.training.objective import Batch, summed_loss


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerGradient:
    """Norms of the gradient of the mean loss at one layer, the first of which is 1.

    stream      ||dL/dx||, of what enters the layer [B, T, D]
    weights     ||dL/dW||, of all its tensors together
    """

    layer: int
    stream: float
    weights: float

    def to_dict(self) -> dict[str, Any]:
        """The norms as plain values."""
        return asdict(self)


def gradient_norms(model: Transformer, batch: Batch) -> tuple[float, tuple[LayerGradient, ...]]:
    """The mean loss of a batch, and the gradient at every layer of the stack that writes.

    Nothing is left on the model: gradients are returned, not kept in its tensors.
    """
    stack = model.stack(model.stack_names[-1])
    own = [[w for w in block.parameters() if w.requires_grad] for block in stack.blocks]
    entered: list[Tensor] = []
    here = batch.to(next(model.parameters()).device)
    with at_rest(model), streams(stack, entered.append):
        loss = summed_loss(model, here) / max(1, batch.counted)
    flat = [w for weights in own for w in weights]
    gradients = torch.autograd.grad(loss, [*entered, *flat], allow_unused=True)
    of_streams, of_weights = gradients[: len(entered)], iter(gradients[len(entered) :])
    layers = tuple(
        LayerGradient(layer=i, stream=_norm(of_stream), weights=_norm(*(next(of_weights) for _ in weights)))
        for i, (of_stream, weights) in enumerate(zip(of_streams, own, strict=True), 1)
    )
    return float(loss.detach()), layers


def _norm(*gradients: Tensor | None) -> float:
    """The length of all of them together, summed in fp64: squares of small gradients are none in fp32."""
    return float(sum(float(g.double().square().sum()) for g in gradients if g is not None) ** 0.5)
