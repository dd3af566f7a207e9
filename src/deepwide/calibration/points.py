"""What a few measurements of a user's own say: better constants, and how far to trust them.

Each measurement is also predicted from all the others. Nothing is fitted again for that: close to a fit the logarithm
of a time is nearly linear in those of the constants, where a residual left out is r / (1 - h), h being how much of
its own prediction a measurement decides (Allen 1974, Technometrics 16:125, with the prior as further measurements).

The range afterwards weighs what those residuals say against what was known before, as if the prior were a few
measurements more, so that three points that happen to agree do not claim certainty.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from deepwide.calibration.fit import NOISE, OUTLIER, Prior, fit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[Any]

NINE_OF_TEN = 1.645  # standard deviations of a normal distribution that hold nine of ten
PRIOR_POINTS = 1.0  # measurements that the range before counts as; 0.5 to 2 cover 90 to 96% (benchmarks/calibration.py)
LEAST_SPREAD = 0.2  # of what was known before: a machine that nobody measured differs from any that was
WIDEST_SPREAD = 5.0  # a factor of 150: wider says nothing more
SLOPE_STEP = 1e-3  # of a prior deviation, for slopes


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """Constants corrected by measurements. Residuals are logarithms of predicted over measured.

    values      of the constants; the residuals under those known before, under these, and of each measurement under
                constants fitted on the others
    influence   by constant, how much its change moved the predictions, as a mean share of their time
    """

    values: dict[str, float]
    before: Floats
    own: Floats
    left_out: Floats
    influence: dict[str, float]


def corrected(
    predict: Callable[[Mapping[str, float]], Floats],
    prior: Mapping[str, Prior],
    measured_s: Floats,
) -> Corrected:
    """The constants that the measurements make most likely, and what each says of the others."""
    import numpy as np

    logs = np.log(measured_s)
    before = np.log(predict({name: p.value for name, p in prior.items()})) - logs
    found = fit(predict, prior, measured_s)
    slopes = _slopes(predict, prior, found.values)
    steps = {n: math.log(found.values[n] / p.value) / p.spread for n, p in prior.items()}
    influence = {n: float(np.abs(slopes[:, i] * steps[n]).mean()) for i, n in enumerate(prior)}
    left_out = found.residuals / (1 - _leverage(slopes, found.residuals))
    return Corrected(values=found.values, before=before, own=found.residuals, left_out=left_out, influence=influence)


def _slopes(
    predict: Callable[[Mapping[str, float]], Floats], prior: Mapping[str, Prior], values: Mapping[str, float]
) -> Floats:
    """How the logarithm of each time changes as each constant moves by a prior deviation: [measurements, constants]."""
    import numpy as np

    here = np.log(predict(values))
    moved = ({**values, n: values[n] * math.exp(SLOPE_STEP * p.spread)} for n, p in prior.items())
    return np.stack([(np.log(predict(there)) - here) / SLOPE_STEP for there in moved], axis=1)


def _leverage(slopes: Floats, residuals: Floats) -> Floats:
    """h = w x^T (X^T W X + 1)^-1 x: the share of each measurement in its own prediction; the prior is the 1.

    w is a measurement's weight under the soft L1 loss of the fit.
    """
    import numpy as np

    weights = NOISE**-2 / np.sqrt(1 + (residuals / NOISE / OUTLIER) ** 2)
    known = np.linalg.inv((slopes.T * weights) @ slopes + np.eye(slopes.shape[1]))
    leverage: Floats = weights * np.einsum("ij,jk,ik->i", slopes, known, slopes)
    return leverage


def spread_after(left_out: Floats, spread_before: float) -> float:
    """The logarithm within which nine of ten further measurements are expected.

    s^2 = (K s0^2 + sum r^2) / (K + n)    s0 from the range before, r the residuals left out, K = PRIOR_POINTS
    """
    known = PRIOR_POINTS * (max(spread_before, LEAST_SPREAD) / NINE_OF_TEN) ** 2
    variance = (known + float((left_out**2).sum())) / (PRIOR_POINTS + len(left_out))
    return min(NINE_OF_TEN * math.sqrt(variance), WIDEST_SPREAD)
