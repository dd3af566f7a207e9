"""What a model could do without: a score for each channel, group of heads and layer, on a few batches of its own text.

Channels and heads: how much the loss changes, to first order, when what they pass on is set to zero,
|Σ_tokens activation · gradient|, summed over sequences (Molchanov et al. 2019, arXiv:1906.10771; Michel et al. 2019,
arXiv:1905.10650). Layers: the loss itself when a layer is left out. Shapes: B batch, T tokens, C channels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from deepwide.lab.network import Transformer
from deepwide.lab.network.attention import Attention
from deepwide.lab.network.feed_forward import FeedForward
from deepwide.lab.training.objective import Batch, mean_loss, summed_loss

Scores = dict[str, Tensor]


def channel_scores(model: Transformer, batches: Iterable[Batch]) -> Scores:
    """For each network, by the path of its module, the score of each inner channel."""
    ends = {path: module.down for path, module in model.named_modules() if isinstance(module, FeedForward)}
    return _summed(model, batches, ends, lambda path, x_BTC: x_BTC.sum(1).abs().sum(0))


def head_scores(model: Transformer, batches: Iterable[Batch]) -> Scores:
    """For each attention, by the path of its module, the score of each key head with the query heads that share it."""
    attentions = {path: module for path, module in model.named_modules() if isinstance(module, Attention)}

    def of_groups(path: str, x_BTC: Tensor) -> Tensor:
        heads, groups = attentions[path].heads, key_heads(attentions[path])
        by_head_BTHA = x_BTC.view(*x_BTC.shape[:2], heads, -1)
        by_group: Tensor = by_head_BTHA.sum((1, 3)).abs().sum(0).view(groups, -1).sum(-1)
        return by_group

    return _summed(model, batches, {path: each.output for path, each in attentions.items()}, of_groups)


def key_heads(a: Attention) -> int:
    """Its heads of keys and values."""
    return a.heads if a.one_projection else int(a.key.out_features) // a.head_dim


def layer_losses(model: Transformer, batches: Sequence[Batch], kept: Sequence[int]) -> dict[int, float]:
    """For each of the kept layers of the last stack, the loss when it alone is left out besides those not kept."""
    stack = model.stack(model.stack_names[-1])
    whole, device = stack.blocks, next(model.parameters()).device
    losses = {}
    try:
        for layer in kept:
            stack.blocks = nn.ModuleList([whole[i] for i in kept if i != layer])
            losses[layer] = mean_loss(model, batches, device)
    finally:
        stack.blocks = whole
    return losses


def _summed(
    model: Transformer, batches: Iterable[Batch], ends: dict[str, Any], score: Callable[[str, Tensor], Tensor]
) -> Scores:
    """The scores of what the matrices `ends` read, over all batches."""
    seen: dict[str, Tensor] = {}

    def keeper(path: str) -> Callable[[nn.Module, tuple[Tensor]], None]:
        def keep(module: nn.Module, given: tuple[Tensor]) -> None:
            seen[path] = given[0]

        return keep

    hooks = [end.register_forward_pre_hook(keeper(path)) for path, end in ends.items()]
    totals: Scores = {}
    try:
        for batch in batches:
            with torch.enable_grad():
                loss = summed_loss(model, batch.to(next(model.parameters()).device))
                gradients = torch.autograd.grad(loss, list(seen.values()))
            for (path, x_BTC), gradient_BTC in zip(list(seen.items()), gradients, strict=True):
                one = score(path, x_BTC.detach() * gradient_BTC)
                totals[path] = totals[path] + one if path in totals else one
    finally:
        for hook in hooks:
            hook.remove()
    return totals
