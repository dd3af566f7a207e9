"""Published losses of training runs whose shape is known: Gemstones, Morph, Gadre et al., the OLMo ladder.

Files named gemstones*.csv, morph*.csv, gadre*.csv have a column for everything; olmo*.csv leaves the vocabulary out and
counts the output head with the body.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from accuracy_rows import csv_rows

from deepwide.quality.runs import Runs, runs_of

FILES = ("gemstones*.csv", "morph*.csv", "gadre*.csv")
LADDER_FILES = "olmo*.csv"
SIZES = ("body", "head", "total", "layers", "hidden", "tokens", "loss")
LADDER_VOCAB = 100_352  # dolma2 tokenizer, padded to a multiple of 128
LADDER_BLOCK = 16  # hidden^2 of a block: four projections and a gated FFN of 4 hidden, as its own counts say


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One loss: which run reached it, by which recipe, and its size."""

    id: str
    recipe: str
    body: float
    head: float
    total: float
    layers: float
    hidden: float
    tokens: float
    loss: float

    @property
    def source(self) -> str:
        """The recipe in words."""
        return self.recipe.replace("/", ", ")


class Unreadable(NamedTuple):
    """A row that is no run, and why."""

    id: str
    why: str


def cases(folder: Path) -> Iterator[Case]:
    """Every published loss of a folder."""
    return (read for read in readings(folder) if isinstance(read, Case))


def readings(folder: Path) -> Iterator[Case | Unreadable]:
    """Every row of a folder, as a case or with the reason why it is none."""
    for pattern in (*FILES, LADDER_FILES):
        for number, row in enumerate(csv_rows(folder, pattern), start=2):
            try:
                yield _whole(_of_ladder(row) if pattern == LADDER_FILES else _case(row))
            except (KeyError, TypeError, ValueError) as error:
                why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
                yield Unreadable(f"{row['_file']} line {number}", f"no run: {why}")


def _whole(case: Case) -> Case:
    for name in SIZES:
        value = getattr(case, name)
        if not 0 < value < math.inf:
            raise ValueError(f"{name}={value} must be a number above 0")
    return case


def runs(found: Iterable[Case]) -> Runs:
    """The cases as columns."""
    return runs_of(asdict(case) for case in found)


def _case(row: dict[str, str]) -> Case:
    hidden = float(row["d_model"])
    return Case(
        id=f"{row['run_id']} {row['loss_kind']} {float(row['tokens']) / 1e9:.3g}B",
        recipe="/".join(row[column] for column in ("source", "loss_kind", "lr_schedule", "dataset")),
        body=float(row["params_nonemb"]),
        head=float(row["vocab"]) * hidden,
        total=float(row["params_total"]),
        layers=float(row["n_layers"]),
        hidden=hidden,
        tokens=float(row["tokens"]),
        loss=float(row["loss"]),
    )


def _of_ladder(row: dict[str, str]) -> Case:
    hidden, layers = float(row["d_model"]), float(row["n_layers"])
    head = LADDER_VOCAB * hidden
    body = float(row["n_nonemb"]) - head if row["n_nonemb"] else LADDER_BLOCK * layers * hidden**2
    return Case(
        id=f"olmo {row['run']}",
        recipe="olmo_ladder/c4_eval",
        body=body,
        head=head,
        total=body + 2 * head,
        layers=layers,
        hidden=hidden,
        tokens=float(row["tokens"]),
        loss=float(row["c4_loss"]),
    )
