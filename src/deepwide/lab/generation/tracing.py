"""What happens to one token inside a model: its row of the embedding never changes, what the layers make of it does.

Two readings are set beside a first one: the same token at another place of the same text, and at the same place after
another text. The network is looked at through hooks and knows nothing of it. Shapes: T tokens, D hidden.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from deepwide.errors import BadInput
from deepwide.lab.generation.generating import vocabulary
from deepwide.lab.network import Transformer

EMBEDDING, INPUT = "embedding row", "first layer reads"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """How far two vectors are apart: |a - b| over the mean of their lengths, and the cosine of their angle."""

    distance: float
    cosine: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A height in the model, and what differs there with the place of a token and with the text before it."""

    name: str
    place: Change
    context: Change


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One token through the layers: `places` are the two where it stands, `levels` go from the embedding up."""

    token: int
    places: tuple[int, int]
    levels: tuple[Level, ...]

    def to_dict(self) -> dict[str, Any]:
        """The trace as plain values."""
        return asdict(self)


def trace(model: Transformer, tokens: Sequence[int], token: int | None = None) -> Trace:
    """Follows a token that stands at least twice among `tokens`: its first place and its last.

    The other text that it is read after is the one before its last place, backwards.
    """
    known = repeated(tokens)
    if not known or (token is not None and token not in known):
        raise BadInput(f"tokens hold {'no token' if token is None else f'token {token} not'} twice; repeat the text")
    token = next(iter(known)) if token is None else token
    first, last = known[token][0], known[token][-1]
    here = states(model, tokens)
    other = states(model, [*_another_text(tokens[:last], model), *tokens[last:]])
    levels = tuple(
        Level(name=name, place=_change(x[last], x[first]), context=_change(x[last], other[name][last]))
        for name, x in here.items()
    )
    return Trace(token=token, places=(first, last), levels=levels)


def repeated(tokens: Sequence[int]) -> dict[int, list[int]]:
    """The tokens that stand more than once, with their places; the most frequent first.

    >>> repeated([7, 5, 7, 6, 5, 7])
    {7: [0, 2, 5], 5: [1, 4]}
    """
    places: dict[int, list[int]] = {}
    for place, token in enumerate(tokens):
        places.setdefault(int(token), []).append(place)
    several = {token: found for token, found in places.items() if len(found) > 1}
    return dict(sorted(several.items(), key=lambda item: -len(item[1])))


@torch.no_grad()
def states(model: Transformer, tokens: Sequence[int]) -> dict[str, Tensor]:
    """What each token is [T, D] as a row of the embedding, as the first layer's input, and after each layer.

    An encoder-decoder is looked at where it reads, in its encoder.
    """
    table = model.embedding.get_submodule("tokens")
    stack = model.stack(model.stack_names[0])
    seen: dict[str, Tensor] = {}
    after: list[Tensor] = []

    def read(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        seen.setdefault(INPUT, inputs[0][0].clone())  # a block that several layers share is called by each

    def embedded(_: nn.Module, __: tuple[Any, ...], output: Tensor) -> None:
        seen[EMBEDDING] = output[0].clone()

    def left(_: nn.Module, __: tuple[Any, ...], output: Tensor) -> None:
        after.append(output[0].clone())

    tokens_1T = torch.tensor([list(tokens)], device=next(model.parameters()).device)
    with ExitStack() as hooks:
        hooks.callback(table.register_forward_hook(embedded).remove)
        hooks.callback(stack.blocks[0].register_forward_pre_hook(read).remove)
        for block in dict.fromkeys(stack.blocks):
            hooks.callback(block.register_forward_hook(left).remove)
        model.eval()
        _ = model.encoded(tokens_1T) if len(model.stack_names) > 1 else model(tokens_1T)
    return {**seen, **{f"after layer {i}": x for i, x in enumerate(after, 1)}}


def checksum(model: nn.Module) -> str:
    """SHA-256 over all tensors of a model: equal as long as not one bit of them changes."""
    digest = hashlib.sha256()
    for name, raw in _tensors(model):
        digest.update(name.encode())
        digest.update(raw)
    return digest.hexdigest()


def _tensors(model: nn.Module) -> Iterator[tuple[str, memoryview]]:
    """Each tensor's bytes, a shared one under its first name alone."""
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        flat = tensor.detach().cpu().contiguous().view(-1)
        yield name, flat.view(torch.uint8).numpy().data


def _another_text(before: Sequence[int], model: Transformer) -> list[int]:
    """The tokens backwards; the next ones of the vocabulary where that is the same text."""
    backwards = list(before)[::-1]
    return backwards if backwards != list(before) else [(token + 1) % vocabulary(model) for token in before]


def _change(a_D: Tensor, b_D: Tensor) -> Change:
    a_D, b_D = a_D.double(), b_D.double()
    lengths = a_D.norm(), b_D.norm()
    tiny = torch.finfo(torch.float64).tiny
    distance = (a_D - b_D).norm() / ((lengths[0] + lengths[1]) / 2).clamp(min=tiny)
    cosine = (a_D @ b_D) / (lengths[0] * lengths[1]).clamp(min=tiny)
    return Change(distance=float(distance), cosine=float(cosine.clamp(-1, 1)))
