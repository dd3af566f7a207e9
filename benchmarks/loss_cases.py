"""Published losses of training runs whose shape is known: Gemstones, Morph, Gadre et al., the OLMo ladder.

Files named gemstones*.csv, morph*.csv, gadre*.csv have a column for everything; olmo*.csv leaves the vocabulary out and
counts the output head with the body.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from accuracy_rows import csv_rows

from deepwide.quality.runs import Runs, runs_of

FILES = ("gemstones*.csv", "morph*.csv", "gadre*.csv")
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


def cases(folder: Path) -> Iterator[Case]:
    """Every published loss of a folder."""
    for pattern in FILES:
        for row in csv_rows(folder, pattern):
            yield _case(row)
    for row in csv_rows(folder, "olmo*.csv"):
        yield _of_ladder(row)


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
