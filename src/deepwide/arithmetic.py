"""Arithmetic that takes one number or an array alike, where Python's own would branch on a value."""

from __future__ import annotations

import math
from collections.abc import Iterable
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


def repeated(terms: Iterable[tuple[Any, Any]]) -> Any:
    """The sum of n x over pairs (n, x); what is repeated equally often is summed first, so that n is met once.

    A search has its layers on one axis and all other sizes on another: the sums then stay on the narrow one.

    >>> repeated([(3, 10), (3, 1), (1, 5)])
    38
    """
    sums: list[list[Any]] = []
    for n, x in terms:
        for same in sums:
            if same[0] is n or (isinstance(n, int) and isinstance(same[0], int) and n == same[0]):
                same[1] = same[1] + x
                break
        else:
            sums.append([n, x])
    products = [n * x for n, x in sums]
    return sum(products[1:], start=products[0]) if products else 0


def longer(a: Real, b: Real, sharpness: float) -> Real:
    """The longer of two times that run side by side, and a little more where they are alike: their p-norm."""
    time: Real = (a**sharpness + b**sharpness) ** (1 / sharpness)
    return time
