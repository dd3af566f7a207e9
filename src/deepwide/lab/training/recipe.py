"""How a model is trained: everything that decides the losses, beside the model, the data and the machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from deepwide.errors import BadInput, did_you_mean
from deepwide.lab.training.rates import BASE_RATES

OBJECTIVES = ("next", "masked", "sequence")
SCHEDULES = ("cosine", "wsd")
MOST_STEPS = 10**9
CHOICES: dict[str, tuple[str, ...]] = {
    "objective": OBJECTIVES,
    "optimizer": tuple(BASE_RATES),
    "schedule": SCHEDULES,
}
# Whole numbers with the least and the largest value that makes sense.
COUNTS: dict[str, tuple[int, int]] = {
    "steps": (1, MOST_STEPS),
    "tokens": (1, 10**18),
    "batch": (1, 2**24),
    "context": (1, 2**24),
    "accumulate": (1, 2**24),
    "seed": (0, 2**63 - 1),
    "evaluate_every": (0, MOST_STEPS),
    "evaluation_windows": (1, 2**24),
    "log_every": (1, MOST_STEPS),
}
NUMBERS: dict[str, tuple[float, float]] = {
    "learning_rate": (1e-12, 1e3),
    "warmup_share": (0, 1),
    "decay_share": (0, 1),
    "minimum_share": (0, 1),
    "weight_decay": (0, 1e3),
    "clip": (0, 1e9),
    "checkpoint_every_s": (0, 1e9),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The recipe of a run.

    objective            next (token), masked (tokens), sequence (to sequence)
    steps, tokens        how long: one of the two; a step takes `batch` sequences of `context` tokens
    learning_rate        at the reference shape, before the schedule; None is the optimiser's own (see `rates`)
    warmup_share         of the steps, with the rate rising linearly
    decay_share          of the steps, with the rate falling at the end (wsd alone)
    minimum_share        of the rate, that is left at the last step
    betas                decay of AdamW's two moments
    clip                 the largest gradient norm; 0 clips nothing
    accumulate           into how many pieces the batch is cut, one after the other: it saves memory, not time
    evaluate_every       steps between validations; 0 validates at the end alone
    evaluation_windows   sequences of each validation
    log_every            steps between rows of metrics
    checkpoint_every_s   seconds between checkpoints
    """

    objective: str = "next"
    steps: int | None = None
    tokens: int | None = None
    batch: int = 16
    context: int = 128
    learning_rate: float | None = None
    optimizer: str = "muon"
    schedule: str = "cosine"
    warmup_share: float = 0.05
    decay_share: float = 0.2
    minimum_share: float = 0.1
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = 1.0
    accumulate: int = 1
    seed: int = 0
    evaluate_every: int = 250
    evaluation_windows: int = 64
    log_every: int = 1
    checkpoint_every_s: float = 60.0

    def __post_init__(self) -> None:
        _check_choices(self)
        _check_ranges(self)
        _check_together(self)

    @property
    def tokens_per_step(self) -> int:
        """Tokens that one step reads."""
        return self.batch * self.context

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.steps if self.steps is not None else -(-(self.tokens or 0) // self.tokens_per_step)

    @property
    def base_rate(self) -> float:
        """The learning rate at the reference shape."""
        return BASE_RATES[self.optimizer] if self.learning_rate is None else self.learning_rate

    @property
    def sha256(self) -> str:
        """A hash of what decides the losses; how often one looks or saves does not."""
        watching = ("evaluate_every", "evaluation_windows", "log_every", "checkpoint_every_s")
        decisive = {name: value for name, value in self.to_dict().items() if name not in watching}
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """The recipe as plain values."""
        return {**asdict(self), "betas": list(self.betas)}


def recipe_from_dict(values: Mapping[str, Any]) -> Recipe:
    """The recipe of plain values, as `to_dict` writes them; what is left out takes its default.

    >>> recipe_from_dict({"steps": 10}).total_steps
    10
    """
    known = [f.name for f in fields(Recipe)]
    for name in values:
        if name not in known:
            raise BadInput(f"recipe has no field {name!r}{did_you_mean(str(name), known)}; known: {', '.join(known)}")
    given = dict(values)
    if isinstance(given.get("betas"), list):
        given["betas"] = tuple(given["betas"])
    return Recipe(**given)


def _check_choices(recipe: Recipe) -> None:
    for name, known in CHOICES.items():
        value = getattr(recipe, name)
        if value not in known:
            raise BadInput(f"{name}={value!r} is unknown{did_you_mean(str(value), known)}; known: {', '.join(known)}")


def _check_ranges(recipe: Recipe) -> None:
    for name, (least, most) in COUNTS.items():
        value = getattr(recipe, name)
        if value is None and name in ("steps", "tokens"):
            continue
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise BadInput(f"{name}={value!r} must be a whole number from {least} to {most}")
    for name, (lowest, highest) in NUMBERS.items():
        value = getattr(recipe, name)
        if value is None and name == "learning_rate":
            continue
        if not _is_number(value) or not lowest <= value <= highest:
            raise BadInput(f"{name}={value!r} must be a number from {lowest:g} to {highest:g}")
    betas: Any = recipe.betas
    if not isinstance(betas, tuple) or len(betas) != 2 or not all(_is_number(b) and 0 <= b < 1 for b in betas):
        raise BadInput(f"betas={betas!r} must be two numbers from 0 to below 1, such as (0.9, 0.95)")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_together(recipe: Recipe) -> None:
    if (recipe.steps is None) == (recipe.tokens is None):
        raise BadInput(f"steps={recipe.steps} and tokens={recipe.tokens}: give one of the two to say how long to train")
    if recipe.total_steps > MOST_STEPS:
        raise BadInput(
            f"tokens={recipe.tokens} are {recipe.total_steps} steps of {recipe.tokens_per_step} tokens, more than "
            f"{MOST_STEPS}; raise batch or context"
        )
    if recipe.batch % recipe.accumulate:
        raise BadInput(
            f"accumulate={recipe.accumulate} must divide batch={recipe.batch}: the batch is cut into equal pieces"
        )
    if recipe.schedule == "wsd" and recipe.warmup_share + recipe.decay_share > 1:
        raise BadInput(
            f"warmup_share={recipe.warmup_share:g} and decay_share={recipe.decay_share:g} are more than the whole run; "
            "lower one of them"
        )
