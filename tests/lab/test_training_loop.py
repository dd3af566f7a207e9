"""The loop: what is learned, what is reported, and how it stops."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Callable

import pytest
import torch

from deepwide.answers.models import find_model
from deepwide.errors import BadInput
from deepwide.lab import build
from deepwide.lab.network import Transformer
from deepwide.lab.training import Batch, Checkpoint, Recipe, Row, batch_of, mean_loss, next_token, train
from deepwide.lab.training.objective import IGNORED, backward
from deepwide.lab.training.worker import clipped

TINY = "like=llama,layers=2,hidden=16,heads=2,kv_heads=2,ffn=24,vocab=31,context=16"
CPU = torch.device("cpu")


def model_of(text: str = TINY) -> Transformer:
    architecture = find_model(text).architecture
    assert architecture is not None
    return build(architecture)


def random_batch(step: int) -> Batch:
    return next_token(torch.randint(0, 31, (4, 9), generator=torch.Generator().manual_seed(step)))


def recipe_of(steps: int = 6, **fields: object) -> Recipe:
    return Recipe(**{"steps": steps, "batch": 4, "context": 8, "checkpoint_every_s": 1e9, **fields})  # type: ignore[arg-type]


def rows_of(recipe: Recipe, batches: Callable[[int], Batch] = random_batch) -> list[Row]:
    rows: list[Row] = []
    train(model_of(), recipe, batches=batches, report=rows.append)
    return rows


def test_each_row_says_where_the_training_stands() -> None:
    rows = rows_of(recipe_of())
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert rows[-1]["tokens"] == 6 * 32
    assert set(rows[0]) == {"step", "tokens", "loss", "learning_rate", "gradient_norm", "tokens_per_s", "seconds"}
    assert rows[-1]["learning_rate"] == pytest.approx(8e-4)


def test_rows_are_reported_as_often_as_asked_and_at_the_end() -> None:
    assert [row["step"] for row in rows_of(recipe_of(7, log_every=3))] == [3, 6, 7]


def test_the_first_loss_is_that_of_a_guess() -> None:
    assert rows_of(recipe_of(1))[0]["loss"] == pytest.approx(math.log(31), rel=0.05)


def test_the_same_recipe_gives_the_same_losses_bit_for_bit() -> None:
    first, second = ([(row["loss"], row["gradient_norm"]) for row in rows_of(recipe_of())] for _ in range(2))
    assert first == second


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_one_batch_is_learned_by_heart(optimizer: str) -> None:
    recipe = recipe_of(120, optimizer=optimizer, weight_decay=0.0, learning_rate=2e-2)
    text = torch.randint(0, 31, (1, 9), generator=torch.Generator().manual_seed(0))
    rows = rows_of(recipe, lambda step: next_token(text.expand(4, 9)))
    assert rows[-1]["loss"] < 0.05


def gradients(batch: Batch, pieces: int) -> tuple[torch.Tensor, torch.Tensor]:
    model = model_of().double()
    model.compute_dtype = torch.float64
    loss = backward(model, batch, pieces, CPU)
    return loss, torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


@pytest.mark.parametrize("ragged", [False, True])
def test_accumulated_gradients_are_those_of_the_one_batch(ragged: bool) -> None:
    batch = random_batch(0)
    if ragged:
        targets = batch.targets.clone()
        targets[:3, 2:] = IGNORED
        batch = Batch(tokens=batch.tokens, targets=targets)
    whole_loss, whole = gradients(batch, 1)
    loss, pieces = gradients(batch, 4)
    assert torch.allclose(whole_loss, loss, rtol=1e-6)
    assert torch.allclose(whole, pieces, rtol=1e-4, atol=1e-8)


def test_a_batch_without_targets_has_no_loss() -> None:
    batch = random_batch(0)
    nothing = Batch(tokens=batch.tokens, targets=torch.full_like(batch.targets, IGNORED))
    assert mean_loss(model_of(), [nothing], CPU) == 0.0


def test_the_mean_loss_weighs_batches_by_their_targets() -> None:
    model, batches = model_of(), [random_batch(0), random_batch(1)]
    small = Batch(tokens=batches[1].tokens[:1], targets=batches[1].targets[:1])
    parts = [mean_loss(model, [batch], CPU) for batch in (batches[0], small)]
    assert mean_loss(model, [batches[0], small], CPU) == pytest.approx((4 * parts[0] + parts[1]) / 5)


def test_large_gradients_are_scaled_to_the_limit_and_small_ones_left() -> None:
    p = torch.nn.Parameter(torch.zeros(2))
    p.grad = torch.tensor([3.0, 4.0])
    assert float(clipped([p], 10.0)) == 5.0
    assert p.grad.tolist() == [3.0, 4.0]
    clipped([p], 0.0)
    assert p.grad.tolist() == [3.0, 4.0]
    clipped([p], 1.0)
    assert p.grad.norm() == pytest.approx(1.0, abs=1e-5)


def test_masked_tokens_are_learned_from_both_sides() -> None:
    model = model_of("like=bert,layers=1,hidden=32,heads=2,ffn=64,vocab=16,context=16")

    def batches(step: int) -> Batch:
        """Each token stands twice, side by side; one of each pair is hidden behind 15."""
        generator = torch.Generator().manual_seed(step)
        words = torch.randint(0, 15, (16, 4), generator=generator)
        tokens = words.repeat_interleave(2, 1)
        hidden = torch.arange(4) * 2 + torch.randint(0, 2, (16, 4), generator=generator)
        targets = torch.full_like(tokens, IGNORED).scatter(1, hidden, words)
        return batch_of(tokens=tokens.scatter(1, hidden, 15).numpy(), targets=targets.numpy())

    rows: list[Row] = []
    recipe = recipe_of(150, batch=16, objective="masked", learning_rate=2e-2)
    train(model, recipe, batches=batches, report=rows.append)
    assert rows[-1]["loss"] < 0.3 * math.log(15)


def test_validation_is_reported_on_its_steps_and_at_the_end() -> None:
    rows: list[Row] = []
    losses = iter([3.0, 2.0, 1.0])
    outcome = train(
        model_of(),
        recipe_of(5, evaluate_every=2),
        batches=random_batch,
        report=rows.append,
        evaluate=lambda: next(losses),
    )
    assert [(r["step"], r["validation_loss"]) for r in rows if "validation_loss" in r] == [(2, 3.0), (4, 2.0), (5, 1.0)]
    assert (outcome.status, outcome.step, outcome.validation_loss) == ("done", 5, 1.0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_step_and_saves(number: signal.Signals) -> None:
    saved: list[Checkpoint] = []
    handler = signal.getsignal(number)

    def batches(step: int) -> Batch:
        if step == 2:
            os.kill(os.getpid(), number)
        return random_batch(step)

    rows: list[Row] = []
    outcome = train(model_of(), recipe_of(), batches=batches, report=rows.append, save=saved.append)
    assert (outcome.status, outcome.step) == ("interrupted", 3)
    assert [checkpoint.step for checkpoint in saved] == [3]
    assert len(rows) == 3
    assert signal.getsignal(number) == handler


def test_a_second_interrupt_stops_at_once() -> None:
    def batches(step: int) -> Batch:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        return random_batch(step)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a program in the background has none
    try:
        with pytest.raises(KeyboardInterrupt):
            train(model_of(), recipe_of(), batches=batches, report=lambda row: None)
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_stop_that_is_asked_for_saves() -> None:
    saved: list[Checkpoint] = []
    outcome = train(
        model_of(),
        recipe_of(),
        batches=random_batch,
        report=lambda row: None,
        save=saved.append,
        should_stop=lambda: True,
    )
    assert (outcome.status, [c.step for c in saved]) == ("interrupted", [1])


def test_a_loss_that_is_no_number_stops_before_the_weights_are_spoilt() -> None:
    model, saved = model_of(), []

    def batches(step: int) -> Batch:
        if step == 3:
            with torch.no_grad():
                model.embedding.get_submodule("tokens").weight[0] = math.nan  # type: ignore[index, operator]
        return next_token(torch.zeros(4, 9, dtype=torch.long)) if step == 3 else random_batch(step)

    with pytest.raises(BadInput, match=r"loss=nan at step 4, at learning rate 0\.00.*lower learning_rate"):
        train(model, recipe_of(checkpoint_every_s=0), batches=batches, report=lambda row: None, save=saved.append)
    assert [checkpoint.step for checkpoint in saved] == [1, 2, 3]


def test_a_checkpoint_of_another_recipe_is_refused() -> None:
    saved: list[Checkpoint] = []
    train(model_of(), recipe_of(), batches=random_batch, report=lambda row: None, save=saved.append)
    with pytest.raises(BadInput, match="is not that of the checkpoint"):
        train(model_of(), recipe_of(seed=1), batches=random_batch, report=lambda row: None, start=saved[0])
