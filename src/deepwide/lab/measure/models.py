"""Whole models, as users run them: tokens written by the lab's generation, steps taken by its training loop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, pairwise

import torch
from torch import Tensor

from deepwide.lab.device import settled
from deepwide.lab.generation import generate
from deepwide.lab.kernels import Kernels, apply, computing
from deepwide.lab.lanes import Lanes
from deepwide.lab.measure.clock import clock
from deepwide.lab.network import Transformer
from deepwide.lab.training import Recipe, train
from deepwide.lab.training.objective import Batch, next_token
from deepwide.lab.training.worker import Alone

TOKENS = 4  # timed in a turn: few, so that each of many turns meets another moment of the machine
COLD_TOKENS = 6  # of a turn, before them: others have had the caches, and weights come from memory
TURNS = 10  # until the prompt is read again
WRITTEN = TURNS * (COLD_TOKENS + TOKENS)  # after a prompt
STEPS = 3  # taken in a turn, the first of which warms up
SEED = 0


class Reading:
    """A model that writes after a context of so many tokens, by itself, with so many threads.

    Its times are "prefill" (until the first token is there) and "decode" (each further one). It goes on writing from
    turn to turn, and begins anew after a few.
    """

    def __init__(self, model: Transformer, context: int, threads: int) -> None:
        self.model, self.threads, device = model, threads, next(model.parameters()).device
        vocab = int(model.architecture.vocab)
        self.clock = clock(threads, device)
        self.prompt_1T = torch.arange(context, device=device)[None] % vocab
        self.turns = 0
        self.text: Iterator[Tensor] = iter(())

    def __call__(self) -> Mapping[str, Sequence[float]]:
        """One turn."""
        begins = self.turns % TURNS == 0
        self.turns += 1
        with computing(Kernels(threads=self.threads)):
            seconds: dict[str, list[float]] = {}
            if begins:
                self.text = generate(self.model, self.prompt_1T, tokens=1 + WRITTEN, temperature=0.8)
                seconds["prefill"] = self._written(1)
            seconds["decode"] = self._written(COLD_TOKENS + TOKENS)[COLD_TOKENS:]
        return seconds

    def _written(self, tokens: int) -> list[float]:
        """The seconds of each of the next tokens."""
        seconds, began = [], self.clock()
        for token_1 in islice(self.text, tokens):
            int(token_1)
            now = self.clock()
            seconds.append(now - began)
            began = now
        return seconds


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
