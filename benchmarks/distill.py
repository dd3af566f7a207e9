"""Does a teacher help? The same student on the same tokens, alone and taught, over seeds; prints a table.

    python benchmarks/distill.py --root DIR [--seeds 3] [--batch 4]

What lies in DIR already is not trained again. The difference is taken seed by seed: the first weights and the order of
the data are the same in both.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from seeds import KERNELS, finished, interval, options

from deepwide.answers.distill import distill
from deepwide.answers.train import train

TEACHER, TEACHER_TOKENS, UNTAUGHT_TOKENS = "like=llama,layers=4,hidden=128,heads=4", 1_500_000, 60_000
STUDENT, STUDENT_TOKENS = "like=llama,layers=2,hidden=64,heads=4", 150_000
# The loss is taken at the end alone, over 65,536 tokens.
QUIET: dict[str, Any] = {"sample": False, "evaluate_every": 0, "evaluation_windows": 512}


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to teach the student."""

    name: str
    teacher: str = "teacher"
    told: dict[str, float] = field(default_factory=dict)


WAYS = (
    Way(name="T 1, weight 0.9"),
    Way(name="T 2, weight 0.5", told={"temperature": 2.0, "weight": 0.5}),
    Way(name="T 1, weight 0.9, hidden 1", told={"hidden": 1.0}),
    Way(name="T 1, weight 0.9, poor teacher", teacher="poor-teacher"),
)


def main() -> None:
    """Trains what is missing, and prints the table."""
    parser = options(__doc__)
    parser.add_argument("--batch", type=int, default=4)
    asked = parser.parse_args()
    root, batch, seeds = asked.root, asked.batch, range(asked.seeds)
    for name, tokens in (("teacher", TEACHER_TOKENS), ("poor-teacher", UNTAUGHT_TOKENS)):
        found = loss(root, name, lambda name, tokens=tokens: trained(root, name, TEACHER, tokens))
        print(f"{name}: {TEACHER}, {tokens:,} tokens: {found:.4f} nats a byte")
    alone = [loss(root, f"alone-{batch}-{seed}", partial(untaught, root, batch, seed)) for seed in seeds]
    print(f"\n| {STUDENT}, {STUDENT_TOKENS:,} tokens, batch {batch} | loss by seed | mean | against alone |")
    print(f"|---|---|---|---|\n{row('alone', alone, '0')}", flush=True)
    for way in WAYS:
        names = [f"{slug(way)}-{batch}-{seed}" for seed in seeds]
        taught = [loss(root, n, partial(told, root, way, batch, s)) for n, s in zip(names, seeds, strict=True)]
        print(row(way.name, taught, interval([a - b for a, b in zip(taught, alone, strict=True)])), flush=True)


def loss(root: str, name: str, begin: Callable[[str], object]) -> float:
    """The validation loss of a run at its end."""
    found = finished(root, name, begin).validation_loss
    assert found is not None
    return found


def trained(root: str, name: str, model: str, tokens: int, **more: Any) -> None:
    """A model trained on the text alone."""
    train(model, tokens=tokens, name=name, root=root, **more, **QUIET, **KERNELS)


def untaught(root: str, batch: int, seed: int, name: str) -> None:
    """The student, alone."""
    trained(root, name, STUDENT, STUDENT_TOKENS, batch=batch, seed=seed)


def told(root: str, way: Way, batch: int, seed: int, name: str) -> None:
    """The student, taught."""
    asked: dict[str, Any] = {"tokens": STUDENT_TOKENS, "batch": batch, "seed": seed, "name": name, "root": root}
    distill(way.teacher, STUDENT, **asked, **way.told, **QUIET, **KERNELS)


def slug(way: Way) -> str:
    """The way's name as that of a run."""
    return "-".join(words(way.name))


def words(text: str) -> Iterator[str]:
    """Letters and numbers of a name."""
    yield from text.lower().replace(",", "").replace(".", "").split()


def row(name: str, losses: list[float], against: str) -> str:
    """One line of the table."""
    each = " ".join(f"{value:.4f}" for value in losses)
    return f"| {name} | {each} | {statistics.mean(losses):.4f} | {against} |"


if __name__ == "__main__":
    main()
