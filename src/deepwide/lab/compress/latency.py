"""How long a model takes to read a prompt and to write a token: the medians of several, on one thread.

Shapes: B batch of 1, T tokens.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from deepwide.lab.device import settled
from deepwide.lab.kernels import Kernels, computing
from deepwide.lab.network import Transformer
from deepwide.lab.network.cache import Cache

ROUNDS = 7  # all models in turn in each, so that a busy moment hits all alike; the first does not count
DECODED = 16  # tokens of a round


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Seconds of reading `prompt` tokens, and of one further token; None of a model that writes none."""

    prompt: int
    prefill_s: float
    decode_s: float | None


@torch.inference_mode()
def latencies(models: Sequence[Transformer], prompt_1T: Tensor) -> list[Latency]:
    """The latency of each model on one prompt, one thread, batch 1."""
    with computing(Kernels(threads=1)):
        rounds = [[_timed(model.eval(), prompt_1T) for model in models] for _ in range(ROUNDS)][1:]
    return [_median([each[i] for each in rounds], prompt_1T.shape[1]) for i in range(len(models))]


def _median(tries: list[tuple[float, list[float]]], prompt: int) -> Latency:
    steps = [step_s for _, each in tries for step_s in each]
    return Latency(
        prompt=prompt,
        prefill_s=statistics.median(prefill_s for prefill_s, _ in tries),
        decode_s=statistics.median(steps) if steps else None,
    )


def _timed(model: Transformer, prompt_1T: Tensor) -> tuple[float, list[float]]:
    """Seconds of the prompt, and of each further token."""
    if model.stack_names == ["encoder"]:
        return _seconds(lambda: model(prompt_1T))[0], []
    across = len(model.stack_names) > 1
    given = {"sources_BS": prompt_1T} if across else {}
    first_1T = prompt_1T[:, :1] if across else prompt_1T
    further = DECODED if model.longest is None else min(DECODED, model.longest - first_1T.shape[1])
    cache = Cache(first_1T.shape[1] + further)
    prefill_s, scores = _seconds(lambda: model(first_1T, cache=cache, **given))
    steps = []
    for _ in range(further):
        token_11 = scores[:, -1:].argmax(-1)
        step_s, scores = _seconds(partial(model, token_11, cache=cache))
        steps.append(step_s)
    return prefill_s, steps


def _seconds(work: Callable[[], Tensor]) -> tuple[float, Tensor]:
    began = time.perf_counter()
    made = work()
    settled(made.device)
    return time.perf_counter() - began, made
