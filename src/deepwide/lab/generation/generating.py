"""Token after token: the prompt is read once, then each pass reads one new token and what the cache kept of the others.

Shapes: B batch, T tokens of the prompt, S tokens of a source, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from deepwide.errors import BadInput
from deepwide.lab.generation.choosing import Choice, chosen
from deepwide.lab.network import Transformer
from deepwide.lab.network.cache import Cache
from deepwide.lab.network.layers import Table

ENDED = -1  # what a row yields after it ended
READ_AT_ONCE = 512  # tokens of a prompt: the scores of more would need more memory than the model


def generate(
    model: Transformer,
    prompt_BT: Tensor,
    *,
    tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
    stop: Collection[int] = (),
    kept: Tensor | None = None,
    sources: Tensor | None = None,
    source_kept: Tensor | None = None,
    vocab: int | None = None,
) -> Iterator[Tensor]:
    """The tokens that follow the prompts, one [B] at a time, at most `tokens` of them; the same for the same seed.

    stop              a row ends with one of these, and yields ENDED from then on; where all have ended, so does this
    kept              [B, T], False at padding, which stands to the left of shorter prompts (see `left_padded`)
    sources           [B, S], what an encoder-decoder's encoder reads, and which of these are real; the prompt is then
                      what its decoder begins with
    vocab             tokens from this number on are never chosen: they fill up a table and stand for nothing

    A model with a table of positions writes no more than `room` says.
    """
    choice = Choice(tokens=tokens, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
    _check(model, prompt_BT, kept)
    most = room(model, prompt_BT.shape[1])
    tokens = tokens if most is None else min(tokens, most)
    device = prompt_BT.device
    capacity = prompt_BT.shape[1] + tokens - 1  # the last token is written and never read
    reader = _Reader(
        model=model,
        cache=Cache(capacity),
        around=_places(model, kept, capacity),
        sources={"sources_BS": sources, "source_kept_BS": source_kept} if sources is not None else {},
        vocab=vocab,
    )
    model.eval()
    stops = torch.tensor(sorted(stop), device=device, dtype=torch.int64)
    return _written(reader, prompt_BT, tokens, choice, torch.Generator(device).manual_seed(seed), stops)


def room(model: Transformer, prompt: int) -> int | None:
    """How many tokens can follow a prompt of so many; None where the positions of the model have no end.

    >>> from deepwide.answers.models import find_model
    >>> from deepwide.lab import build
    >>> room(build(find_model("like=gpt2,layers=1,hidden=64,heads=1,vocab=9,context=8").described()), 5)
    4
    """
    return None if model.longest is None else max(0, model.longest - prompt + 1)


def vocabulary(model: Transformer) -> int:
    """How many tokens the model has vectors for."""
    table = model.embedding.get_submodule("tokens")
    assert isinstance(table, Table)
    return table.weight.shape[0]


def left_padded(prompts: Sequence[Sequence[int]], pad: int) -> tuple[Tensor, Tensor | None]:
    """Prompts of different lengths as one table [B, T], and which of its tokens are real; None where all are.

    >>> left_padded([[5, 6, 7], [8]], pad=0)[0].tolist()
    [[5, 6, 7], [0, 0, 8]]
    """
    T = max(len(prompt) for prompt in prompts)
    rows = [[pad] * (T - len(prompt)) + list(prompt) for prompt in prompts]
    if all(len(prompt) == T for prompt in prompts):
        return torch.tensor(rows), None
    return torch.tensor(rows), torch.tensor([[i >= T - len(prompt) for i in range(T)] for prompt in prompts])


@torch.inference_mode()
def _written(
    reader: _Reader, prompt_BT: Tensor, tokens: int, choice: Choice, generator: torch.Generator, stops: Tensor
) -> Iterator[Tensor]:
    """The loop. A row that ended goes on being read, so that the others keep their places."""
    ended_B = torch.zeros(prompt_BT.shape[0], dtype=torch.bool, device=prompt_BT.device)
    scores_BV = reader.prompt(prompt_BT)
    for left in reversed(range(tokens)):
        token_B = chosen(scores_BV, choice, generator)
        yield token_B.masked_fill(ended_B, ENDED)
        if stops.numel():
            ended_B |= torch.isin(token_B, stops)
            if bool(ended_B.all()):
                return
        if left:
            scores_BV = reader.further(token_B[:, None])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reader:
    """A model with what it has read.

    around            positions and realness of all tokens that there is room for, where padding makes them matter
    """

    model: Transformer
    cache: Cache
    around: dict[str, Tensor]
    sources: dict[str, Any]
    vocab: int | None

    def prompt(self, prompt_BT: Tensor) -> Tensor:
        """The scores [B, V] of the first new token."""
        for piece_BT in torch.split(prompt_BT, READ_AT_ONCE, dim=1):
            scores_BV = self.further(piece_BT)
        if not bool(scores_BV.isfinite().all()):
            raise BadInput("the model's scores are not finite: its training has diverged; take an earlier checkpoint")
        return scores_BV

    def further(self, tokens_BT: Tensor) -> Tensor:
        """The scores [B, V] of what follows these tokens."""
        seen = self.cache.tokens + tokens_BT.shape[1]
        around = {name: values[:, :seen] for name, values in self.around.items()}
        scores_BTV: Tensor = self.model(tokens_BT, cache=self.cache, **around, **self.sources)
        return scores_BTV[:, -1, : self.vocab]


def _places(model: Transformer, kept_BT: Tensor | None, capacity: int) -> dict[str, Tensor]:
    """Where tokens stand when some rows begin with padding: a row's first real token is at 0, padding before it.

    A table has no place before 0; padding, which nobody sees, then stands at 0 too.
    """
    if kept_BT is None:
        return {}
    B, T = kept_BT.shape
    kept_BS = torch.cat((kept_BT, kept_BT.new_ones(B, capacity - T)), dim=1) if capacity > T else kept_BT
    places_S = torch.arange(kept_BS.shape[1], device=kept_BT.device)
    places_BS = places_S - (~kept_BT).sum(dim=1, keepdim=True)
    return {"kept_BT": kept_BS, "positions_BT": places_BS if model.longest is None else places_BS.clamp(min=0)}


def _check(model: Transformer, prompt_BT: Tensor, kept_BT: Tensor | None) -> None:
    name, known = model.architecture.name, vocabulary(model)
    if not model.stack(model.stack_names[-1]).causal:
        raise BadInput(f"{name} is a masked model and writes no text; it fills in a [MASK] that stands in the prompt")
    if prompt_BT.dim() != 2 or not prompt_BT.numel():
        raise BadInput("prompt is empty; give at least one token")
    if room(model, prompt_BT.shape[1]) == 0:
        raise BadInput(f"prompt={prompt_BT.shape[1]} tokens, but {name} has {model.longest} positions; shorten it")
    least, most = int(prompt_BT.min()), int(prompt_BT.max())
    if least < 0 or most >= known:
        wrong = least if least < 0 else most
        raise BadInput(f"prompt has the token {wrong}, but the vocabulary of {name} is 0 to {known - 1}")
    if kept_BT is not None and not bool((kept_BT[:, -1:] & (kept_BT[:, 1:] >= kept_BT[:, :-1]).all(1, True)).all()):
        raise BadInput("kept must be True from a prompt's first token to its last: padding stands to its left")
