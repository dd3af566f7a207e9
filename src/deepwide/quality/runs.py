"""Finished training runs as columns: the shape that was trained, on how many tokens, and the loss it reached."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """One entry per measured loss [nats per token].

    body     parameters without embeddings and output head; head: vocab * hidden; total: all, a tied tensor once
    recipe   what was trained on and measured, and how: losses of two recipes are not comparable in level
    """

    body: NDArray[Any]
    head: NDArray[Any]
    total: NDArray[Any]
    layers: NDArray[Any]
    hidden: NDArray[Any]
    tokens: NDArray[Any]
    loss: NDArray[Any]
    recipe: NDArray[Any]

    def __len__(self) -> int:
        return len(self.loss)

    def chosen(self, which: NDArray[Any]) -> Runs:
        """Some of the runs, by index or by mask."""
        return Runs(**{f.name: getattr(self, f.name)[which] for f in fields(self)})

    @property
    def shapes(self) -> NDArray[Any]:
        """The name of each run's shape, hidden x layers."""
        import numpy as np

        return np.array([f"{d:.0f}x{n:.0f}" for d, n in zip(self.hidden, self.layers, strict=True)])

    @property
    def recipes(self) -> tuple[str, ...]:
        """The recipes, in alphabetical order."""
        return tuple(sorted({str(r) for r in self.recipe}))


def runs_of(rows: Iterable[dict[str, Any]]) -> Runs:
    """Columns from rows that have an entry for each."""
    import numpy as np

    found = list(rows)
    columns = {f.name: [row[f.name] for row in found] for f in fields(Runs)}
    return Runs(**{n: np.array(c, dtype=str if n == "recipe" else float) for n, c in columns.items()})


def by_aspect(runs: Runs, width: float = 0.45) -> list[list[str]]:
    """Shapes in groups of similar hidden/layers: within a group the logarithms differ by less than `width`."""
    import numpy as np

    aspects = dict(zip(runs.shapes.tolist(), np.log(runs.hidden / runs.layers).tolist(), strict=True))
    groups: list[list[str]] = []
    for shape in sorted(aspects, key=aspects.__getitem__):
        if groups and aspects[shape] - aspects[groups[-1][0]] < width:
            groups[-1].append(shape)
        else:
            groups.append([shape])
    return groups
