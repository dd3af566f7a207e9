"""The training loop: gradients, a step, a row of metrics, now and then a validation and a checkpoint.

It is deterministic: the batch is a function of the step, nothing is drawn at random, and a checkpoint holds all that
the next step depends on. So a run that was stopped and resumed takes the steps of one that was not, bit for bit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from deepwide.errors import BadInput
from deepwide.lab.training.checkpoint import Checkpoint
from deepwide.lab.training.interruption import asked_to_stop
from deepwide.lab.training.objective import Batch
from deepwide.lab.training.recipe import Recipe
from deepwide.lab.training.schedule import rate_share
from deepwide.lab.training.worker import Alone, Worker

Row = dict[str, float | int]
HELD_ROWS = 16  # rows that wait on an accelerator before they are read: each reading makes it wait for the host


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a training ended: "done", or "interrupted" with a checkpoint to go on from."""

    status: str
    step: int
    tokens: int
    seconds: float
    loss: float | None = None
    validation_loss: float | None = None


def train(
    model: nn.Module,
    recipe: Recipe,
    *,
    batches: Callable[[int], Batch],
    report: Callable[[Row], None],
    evaluate: Callable[[], float] | None = None,
    save: Callable[[Checkpoint], object] | None = None,
    start: Checkpoint | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    worker: Worker | None = None,
) -> Outcome:
    """Trains the model in place.

    batches       the batch of step 0, 1, ...: always the same for the same step
    report        takes each row: step (1 after the first), tokens, seconds and loss, learning_rate, gradient_norm,
                  tokens_per_s; or validation_loss
    evaluate      the validation loss of the model as it stands
    save          keeps a checkpoint
    start         where to go on from; a fresh start when left out
    should_stop   asked after each step; SIGINT and SIGTERM stop as well, and both save first
    worker        takes the steps; this process alone when left out
    """
    torch.manual_seed(recipe.seed)
    model.train()
    run = _Run(worker or Alone(model, recipe), recipe, report, save)
    if start is not None:
        run.go_on_from(start)
    with asked_to_stop() as asked:
        while run.step < recipe.total_steps:
            run.take_step(batches(run.step))
            last = run.step == recipe.total_steps
            if evaluate and (last or (recipe.evaluate_every and run.step % recipe.evaluate_every == 0)):
                run.validate(evaluate)
            stopped, due = run.worker.any_of(asked() or should_stop(), run.checkpoint_is_due())
            if last or stopped or due:
                run.save_checkpoint()
            if stopped and not last:
                return run.outcome("interrupted")
    return run.outcome("done")


class _Run:
    """What moves while a model is trained: the step, the clock, rows that wait."""

    def __init__(
        self,
        worker: Worker,
        recipe: Recipe,
        report: Callable[[Row], None],
        save: Callable[[Checkpoint], object] | None,
    ) -> None:
        self.worker, self.recipe, self.report, self.save = worker, recipe, report, save
        self.step, self.began, self.before_s = 0, time.perf_counter(), 0.0
        self.marked, self.marked_step, self.saved = self.began, 0, self.began
        self.waiting: list[tuple[int, float, Tensor, Tensor]] = []
        self.loss: float | None = None
        self.validation_loss: float | None = None

    def go_on_from(self, start: Checkpoint) -> None:
        """Takes up where a checkpoint stands."""
        if start.recipe_sha256 != self.recipe.sha256:
            raise BadInput(
                f"recipe={self.recipe.sha256[:12]} is not that of the checkpoint ({start.recipe_sha256[:12]}); "
                "resume with the recipe it was made with, or begin a new run"
            )
        self.worker.load(start)
        self.step = self.marked_step = start.step
        self.before_s = start.seconds

    def take_step(self, batch: Batch) -> None:
        """One step of the optimiser on one batch."""
        recipe, share = self.recipe, rate_share(self.step, self.recipe)
        loss, norm = self.worker.gradients(batch)
        self.waiting.append((self.step + 1, recipe.base_rate * share, loss, norm))
        if self.worker.device.type == "cpu" or len(self.waiting) >= HELD_ROWS:
            self.settle()
        self.worker.step(share)
        self.step += 1

    def settle(self) -> None:
        """Reports what waits, and stops where a loss or a gradient is not finite."""
        if not self.waiting:
            return
        now = time.perf_counter()
        last = self.waiting[-1][0]
        speed = (last - self.marked_step) * self.recipe.tokens_per_step / max(now - self.marked, 1e-9)
        values = torch.stack([torch.stack((loss, norm)) for _, _, loss, norm in self.waiting]).tolist()
        for (step, rate, _, _), (loss, norm) in zip(self.waiting, values, strict=True):
            _check_finite(step, rate, loss, norm)
            self.loss = loss
            if step % self.recipe.log_every == 0 or step == self.recipe.total_steps:
                self.report(self._row(step, loss, rate, norm, speed))
        self.waiting.clear()
        self.marked, self.marked_step = now, last

    def _row(self, step: int, loss: float, rate: float, norm: float, speed: float) -> Row:
        return {
            "step": step,
            "tokens": step * self.recipe.tokens_per_step,
            "loss": loss,
            "learning_rate": rate,
            "gradient_norm": norm,
            "tokens_per_s": speed,
            "seconds": self.seconds(),
        }

    def validate(self, evaluate: Callable[[], float]) -> None:
        """Reports the validation loss; its time is not that of training."""
        self.settle()
        self.validation_loss = evaluate()
        tokens = self.step * self.recipe.tokens_per_step
        row = {"step": self.step, "tokens": tokens, "validation_loss": self.validation_loss, "seconds": self.seconds()}
        self.report(row)
        self.marked = time.perf_counter()

    def checkpoint_is_due(self) -> bool:
        """Whether the last checkpoint is old enough."""
        return self.save is not None and time.perf_counter() - self.saved >= self.recipe.checkpoint_every_s

    def save_checkpoint(self) -> None:
        """Keeps a checkpoint of a model that is known to be sound."""
        self.settle()
        if self.save is not None:
            self.save(self.checkpoint())
        self.marked = self.saved = time.perf_counter()

    def checkpoint(self) -> Checkpoint:
        """Where the training stands; its tensors are the very ones in use."""
        weights, optimizer = self.worker.tensors()
        return Checkpoint(
            step=self.step,
            tokens=self.step * self.recipe.tokens_per_step,
            seconds=self.seconds(),
            recipe_sha256=self.recipe.sha256,
            weights=weights,
            optimizer=optimizer,
        )

    def seconds(self) -> float:
        """Since the run first began, pauses between resumptions left out."""
        return self.before_s + time.perf_counter() - self.began

    def outcome(self, status: str) -> Outcome:
        """What there is to say at the end."""
        return Outcome(
            status=status,
            step=self.step,
            tokens=self.step * self.recipe.tokens_per_step,
            seconds=self.seconds(),
            loss=self.loss,
            validation_loss=self.validation_loss,
        )


def _check_finite(step: int, rate: float, loss: float, norm: float) -> None:
    if math.isfinite(loss) and math.isfinite(norm):
        return
    what = f"loss={loss}" if not math.isfinite(loss) else f"gradient_norm={norm}"
    raise BadInput(
        f"{what} at step {step}, at learning rate {rate:.3g}: the training diverged; lower learning_rate or clip, or "
        "raise warmup_share. Checkpoints from before it are kept"
    )
