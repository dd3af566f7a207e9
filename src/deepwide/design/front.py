"""Fronts: the shapes that none beats in loss and in one cost at once, kept while a search streams by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

Columns = dict[str, "NDArray[Any]"]
# A coarse table turns most shapes away before they are compared one by one. A cost's bin is what is left of its bits
# without the last of its mantissa: they rise as the number does. 512 bins a factor of 2, from 2^-46 to 2^92.
MANTISSA_BITS = 43
LOWEST, BINS = (1023 - 46) * 512, 138 * 512
FEW = 256  # shapes that are compared one by one at once


@dataclass(slots=True)
class Front:
    """The front of `cost` against loss so far: `rows` by rising cost and falling loss; of equal rows the first."""

    cost: str
    rows: Columns = field(default_factory=dict)
    lowest: Any = None

    def improving(self, cost: NDArray[Any], loss: NDArray[Any]) -> NDArray[Any]:
        """Which of some shapes nothing seen so far may beat: all that belong on the front, and a few more."""
        import numpy as np

        bins = _bins(cost)
        if self.lowest is None:
            self.lowest = np.full(BINS, np.inf)
        better: NDArray[Any] = loss < self.lowest[bins]
        if np.count_nonzero(better) > FEW:
            np.minimum.at(self.lowest, bins[better] + 1, loss[better])
            np.minimum.accumulate(self.lowest, out=self.lowest)
            better &= loss < self.lowest[bins]
        return better

    def add(self, rows: Columns) -> None:
        """Takes rows in, and drops what is beaten."""
        import numpy as np

        if not len(rows["loss"]):
            return
        joined = {n: np.concatenate([self.rows[n], rows[n]]) for n in rows} if self.rows else rows
        order = np.lexsort((joined["number"], joined["loss"], joined[self.cost]))
        loss = joined["loss"][order]
        best = np.minimum.accumulate(loss)
        first = order[np.concatenate([[True], loss[1:] < best[:-1]])]
        self.rows = {name: column[first] for name, column in joined.items()}


def _bins(cost: NDArray[Any]) -> NDArray[Any]:
    """The bin of each cost, the last one left free for what lies beyond it."""
    import numpy as np

    bins: NDArray[Any] = np.ascontiguousarray(cost, dtype=float).view(np.int64) >> MANTISSA_BITS
    bins -= LOWEST
    return np.clip(bins, 0, BINS - 2, out=bins)
