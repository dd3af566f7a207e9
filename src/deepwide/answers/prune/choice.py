"""What goes when a model is pruned: the layers missed least, the heads and channels that pass on least."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepwide.answers.prune.shape import Shape
from deepwide.answers.train.setting import Setting

if TYPE_CHECKING:
    from deepwide.lab.compress import Kept
    from deepwide.lab.network import Transformer

BATCHES = 4  # of the training text, by which everything is scored


def chosen(model: Transformer, own: Shape, wanted: Shape, by: Setting) -> Kept:
    """What stays: layers first, then heads and channels of those that are left, scored in the whole model."""
    from deepwide.lab.compress import Kept, channel_scores, head_scores, strongest

    batches = [by.feed.batches(step) for step in range(BATCHES)]
    groups = channels = {}
    if wanted.heads != own.heads:
        groups = {path: strongest(each, wanted.kv_heads) for path, each in head_scores(model, batches).items()}
    if wanted.ffn != own.ffn:
        channels = {path: strongest(each, wanted.ffn) for path, each in channel_scores(model, batches).items()}
    return Kept(layers=_layers(model, own.layers, wanted.layers, by), groups=groups, channels=channels)


def _layers(model: Transformer, own: int, wanted: int, by: Setting) -> tuple[int, ...]:
    """One layer after the other goes: each time the one without which the loss is lowest."""
    from deepwide.lab.compress import layer_losses

    batches = [by.feed.batches(step) for step in range(BATCHES)]
    kept = list(range(own))
    while len(kept) > wanted:
        losses = layer_losses(model, batches, kept)
        kept.remove(min(losses, key=lambda layer: losses[layer]))
    return tuple(kept)
