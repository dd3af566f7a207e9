"""Whole models, as users run them: tokens written by the lab's generation, steps taken by its training loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch

from deepwide.lab.device import settled
from deepwide.lab.generation import generate
from deepwide.lab.kernels import Kernels, apply, computing
from deepwide.lab.lanes import Lanes
from deepwide.lab.measure.clock import clock
from deepwide.lab.network import Transformer
from deepwide.lab.training import Recipe, train
from deepwide.lab.training.objective import Batch, next_token
from deepwide.lab.training.worker import Alone

TOKENS = 10  # written in a turn
WARM_TOKENS = 3  # of them that do not count: the prompt's, and those while caches fill
STEPS = 3  # taken in a turn, the first of which warms up
SEED = 0


class Reading:
    """A model that writes after a context of so many tokens, by itself, with so many threads.

    Its times are "prefill" (until the first token is there) and "decode" (each further one).
    """

    def __init__(self, model: Transformer, context: int, threads: int) -> None:
        self.model, self.threads, device = model, threads, next(model.parameters()).device
        vocab = int(model.architecture.vocab)
        self.clock = clock(threads, device)
        self.prompt_1T = torch.arange(context, device=device)[None] % vocab

    def __call__(self) -> Mapping[str, Sequence[float]]:
        """One turn."""
        seconds = []
        with computing(Kernels(threads=self.threads)):
            began = self.clock()
            for token_1 in generate(self.model, self.prompt_1T, tokens=TOKENS, temperature=0.8):
                int(token_1)
                now = self.clock()
                seconds.append(now - began)
                began = now
        return {"prefill": seconds[:1], "decode": seconds[WARM_TOKENS:]}


class Stepping:
    """A model that is trained on batches of numbers, by the loop and the default recipe; its times are of a "step"."""

    def __init__(self, model: Transformer, batch: int, context: int, kernels: Kernels) -> None:
        self.model, self.kernels, self.device = model, kernels, next(model.parameters()).device
        self.recipe = Recipe(steps=STEPS, batch=batch, context=context, learning_rate=1e-6, seed=SEED)
        drawn = torch.Generator().manual_seed(SEED)
        self.batch = next_token(torch.randint(int(model.architecture.vocab), (batch, context + 1), generator=drawn))
        self.clock = clock(kernels.threads * kernels.lanes, self.device)
        apply(kernels, self.model)
        self.worker = Alone(self.model, self.recipe, Lanes(kernels.lanes, kernels.threads))

    def __call__(self) -> Mapping[str, Sequence[float]]:
        """One turn. The clock is read as each batch is asked for: what the first step sets up does not count."""
        asked: list[float] = []

        def batch_of(step: int) -> Batch:
            settled(self.device)
            asked.append(self.clock())
            return self.batch

        with computing(self.kernels):
            ended = train(self.model, self.recipe, batches=batch_of, report=lambda row: None, worker=self.worker)
            if ended.status == "interrupted":
                raise KeyboardInterrupt  # the loop answers a signal by stopping in order
            settled(self.device)
            asked.append(self.clock())
        return {"step": [after - before for before, after in pairwise(asked[1:])]}
