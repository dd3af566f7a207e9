"""The shape that people build: what a search holds its own shapes to where nobody says how fast they must be.

hidden / layers = 128 (N / 6e9)^(1/4), at most 128      the medians of the catalogue's dense decoders: 64 below 0.3B, 85
                                                        at 1 to 2B, 128 from 5B; heads of 128, FFN of 3.5 hidden
Near the best aspect ratio the loss is flat, while time is not: so the lowest loss is looked for among shapes that
decode no slower than the usual one of their size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from deepwide.units import Num, Real

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

ASPECT, ASPECT_PARAMETERS, ASPECT_POWER = 128.0, 6e9, 0.25
FFN_RATIO = 3.5
HEAD_DIM = 128.0
POINTS = 400  # of the table: a step of 2% in size; between them times are interpolated


class Usual(NamedTuple):
    """Decode time over size, as logarithms, for usual shapes of all sizes; both rise."""

    log_parameters: NDArray[Any]
    log_decode_s: NDArray[Any]


def usual_aspect(parameters: Real) -> Real:
    """Hidden size per layer of the usual shape.

    >>> float(usual_aspect(8e9))
    128.0
    """
    import numpy as np

    aspect: Real = ASPECT * np.minimum(1.0, np.asarray(parameters, float) / ASPECT_PARAMETERS) ** ASPECT_POWER
    return aspect


def usual(measure: Callable[[NDArray[Any], NDArray[Any]], tuple[Num, Real]]) -> Usual:
    """The table, from a function that takes layers and hidden (fractions of them too) and gives (size, decode time)."""
    import numpy as np

    hidden = np.geomspace(64.0, 65_536.0, POINTS)
    parameters: Any = np.full(POINTS, 1e9)
    for _ in range(60):  # the size follows from the layers, and they from the size: each round halves the error or more
        parameters, decode_s = measure(hidden / usual_aspect(parameters), hidden)
    return Usual(np.log(parameters), np.maximum.accumulate(np.log(decode_s)))


def slowness(table: Usual, parameters: Num, decode_s: Real) -> Real:
    """Decode time over that of the usual shape of this size."""
    import numpy as np

    at = np.interp(np.log(np.asarray(parameters, float)), table.log_parameters, table.log_decode_s)
    ratio: Real = decode_s / np.exp(at)
    return ratio
