"""A few constants from a few measurements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from deepwide.calibration.fit import Prior, fit

WORK = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
PRIOR = {"rate": Prior(value=1.0, spread=0.5), "start": Prior(value=0.1, spread=1.0)}


def predict(values: Mapping[str, float]) -> NDArray[Any]:
    result: NDArray[Any] = WORK / values["rate"] + values["start"]
    return result


def test_measurements_move_the_constants() -> None:
    truth = {"rate": 2.0, "start": 0.3}
    found = fit(predict, PRIOR, predict(truth))
    assert found.values == pytest.approx(truth, rel=0.1)
    assert np.abs(found.residuals).max() < 0.03


def test_without_a_measurement_that_tells_a_constant_it_stays() -> None:
    prior = {**PRIOR, "other": Prior(value=3.0, spread=1.0)}
    assert fit(predict, prior, predict({"rate": 2.0, "start": 0.3})).values["other"] == pytest.approx(3.0)


def test_one_wild_measurement_is_not_believed() -> None:
    measured = predict({"rate": 2.0, "start": 0.1})
    measured[2] *= 10
    assert fit(predict, PRIOR, measured).values["rate"] == pytest.approx(2.0, rel=0.15)


def test_a_tighter_prior_is_left_less_far() -> None:
    measured = predict({"rate": 2.0, "start": 0.1})[:1]
    loose, tight = (
        fit(lambda v: predict(v)[:1], {**PRIOR, "rate": Prior(value=1.0, spread=s)}, measured).values["rate"]
        for s in (0.5, 0.02)
    )
    assert 1 < tight < loose
