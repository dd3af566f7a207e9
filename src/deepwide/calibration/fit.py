"""Fitting a few positive constants to a few measurements, without forgetting what was known before.

The constants that are most likely, given the measurements and a prior: every logarithm has a normal prior, errors of
measured times are multiplicative. Without a prior a dozen points leave some constants to chance, and one prediction in
ten is absurd.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deepwide.robust import most_likely

if TYPE_CHECKING:
    from numpy.typing import NDArray

NOISE = 0.06  # of one measured time, as a share: two runs of one training step differ by about as much
OUTLIER = 2.0  # residuals of so many times the noise begin to count less than their square


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """What was known of a constant before: its value, and the standard deviation of its logarithm."""

    value: float
    spread: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """The constants, and the errors that they leave: logarithms of predicted over measured."""

    values: dict[str, float]
    residuals: NDArray[Any]


def fit(
    predict: Callable[[Mapping[str, float]], NDArray[Any]],
    prior: Mapping[str, Prior],
    measured_s: NDArray[Any],
    *,
    noise: float = NOISE,
) -> Fitted:
    """The most likely constants. `predict` gives one time per measurement for a choice of them; scipy does the rest."""
    import numpy as np

    names, logs = list(prior), np.log(measured_s)

    def values(steps: NDArray[Any]) -> dict[str, float]:
        """Constants that lie so many prior deviations from their prior values."""
        return {n: prior[n].value * math.exp(s * prior[n].spread) for n, s in zip(names, steps, strict=True)}

    def errors(steps: NDArray[Any]) -> NDArray[Any]:
        errors: NDArray[Any] = (np.log(predict(values(steps))) - logs) / noise
        return errors

    found = values(most_likely(errors, np.zeros(len(names)), outlier=OUTLIER))
    return Fitted(values=found, residuals=np.log(predict(found)) - logs)
