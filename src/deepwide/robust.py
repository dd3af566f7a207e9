"""What measurements make most likely, given what was known before: the one fit behind every calibration.

Every constant has a normal prior and is counted in steps of the prior's deviation, so that all of them are of one
size. An error far off counts as a few close ones, not as its square (soft L1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from deepwide.errors import BadInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

WAY_OUT = "`pip install 'deepwide[fit]'` brings it"
MOST_STEPS = 40
ENOUGH = 1e-4  # a step that betters the fit by less ends it


def need_scipy() -> None:
    """Asked for before a long table is read in vain."""
    try:
        import scipy.optimize  # noqa: F401  # whether it is there is the question
    except ModuleNotFoundError:
        raise BadInput(f"calibrate needs scipy, which is not installed; {WAY_OUT}") from None


def most_likely(
    errors: Callable[[NDArray[Any]], NDArray[Any]],
    start: NDArray[Any],
    *,
    outlier: float,
    slopes: Callable[[NDArray[Any]], NDArray[Any]] | None = None,
    most_steps: int = MOST_STEPS,
    enough: float = ENOUGH,
) -> NDArray[Any]:
    """The steps x from the prior that minimise  sum 2 o^2 (sqrt(1 + (e / o)^2) - 1) + sum x^2.

    errors   of the measurements at some steps, in deviations of their noise: e
    slopes   of those errors, [measurements, constants]; by differences where it is not given
    outlier  the error from which on one counts less than its square: o
    """
    import numpy as np
    from scipy.optimize import least_squares

    measured = len(errors(start))

    def residuals(steps: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate([errors(steps), steps])

    def jacobian(steps: NDArray[Any]) -> NDArray[Any]:
        return np.vstack([slopes(steps) if slopes else np.empty((0, len(steps))), np.eye(len(steps))])

    def loss(squares: NDArray[Any]) -> NDArray[Any]:
        """Soft L1 on the measurements, plain squares on the prior; with the two derivatives that scipy asks for."""
        rho = np.stack([squares, np.ones_like(squares), np.zeros_like(squares)])
        root = np.sqrt(1 + squares[:measured] / outlier**2)
        rho[:, :measured] = [2 * outlier**2 * (root - 1), 1 / root, -0.5 / outlier**2 / root**3]
        return rho

    by = jacobian if slopes else "2-point"
    found: NDArray[Any] = least_squares(
        residuals, start, jac=by, loss=loss, max_nfev=most_steps, ftol=enough, xtol=enough
    ).x
    return found
