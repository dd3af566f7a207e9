"""What a sweep is made of, and which of its trials are due: short runs for the rate of each shape, then its seeds.

What is due follows from the results there are, and from nothing else: so a sweep that was killed goes on by itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from deepwide.answers.sweep.rates import POWERS, Bracket, bracket, next_powers
from deepwide.answers.sweep.shapes import Shape
from deepwide.answers.sweep.trial import DIVERGED, DONE, FAILED

VALIDATIONS = 8  # of a run, so that there is a curve
CURVE_WINDOWS = 32  # sequences of each of them; what shapes are ranked by is measured on more
CHECKPOINT_EVERY_S = 120.0
# Of short runs: the rate in question is held for four fifths of them. Deep models stay near the loss of single letters
# for a hundred thousand tokens or two; a cosine would have let the rate fall before they leave it.
SHORT_SCHEDULE = "wsd"
# A guess at the time of a token on one core, before any was measured: it orders trials, the longest first, and says
# how long is left. Seen on a Xeon core in fp32 at 0.8M parameters, 1 to 32 layers, to 15%.
GUESSED_FLOPS_PER_S, GUESSED_LAYER_S = 7e10, 5e-6
Results = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A run of one shape: of a seed, or with a rate (a power of two times the base) to bracket it."""

    name: str
    shape: Shape
    rate: float
    seed: int
    tokens: int
    short: bool = False

    @property
    def guessed_s(self) -> float:
        """Seconds on one core, before anything was measured."""
        return self.tokens * (self.shape.flops_per_token / GUESSED_FLOPS_PER_S + self.shape.layers * GUESSED_LAYER_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A sweep as it was asked, with all that decides its trials.

    tokens, bracket_tokens   of a run, and of a short one for the rate; 0 brackets nothing
    base_rate                the middle of the rates that are tried
    recipe                   of every run: batch, context, optimizer
    bytes_per_token          of the held-out text: a loss per token over it is one per byte
    """

    shapes: tuple[Shape, ...]
    seeds: int
    tokens: int
    bracket_tokens: int
    base_rate: float
    recipe: Mapping[str, Any]
    data: str
    tokenizer: str
    kernels: Mapping[str, Any]
    equal: str
    bytes_per_token: float
    corpus: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """The plan as plain values."""
        values = {**asdict(self), "recipe": dict(self.recipe), "kernels": dict(self.kernels)}
        return {**values, "corpus": dict(self.corpus), "shapes": [asdict(shape) for shape in self.shapes]}

    def job(self, trial: Trial, root: str) -> dict[str, Any]:
        """A trial as the plain values that a process is given."""
        steps = -(-trial.tokens // (self.recipe["batch"] * self.recipe["context"]))
        looked = 0 if trial.short else max(1, steps // VALIDATIONS)
        recipe = {
            **self.recipe,
            "tokens": trial.tokens,
            "learning_rate": trial.rate,
            "seed": trial.seed,
            "evaluate_every": looked,
            "evaluation_windows": CURVE_WINDOWS,
            "checkpoint_every_s": CHECKPOINT_EVERY_S,
            **({"schedule": SHORT_SCHEDULE} if trial.short else {}),
        }
        asked = {"data": self.data, "tokenizer": self.tokenizer, "kernels": dict(self.kernels), "recipe": recipe}
        return {"name": trial.name, "root": root, "model": trial.shape.model, **asked}


def plan_from_dict(values: Mapping[str, Any]) -> Plan:
    """The plan of plain values, as `to_dict` writes them."""
    return Plan(**{**values, "shapes": tuple(Shape(**shape) for shape in values["shapes"])})


def bracket_of(plan: Plan, shape: Shape, results: Results) -> Bracket | None:
    """What is known of a shape's rate; None while its short runs are not all there."""
    losses = _bracket_losses(shape, results)
    if not plan.bracket_tokens:
        return Bracket(rate=plan.base_rate, bracketed=False, tried=())
    return None if next_powers(losses) else bracket(losses, plan.base_rate)


def due(plan: Plan, results: Results) -> list[Trial]:
    """The trials that can be begun now and have no result yet, the longest first; those for rates before all others."""
    found = [trial for shape in plan.shapes for trial in _trials(plan, shape, results)]
    waiting = [trial for trial in found if trial.name not in results]
    return sorted(waiting, key=lambda trial: (not trial.short, -left_s(trial, results)))


def expected_trials(plan: Plan, results: Results) -> Iterator[Trial]:
    """Every trial without a result that is still to be expected, those that are not due yet included."""
    for shape in plan.shapes:
        powers = next_powers(_bracket_losses(shape, results)) if plan.bracket_tokens else ()
        trials = [*(_short(plan, shape, power) for power in powers), *seed_trials(plan, shape, plan.base_rate)]
        yield from (trial for trial in trials if trial.name not in results)


def seed_trials(plan: Plan, shape: Shape, rate: float) -> list[Trial]:
    """The runs of a shape that it is ranked by."""
    return [
        Trial(name=f"{shape.name}-seed{seed}", shape=shape, rate=rate, seed=seed, tokens=plan.tokens)
        for seed in range(plan.seeds)
    ]


def left_s(trial: Trial, results: Results) -> float:
    """Seconds that a trial will take on one core, as its shape was seen to take, or else as it is guessed."""
    seen = [
        float(result["cpu_s_per_token"])
        for name, result in results.items()
        if name.startswith(f"{trial.shape.name}-") and result.get("cpu_s_per_token")
    ]
    return trial.tokens * min(seen) if seen else trial.guessed_s


def _trials(plan: Plan, shape: Shape, results: Results) -> list[Trial]:
    """The short runs of a shape that its rate asks for now, or the runs of its seeds once the rate is known."""
    known = bracket_of(plan, shape, results)
    if known is None:
        return [_short(plan, shape, power) for power in next_powers(_bracket_losses(shape, results))]
    if known.tried and all(loss is None for _, loss in known.tried):
        return []  # there is no rate that it could be trained at
    return seed_trials(plan, shape, known.rate)


def _short(plan: Plan, shape: Shape, power: int) -> Trial:
    rate = plan.base_rate * 2.0**power
    name, tokens = _short_name(shape, power), plan.bracket_tokens
    return Trial(name=name, shape=shape, rate=rate, seed=0, tokens=tokens, short=True)


def _short_name(shape: Shape, power: int) -> str:
    return f"{shape.name}-rate{power:+d}"


def _bracket_losses(shape: Shape, results: Results) -> dict[int, float]:
    """The loss at each power of two that was tried; infinity where the run diverged or failed."""
    found = {power: results.get(_short_name(shape, power)) for power in POWERS}
    return {power: _finite_loss(result) for power, result in found.items() if result is not None}


def _finite_loss(result: Mapping[str, Any]) -> float:
    return float(result["loss"]) if result["status"] == DONE else math.inf


def failures(plan: Plan, shape: Shape, results: Results) -> tuple[str, ...]:
    """Why runs of this shape have no loss, a line each."""
    found: Sequence[tuple[str, Mapping[str, Any] | None]] = [
        (trial.name, results.get(trial.name)) for trial in seed_trials(plan, shape, 0.0)
    ]
    return tuple(f"{name}: {r['error']}" for name, r in found if r and r["status"] in (DIVERGED, FAILED))
