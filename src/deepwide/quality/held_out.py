"""How far a fitted law is off on shapes that it has not seen, and how far its constants are to be trusted.

Whole shapes are left out, or drawn again with replacement: rows of one shape share their error, so leaving out single
rows would flatter the law.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from deepwide.quality.fit import Fitted, predicted
from deepwide.quality.runs import Runs

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAME_SIZE = 0.2  # shapes whose bodies differ by less, as a logarithm, are compared in order
NINE_OF_TEN = 1.645  # deviations of a normal distribution that hold nine of ten
LEAST_GAP = 0.01  # nats: a smaller difference of two losses has no order

Refit: TypeAlias = "Callable[[Runs], Sequence[Fitted]]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Errors:
    """Errors of predicted losses, in nats: their mean, the one that nine of ten lie below, and the order of shapes.

    sd      of the normal distribution that has this p90: a few early checkpoints far off do not widen it
    order   share of pairs of like size, trained alike, whose losses differ, that are put in the right order
    """

    rows: int
    mean: float
    p90: float
    sd: float
    pairs: int
    order: float | None

    def to_dict(self) -> dict[str, Any]:
        """The errors as plain values."""
        return asdict(self)


def held_out(refit: Refit, runs: Runs, groups: Sequence[Sequence[str]] | None = None) -> NDArray[Any]:
    """The loss of each run, predicted by a law fitted without its shape, or without its group of shapes."""
    import numpy as np

    shapes = runs.shapes
    found = np.full(len(runs), np.nan)
    for group in groups if groups is not None else [[shape] for shape in sorted(set(shapes))]:
        others = ~np.isin(shapes, list(group))
        # Nothing can be said of a recipe that nobody else has.
        asked = ~others & np.isin(runs.recipe, runs.recipe[others])
        if asked.any():
            found[asked] = predicted(refit(runs.chosen(others)), runs.chosen(asked))
    return found


def errors(runs: Runs, losses: NDArray[Any]) -> Errors:
    """What predicted losses are off by; runs without a prediction are left out."""
    import numpy as np

    said = np.isfinite(losses)
    off = (losses - runs.loss)[said]
    right = [correct for correct, _, _ in ordered_pairs(runs.chosen(said), losses[said])]
    return Errors(
        rows=len(off),
        mean=float(np.abs(off).mean()),
        p90=float(np.quantile(np.abs(off), 0.9)),
        sd=float(np.quantile(np.abs(off), 0.9)) / NINE_OF_TEN,
        pairs=len(right),
        order=float(np.mean(right)) if right else None,
    )


def ordered_pairs(runs: Runs, losses: NDArray[Any]) -> Iterator[tuple[bool, int, int]]:
    """Pairs of shapes of like body, equal tokens and recipe whose losses differ: is their order predicted right?"""
    import numpy as np

    alike: dict[tuple[str, float], list[int]] = {}
    for i in range(len(runs)):
        alike.setdefault((str(runs.recipe[i]), float(runs.tokens[i])), []).append(i)
    for rows in alike.values():
        for a, first in enumerate(rows):
            for second in rows[a + 1 :]:
                gap = runs.loss[first] - runs.loss[second]
                near = abs(np.log(runs.body[first] / runs.body[second])) <= SAME_SIZE
                if near and abs(gap) > LEAST_GAP:
                    yield bool((losses[first] - losses[second]) * gap > 0), first, second


def bootstrap(refit: Refit, runs: Runs, draws: int) -> list[Sequence[Fitted]]:
    """The law fitted on `draws` random sets of whole shapes, each as many as there are, drawn with replacement."""
    import numpy as np

    order, shapes = np.random.default_rng(0), sorted(set(runs.shapes))
    rows = {shape: np.flatnonzero(runs.shapes == shape) for shape in shapes}
    found: list[Sequence[Fitted]] = []
    while len(found) < draws:
        drawn = np.concatenate([rows[s] for s in order.choice(shapes, len(shapes))])
        if set(runs.recipe[drawn]) == set(runs.recipe):
            found.append(refit(runs.chosen(drawn)))
    return found
