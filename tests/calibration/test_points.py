"""What a few measurements say: constants, residuals left out, and a range that claims no certainty."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from deepwide.calibration import inference, training
from deepwide.calibration.fit import Prior, fit
from deepwide.calibration.points import LEAST_SPREAD, NINE_OF_TEN, corrected, spread_after
from deepwide.facts.runtimes import ServingConstants
from deepwide.facts.training import TrainingConstants

WORK = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
PRIOR = {"rate": Prior(value=1.0, spread=0.5), "start": Prior(value=0.1, spread=1.0)}
NOISE = np.exp([0.05, -0.04, 0.06, -0.07, 0.03, -0.03])


def predict(values: Mapping[str, float], work: NDArray[Any] = WORK) -> NDArray[Any]:
    result: NDArray[Any] = work / values["rate"] + values["start"]
    return result


def test_each_measurement_is_predicted_from_the_others_as_a_fit_without_it_would() -> None:
    measured = predict({"rate": 1.5, "start": 0.3}) * NOISE
    found = corrected(predict, PRIOR, measured)
    refitted = []
    for i in range(len(WORK)):
        others = np.arange(len(WORK)) != i
        values = fit(lambda v, w=WORK[others]: predict(v, w), PRIOR, measured[others]).values
        refitted.append(float(np.log(predict(values) / measured)[i]))
    assert refitted == pytest.approx(list(found.left_out), abs=0.03)


def test_a_measurement_left_out_is_never_predicted_better_than_one_that_was_fitted() -> None:
    found = corrected(predict, PRIOR, predict({"rate": 1.5, "start": 0.3}) * NOISE)
    assert (np.abs(found.left_out) >= np.abs(found.own)).all()


def test_measurements_that_are_already_predicted_move_nothing() -> None:
    middle = {name: p.value for name, p in PRIOR.items()}
    found = corrected(predict, PRIOR, predict(middle))
    assert found.values == pytest.approx(middle)
    assert found.influence == pytest.approx(dict.fromkeys(PRIOR, 0.0), abs=1e-9)


def test_influence_names_the_constant_that_moved_the_times() -> None:
    found = corrected(predict, PRIOR, predict({"rate": 2.0, "start": 0.1}))
    assert found.influence["rate"] > 5 * found.influence["start"]


def test_three_measurements_that_happen_to_agree_claim_no_certainty() -> None:
    assert spread_after(np.zeros(3), 0.4) == pytest.approx(0.2)
    assert spread_after(np.zeros(3), 0.01) == pytest.approx(LEAST_SPREAD / 2)


def test_many_measurements_decide_the_range_alone() -> None:
    errors = np.random.default_rng(0).normal(0, 0.1, 1000)
    assert spread_after(errors, 0.4) == pytest.approx(NINE_OF_TEN * 0.1, rel=0.05)


@given(st.lists(st.floats(-0.3, 0.3), min_size=1, max_size=40), st.floats(0.05, 0.6))
def test_the_range_lies_between_what_was_known_and_what_was_seen(residuals: list[float], before: float) -> None:
    seen = NINE_OF_TEN * math.sqrt(float(np.mean(np.square(residuals))))
    known = max(before, LEAST_SPREAD)
    assert min(seen, known) - 1e-9 <= spread_after(np.array(residuals), before) <= max(seen, known) + 1e-9


@given(st.lists(st.floats(-0.3, 0.3), min_size=3, max_size=40))
def test_another_measurement_like_those_before_never_widens_the_range_by_much(residuals: list[float]) -> None:
    errors = np.array(residuals)
    typical = float(np.sqrt(np.square(errors).mean()))
    assert spread_after(np.append(errors, typical), 0.3) <= max(spread_after(errors, 0.3), NINE_OF_TEN * typical) + 1e-9


@pytest.mark.parametrize(
    ("spreads", "constants"),
    [(training.SPREADS, TrainingConstants), (inference.SPREADS, ServingConstants)],
    ids=["training", "inference"],
)
def test_every_constant_that_may_move_is_one(spreads: dict[str, float], constants: type) -> None:
    assert set(spreads) <= {f.name for f in fields(constants)}
