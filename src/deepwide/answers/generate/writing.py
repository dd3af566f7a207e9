"""A model writes: what follows a prompt, or what belongs into its gaps; piece by piece, with the time of each token."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from deepwide.answers.generate.prompt import prompt_tokens, prompt_with_gaps
from deepwide.answers.trained import Trained
from deepwide.architecture.ledger import lower
from deepwide.cost.memory import cached_elements_per_token
from deepwide.errors import BadInput
from deepwide.units import size

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from deepwide.lab.generation import Choice

ELEMENT_BYTES = 4  # of the cache: fp32, as the weights
Write = Callable[[str, bool], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What was read and written, as text and as tokens, and the seconds of each token."""

    text: str
    read: list[int]
    written: list[int]
    ended: str
    token_seconds: list[float]
    notes: tuple[str, ...] = ()


def continued(found: Trained, prompt: str | None, choice: Choice, write: Write) -> Written:
    """The text that follows a prompt, or that an encoder-decoder makes of it."""
    across = len(found.model.stack_names) > 1
    read = prompt_tokens(found, prompt)
    begun = 1 if across else len(read)  # tokens that stand before the first new one
    _check_memory(found, begun, choice.tokens)
    stop = found.tokenizer.specials.get("end")
    write((prompt or "") + ("\n" if across else ""), False)
    push, pieces, written, seconds = found.tokenizer.stream(), [], [], []
    for token, token_s in _timed(_generated(found, read, choice, stop)):
        pieces.append("" if token == stop else push(token))
        written.append(token)
        seconds.append(token_s)
        write(pieces[-1], True)
    pieces.append(push(None))
    write(pieces[-1], True)
    ended = "end" if written[-1] == stop else "tokens" if len(written) == choice.tokens else "positions"
    return Written(
        text="".join(pieces),
        read=read,
        written=written,
        ended=ended,
        token_seconds=seconds,
        notes=tuple(_notes(found, begun + len(written), ended)),
    )


def filled_in(found: Trained, prompt: str | None, write: Write) -> Written:
    """A prompt with its gaps filled, by a masked model."""
    import torch

    from deepwide.lab.generation import filled, vocabulary

    read = prompt_with_gaps(found, prompt)
    tokenizer, known = found.tokenizer, vocabulary(found.model)
    never = {*tokenizer.special_ids, *range(tokenizer.vocab, known)}
    began_s = time.perf_counter()
    gaps = filled(found.model, torch.tensor(read, device=_device(found)), mask=tokenizer.special("mask"), never=never)
    took_s = time.perf_counter() - began_s
    tokens = dict(gaps)
    push, pieces = tokenizer.stream(), []
    for place, token in enumerate([*read, None]):
        pieces.append(push(tokens.get(place, token)))
        write(pieces[-1], place in tokens)
    return Written(
        text="".join(pieces),
        read=[tokens.get(place, token) for place, token in enumerate(read)],
        written=[token for _, token in gaps],
        ended="filled",
        token_seconds=[took_s / len(gaps)] * len(gaps),
    )


def _generated(found: Trained, read: list[int], choice: Choice, stop: int | None) -> Iterator[Tensor]:
    import torch

    from deepwide.lab.generation import generate

    prompt_1T = torch.tensor([read], device=_device(found))
    across = len(found.model.stack_names) > 1
    return generate(
        found.model,
        torch.tensor([[found.before]], device=_device(found)) if across else prompt_1T,
        **asdict(choice),
        stop=() if stop is None else (stop,),
        sources=prompt_1T if across else None,
        vocab=found.tokenizer.vocab,
    )


def _timed(steps: Iterator[Tensor]) -> Iterator[tuple[int, float]]:
    """Each token of the only row, and the seconds it took; those of showing it are not counted."""
    began_s = time.perf_counter()
    for token_B in steps:
        token = int(token_B)
        yield token, time.perf_counter() - began_s
        began_s = time.perf_counter()


def _check_memory(found: Trained, prompt: int, tokens: int) -> None:
    """Refuses a text whose cache this machine could not hold."""
    from deepwide.lab.device import memory_bytes
    from deepwide.lab.generation import room

    most = room(found.model, prompt)
    context = prompt + (tokens if most is None else min(tokens, most))
    cache_bytes = ELEMENT_BYTES * context * int(cached_elements_per_token(lower(found.model.architecture)))
    there_bytes = memory_bytes(_device(found))
    if cache_bytes > there_bytes:
        raise BadInput(
            f"tokens={tokens} needs a cache of {size(cache_bytes)}, and this machine has {size(there_bytes)} in all; "
            "write fewer"
        )


def _device(found: Trained) -> torch.device:
    return next(found.model.parameters()).device


def _notes(found: Trained, tokens: int, ended: str) -> Iterator[str]:
    """Why a text stops early, or where it goes beyond what its model has learned."""
    longest, context = found.model.longest, found.context
    if ended == "positions":
        yield f"the text stops here: the model has {longest} positions and knows no further one"
    elif context and tokens > context:
        yield f"the text goes beyond the {context} tokens that the model was trained on at once, and may get worse"
