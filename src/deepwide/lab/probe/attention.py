"""Where every head of a model looks while it reads a text, and what its scores are like.

Shapes: H heads, K heads of keys and values, T tokens, A width of a head.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from deepwide.lab.network import Transformer
from deepwide.lab.network.attend import plain
from deepwide.lab.probe.watching import at_rest, read


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadMap:
    """One head on one text.

    symmetry    ||(S + Sᵀ) / 2||² / ||S||² of its scores S before any is hidden: 1 where S = Sᵀ, 1/2 where the two have
                nothing to do with each other
    entropy     of the weights of a token, as a share of an even look at all it sees: 1 is even, 0 is one token; a mean
    diagonal    weight of a token on itself, a mean over the tokens that see another besides
    weights     [T, T], a row for the token that looks
    """

    layer: int
    head: int
    symmetry: float
    entropy: float
    diagonal: float
    weights: Tensor


@torch.no_grad()
def attention_maps(model: Transformer, tokens_1T: Tensor) -> tuple[HeadMap, ...]:
    """Every head of the stack that reads the text, layer by layer."""
    with at_rest(model), _recorded(model) as seen:
        read(model, tokens_1T.to(next(model.parameters()).device))
    maps = []
    for layer, (scores_HTT, weights_HTT, visible_TT) in enumerate(seen, 1):
        for head, (scores, weights) in enumerate(zip(scores_HTT, weights_HTT, strict=True), 1):
            maps.append(_described(layer, head, scores.double(), weights.double(), visible_TT))
    return tuple(maps)


@contextmanager
def _recorded(model: Transformer) -> Iterator[list[tuple[Tensor, Tensor, Tensor]]]:
    """A list that fills with scores, weights [H, T, T] and what is visible [T, T] of each attention in turn."""
    seen: list[tuple[Tensor, Tensor, Tensor]] = []

    def look(q_BHTA: Tensor, k_BKSA: Tensor, v_BKSA: Tensor, bias: Tensor | None, causal: bool, scale: float) -> Tensor:
        k_HSA = k_BKSA[0].repeat_interleave(q_BHTA.shape[1] // k_BKSA.shape[1], dim=0)
        scores_HTT = (q_BHTA[0] * scale) @ k_HSA.mT
        added = _hidden(scores_HTT) if causal else scores_HTT.new_zeros(1, 1) if bias is None else bias[0]
        visible = (added > torch.finfo(added.dtype).min / 2).expand(len(scores_HTT), *scores_HTT.shape[1:])[0]
        seen.append((scores_HTT, torch.softmax(scores_HTT + added, dim=-1), visible))
        return plain(q_BHTA, k_BKSA, v_BKSA, bias, causal, scale)

    before = model.attend
    model.attend = look
    try:
        yield seen
    finally:
        model.attend = before


def _hidden(scores_HTT: Tensor) -> Tensor:
    """What is added to hide later tokens."""
    return torch.full(scores_HTT.shape[1:], torch.finfo(scores_HTT.dtype).min, device=scores_HTT.device).triu(1)


def _described(layer: int, head: int, scores: Tensor, weights: Tensor, visible_TT: Tensor) -> HeadMap:
    several = visible_TT.sum(-1) > 1
    even = visible_TT.sum(-1)[several].double().log()
    entropy = torch.special.entr(weights[several]).sum(-1) / even
    whole = float(scores.square().sum())
    symmetric = float(((scores + scores.mT) / 2).square().sum())
    return HeadMap(
        layer=layer,
        head=head,
        symmetry=symmetric / whole if whole > 0 else math.nan,
        entropy=float(entropy.mean()),
        diagonal=float(weights.diagonal()[several].mean()),
        weights=weights.float().cpu(),
    )
