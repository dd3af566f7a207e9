"""A feed-forward network as a memory of keys and values (Geva et al. 2021, arXiv:2012.14913).

The network is m(x) · V: column i of its last matrix is the value that inner unit i adds to the stream, and how strongly
unit i fires, m_i(x), says how well the text so far fits its key. A gated unit may fire below zero as well; a memory is
then read with the sign at which it fires most. Shapes: B batch, T tokens, D hidden, F inner width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from deepwide.errors import BadInput
from deepwide.lab.network import Transformer
from deepwide.lab.network.feed_forward import FeedForward
from deepwide.lab.network.stack import StackOfBlocks
from deepwide.lab.probe.watching import at_rest

PROMOTED = 5  # tokens of a value that are kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """A place of the text where a key fires: the window, the token that was read last, the one that follows, how
    strongly."""

    window: int
    place: int
    following: int
    strength: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """One key and its value: the places that trigger it most, the tokens that its value promotes most, both best first.

    layer and key count from 1 and 0.
    """

    layer: int
    key: int
    triggers: tuple[Trigger, ...]
    promoted: tuple[int, ...]


def memories(model: Transformer, windows: Sequence[Tensor], *, most: int, layers: Sequence[int]) -> tuple[Memory, ...]:
    """All memories of these layers. `windows` are batches [B, T + 1] of text, `most` the triggers that are kept."""
    stack = model.stack(model.stack_names[-1])
    down = {layer: _network(stack, layer).down for layer in layers}
    best: dict[int, Best] = {}
    first = 0
    for rows in windows:
        fired = _fired(model, down, rows[:, :-1].to(next(model.parameters()).device))
        for layer, m_NF in fired.items():
            best[layer] = _merged(best.get(layer), m_NF, first * (rows.shape[1] - 1), most)
        first += len(rows)
    following = torch.cat([rows[:, 1:].reshape(-1) for rows in windows])
    T = windows[0].shape[1] - 1
    return tuple(
        memory
        for layer in layers
        for memory in _told(layer, _stronger(best[layer]), following, T, _promoted(model, stack, down[layer]))
    )


def _network(stack: StackOfBlocks, layer: int) -> FeedForward:
    """The network of a layer."""
    found = [m for m in stack.blocks[layer - 1].children() if isinstance(m, FeedForward)]
    if len(found) != 1:
        raise BadInput(
            f"layer={layer} has {len(found) or 'no'} plain networks; memories are those of one, not of experts"
        )
    return found[0]


@torch.no_grad()
def _fired(model: Transformer, down: Mapping[int, nn.Linear], tokens_BT: Tensor) -> dict[int, Tensor]:
    """How strongly each key of each layer fires at each token [B T, F]."""
    seen: dict[int, Tensor] = {}

    def watch(layer: int) -> Any:
        def reads(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            seen[layer] = inputs[0].flatten(0, 1)

        return reads

    with at_rest(model), ExitStack() as hooks:
        for layer, matrix in down.items():
            hooks.callback(matrix.register_forward_pre_hook(watch(layer)).remove)
        model(tokens_BT)
    return seen


Best = tuple[Tensor, Tensor]  # strengths and places [2, most, F]: of the highest, of the lowest with signs turned


def _merged(before: Best | None, m_NF: Tensor, first: int, most: int) -> Best:
    """The strongest so far in both directions, with their places."""
    strengths_2NF = torch.stack((m_NF, -m_NF))
    places_2NF = (torch.arange(len(m_NF), device=m_NF.device) + first)[None, :, None].expand_as(strengths_2NF)
    if before is not None:
        strengths_2NF = torch.cat((before[0], strengths_2NF), 1)
        places_2NF = torch.cat((before[1], places_2NF), 1)
    top = strengths_2NF.topk(min(most, strengths_2NF.shape[1]), dim=1)
    return top.values, places_2NF.gather(1, top.indices)


def _stronger(best: Best) -> tuple[Tensor, Tensor, Tensor]:
    """Of both directions the stronger one: strengths and places [most, F], and its sign [F]."""
    strengths_2MF, places_2MF = best
    below_F = strengths_2MF[1, 0] > strengths_2MF[0, 0]
    chosen = torch.where(below_F, strengths_2MF[1], strengths_2MF[0])
    return chosen, torch.where(below_F, places_2MF[1], places_2MF[0]), torch.where(below_F, -1.0, 1.0)


@torch.no_grad()
def _promoted(model: Transformer, stack: StackOfBlocks, down: nn.Linear) -> Tensor:
    """What each value by itself would make the model say [F, V]: through the last norm's gain and the head."""
    x_FD = down.weight.mT
    with at_rest(model):
        for name in stack.after:
            x_FD = stack.get_submodule(name)(x_FD)
        scores_FV: Tensor = model.head(x_FD)
        nothing: Tensor = model.head(torch.zeros_like(x_FD[:1]))
    return scores_FV - nothing


def _told(
    layer: int, kept: tuple[Tensor, Tensor, Tensor], following: Tensor, T: int, scores_FV: Tensor
) -> Iterable[Memory]:
    strengths_MF, places_MF, signs_F = (each.cpu() for each in kept)
    promoted_FP = (scores_FV.cpu() * signs_F[:, None]).topk(PROMOTED, dim=-1).indices
    for key in range(strengths_MF.shape[1]):
        places = places_MF[:, key].tolist()
        yield Memory(
            layer=layer,
            key=key,
            triggers=tuple(
                Trigger(window=p // T, place=p % T, following=int(following[p]), strength=s)
                for p, s in zip(places, strengths_MF[:, key].tolist(), strict=True)
            ),
            promoted=tuple(promoted_FP[key].tolist()),
        )
