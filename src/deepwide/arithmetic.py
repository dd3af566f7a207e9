"""Arithmetic that takes one number or an array alike, where Python's own would branch on a value."""

from __future__ import annotations

import math
from typing import Any

from deepwide.units import Num, Real


def least(a: Any, b: Any) -> Any:
    """The smaller of two."""
    if hasattr(a, "dtype") or hasattr(b, "dtype"):
        import numpy as np

        return np.minimum(a, b)
    return min(a, b)


def largest(a: Any, b: Any) -> Any:
    """The larger of two."""
    if hasattr(a, "dtype") or hasattr(b, "dtype"):
        import numpy as np

        return np.maximum(a, b)
    return max(a, b)


def log2(a: Real) -> Real:
    """The logarithm to base 2."""
    if hasattr(a, "dtype"):
        import numpy as np

        result: Real = np.log2(a)
        return result
    return math.log2(a)


def pieces(whole: Num, size: Num) -> Num:
    """How many pieces of a size a whole is cut into, the last one perhaps not full."""
    return -(-whole // size)


def rounded_up(whole: Num, multiple: Num) -> Num:
    """The next multiple."""
    return pieces(whole, multiple) * multiple


def longer(a: Real, b: Real, sharpness: float) -> Real:
    """The longer of two times that run side by side, and a little more where they are alike: their p-norm."""
    time: Real = (a**sharpness + b**sharpness) ** (1 / sharpness)
    return time
