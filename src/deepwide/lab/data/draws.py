"""Random numbers that depend on nothing but what they are for, the seed and the step.

A counter-based generator (Philox 4x64, Salmon et al. 2011) is set to the step directly, so the order of the data needs
no saving. Its raw numbers are used, since NumPy keeps those the same from version to version.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepwide.errors import BadInput

PURPOSES = {"windows": 1, "masks": 2, "words": 3}
LARGEST = 2**64


def draws(seed: int, step: int, *, purpose: str, rows: int, columns: int) -> NDArray[np.uint64]:
    """Raw numbers [rows, columns]."""
    if not 0 <= seed < LARGEST or not 0 <= step < LARGEST:
        raise BadInput(f"seed={seed} and step={step} must be whole numbers from 0 to 2**64 − 1")
    if rows <= 0:
        raise BadInput(f"batch={rows} must be positive")
    key = np.array([seed, PURPOSES[purpose]], dtype=np.uint64)
    counter = np.array([0, 0, 0, step], dtype=np.uint64)
    return np.random.Philox(key=key, counter=counter).random_raw(rows * columns).reshape(rows, columns)


def shares(raw: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Raw numbers as numbers from 0 up to 1."""
    return (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53
