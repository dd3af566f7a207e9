"""The constants of a machine, found again from times that known constants make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from deepwide.answers.calibrate.machine import BATCHES, CONTEXTS, FITTED, HELD_OUT
from deepwide.answers.calibrate.times import Timed, of_serving, of_training
from deepwide.calibration.machine import (
    SERVING_SPREADS,
    TRAINING_SPREADS,
    fitted,
    serving_start,
    training_start,
)
from deepwide.cost.inference.engine import near_bytes_per_s
from deepwide.facts.device import Accelerator
from deepwide.facts.runtimes import ServingConstants
from deepwide.facts.training import TrainingConstants

DEVICE = Accelerator(
    name="this",
    memory_bytes=2**34,
    bandwidth_bytes_per_s=6e9,
    peak_flops_per_s={"fp32": 2.5e11, "bf16": 1.5e11},
    near_bytes_per_s=((1e6, 70e9), (32e6, 40e9), (64e6, 6e9)),
    source="a test",
    confidence="measured",
)
SERVING, TRAINING = serving_start(1e-6), training_start(1e-6, 10.0, fused=False, hop_s=1e-4)
TRUE_SERVING = replace(
    SERVING,
    launch_s=6e-6,
    layer_s=3e-5,
    step_s=2e-4,
    rms_norm_s=1.5e-5,
    elementwise_passes=32.0,
    packing_passes=4.0,
    request_s=2e-3,
    memory_efficiency=0.8,
)
TRUE_TRAINING = replace(
    TRAINING, compute_efficiency=0.6, layer_s=3e-4, score_passes=9.0, rms_passes=15.0, orthogonal_efficiency=0.7
)
WRITING, STEPPING = ("decode", "prefill"), ("step",)


def timed(models: tuple[str, ...], kinds: tuple[str, ...]) -> list[Timed]:
    of = BATCHES if kinds == STEPPING else [(1, c) for c in CONTEXTS]
    return [
        Timed(what=what, model=m, batch=b, tokens=t, seconds=0.0, spread=1.0)
        for what in kinds
        for m in models
        for b, t in of
    ]


def serving_s(constants: ServingConstants, models: tuple[str, ...] = FITTED) -> NDArray[Any]:
    return of_serving(timed(models, WRITING), DEVICE, constants)


def training_s(constants: TrainingConstants, models: tuple[str, ...] = FITTED) -> NDArray[Any]:
    return of_training(timed(models, STEPPING), DEVICE, constants, "fp32")


def test_a_machine_is_found_again_from_prompts_that_it_read_and_tokens_that_it_wrote() -> None:
    def predict(values: Mapping[str, float]) -> NDArray[Any]:
        return serving_s(replace(SERVING, **values))

    noise = np.exp(np.random.default_rng(0).normal(0, 0.03, len(timed(FITTED, WRITING))))
    found = fitted(predict, SERVING, serving_s(TRUE_SERVING) * noise)
    there, unseen = serving_s(TRUE_SERVING, HELD_OUT), serving_s(ServingConstants(**found.constants), HELD_OUT)
    assert np.abs(unseen / there - 1).max() < 0.08
    assert np.abs(serving_s(SERVING, HELD_OUT) / there - 1).max() > 0.2


def test_a_machine_is_found_again_from_steps_that_it_took() -> None:
    def predict(values: Mapping[str, float]) -> NDArray[Any]:
        return training_s(replace(TRAINING, **values))

    noise = np.exp(np.random.default_rng(1).normal(0, 0.03, len(timed(FITTED, STEPPING))))
    found = fitted(predict, TRAINING, training_s(TRUE_TRAINING) * noise)
    there, unseen = training_s(TRUE_TRAINING, HELD_OUT), training_s(TrainingConstants(**found.constants), HELD_OUT)
    assert np.abs(unseen / there - 1).max() < 0.1
    assert found.spread < 0.4


@pytest.mark.parametrize(
    ("spreads", "start"), [(SERVING_SPREADS, SERVING), (TRAINING_SPREADS, TRAINING)], ids=["serving", "training"]
)
def test_every_constant_that_may_move_is_one(spreads: dict[str, float], start: Any) -> None:
    assert set(spreads) <= set(asdict(start))


def test_no_model_is_both_fitted_and_held_out() -> None:
    assert not set(FITTED) & set(HELD_OUT)


def test_rates_of_many_sizes_are_those_of_each() -> None:
    sizes = np.array([1e5, 1e6, 5e6, 40e6, 1e9])
    many = near_bytes_per_s(sizes, DEVICE.near_bytes_per_s)
    assert [near_bytes_per_s(float(n), DEVICE.near_bytes_per_s) for n in sizes] == pytest.approx(list(many))
    assert list(many) == sorted(many, reverse=True)
