"""What a table of losses, a row per shape and a column per seed, says of the shapes, and what it cannot say.

A seed sets the first weights and the order of the data for every shape, so shapes are compared seed by seed: what a
seed does to all of them is taken out. Few seeds say little of their own spread, so it is pooled over the shapes. The
best shape was picked for being the best, which flatters it: differences are held against Tukey's range of so many
means (Tukey 1949; "honest significant difference"), which allows for every pair at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SURE = 0.95
DRAWS = 4000
SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How far means can be trusted, in the unit of the losses.

    sd, freedom              of one run: within shapes, pooled, with its degrees of freedom
    mean_reach               half of the 95% interval of a shape's mean
    paired_sd, paired_freedom    what is left of it once the seeds' own effects are taken out
    difference_reach         half of the interval of any difference of two means, all pairs together right in 95%
    shapes_p                 how often equal shapes would differ as much as these (F test, seeds as blocks)
    """

    sd: float
    freedom: int
    mean_reach: float
    paired_sd: float
    paired_freedom: int
    difference_reach: float
    shapes_p: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimum:
    """The lowest point of a parabola through the means over log2 of an axis, and its 95% interval.

    at          None where the parabola has no lowest point within the shapes
    misses      the root mean square by which the parabola passes the means
    """

    at: float | None
    low: float
    high: float
    misses: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Correlation:
    """Spearman's rank correlation of two orders, with the interval that the noise of the means leaves."""

    rho: float
    low: float
    high: float
    shapes: int


def spread(losses: Sequence[Sequence[float]]) -> Spread | None:
    """Of shapes (rows) and seeds (columns); None where there are fewer than two of either.

    paired: loss[i, s] = mean[i] + seed[s] + error, errors with (shapes - 1)(seeds - 1) degrees of freedom
    """
    import numpy as np
    from scipy.stats import f, studentized_range, t

    table = np.array(losses, dtype=float)
    if table.ndim != 2 or min(table.shape) < 2:
        return None
    k, n = table.shape
    means = table.mean(axis=1, keepdims=True)
    within, errors = table - means, table - means - (table.mean(axis=0, keepdims=True) - table.mean())
    freedom, paired = k * (n - 1), (k - 1) * (n - 1)
    sd, paired_sd = (math.sqrt(float(np.sum(e**2)) / df) for e, df in ((within, freedom), (errors, paired)))
    between = n * float(np.var(means, ddof=1))
    return Spread(
        sd=sd,
        freedom=freedom,
        mean_reach=float(t.ppf((1 + SURE) / 2, freedom)) * sd / math.sqrt(n),
        paired_sd=paired_sd,
        paired_freedom=paired,
        difference_reach=float(studentized_range.ppf(SURE, k, paired)) * paired_sd / math.sqrt(n),
        shapes_p=float(f.sf(between / paired_sd**2, k - 1, paired)) if paired_sd else 0.0,
    )


def optimum(axis: Sequence[float], means: Sequence[float], mean_sd: float) -> Optimum | None:
    """Where the loss is lowest between the shapes, with a parametric bootstrap: means drawn anew with their noise.

    None of fewer than four shapes: a parabola passes through three whatever they are.
    """
    import numpy as np

    if len(axis) < 4:
        return None
    x, y = np.log2(np.array(axis, dtype=float)), np.array(means, dtype=float)
    parabola = np.polyfit(x, y, 2)
    low, high = np.quantile(_lowest(x, _drawn(y, mean_sd)), [(1 - SURE) / 2, (1 + SURE) / 2])
    at = -parabola[1] / (2 * parabola[0]) if parabola[0] > 0 else math.inf
    return Optimum(
        at=float(2**at) if x.min() <= at <= x.max() else None,
        low=float(2**low),
        high=float(2**high),
        misses=float(np.sqrt(np.mean((np.polyval(parabola, x) - y) ** 2))),
    )


def _lowest(x: NDArray[np.float64], drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    """The lowest point of the parabola through each row of means, held between the first and the last shape."""
    import numpy as np

    a, b, _ = np.polyfit(x, drawn.T, 2)
    ends = np.array([x.min(), x.max()])
    lower_end = ends[np.argmin(a * ends[:, None] ** 2 + b * ends[:, None], axis=0)]
    inside = np.clip(-b / (2 * np.where(a > 0, a, 1.0)), *ends)
    found: NDArray[np.float64] = np.where(a > 0, inside, lower_end)
    return found


def correlation(expected: Sequence[float], means: Sequence[float], mean_sd: float) -> Correlation | None:
    """How well one order tells the other; None of fewer than three shapes, or where all are expected to be alike."""
    import numpy as np
    from scipy.stats import rankdata

    if len(means) < 3 or len(set(expected)) < 2:
        return None
    drawn = np.vstack([means, _drawn(np.array(means, dtype=float), mean_sd)])
    first, second = (r - r.mean(axis=-1, keepdims=True) for r in (rankdata(expected), rankdata(drawn, axis=1)))
    rho = second @ first / np.sqrt(np.sum(first**2) * np.sum(second**2, axis=1))
    low, high = np.quantile(rho[1:], [(1 - SURE) / 2, (1 + SURE) / 2])
    return Correlation(rho=float(rho[0]), low=float(low), high=float(high), shapes=len(means))


def _drawn(means: NDArray[np.float64], mean_sd: float) -> NDArray[np.float64]:
    """The means with their noise, drawn anew many times, always the same."""
    import numpy as np

    noise: NDArray[np.float64] = np.random.default_rng(SEED).normal(0.0, mean_sd, (DRAWS, len(means)))
    return means + noise
