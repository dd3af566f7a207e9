"""Fitting a law of the loss to finished runs: the constants that they make most likely, given what is known before.

Errors are those of the logarithm of the loss, robustly weighed. Checkpoints of one run share their error, so that many
of them may count as one. Runs of several recipes are fitted together: each recipe has constants of its own, which are
drawn toward common ones as far as recipes are known to agree (partial pooling).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from deepwide.quality.forms import Constant, Form
from deepwide.quality.runs import Runs
from deepwide.robust import most_likely

if TYPE_CHECKING:
    from numpy.typing import NDArray

STARTS = 3  # the prior's center, and places around it
LEVEL_SPREAD = 0.2  # of the logarithm of a floor, a capacity, a data term, from one corpus to another
# Where every constant is refitted. Tried on 3 to 24 runs of seven published recipes: half of either is as good for a
# recipe like the law's own, and up to twice as far off for another.
WIDE_LEVEL_SPREAD, FREEDOM = 0.5, 2.0
FIXED_SPREAD = 1e-6  # moves nothing
STEP = 1e-20  # of a complex step: exact, nothing is subtracted


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """What a row counts.

    noise   of one loss, as a share: from here on an error counts less than its square
    alike   rows that share their error, such as the checkpoints of one run: together they count as one
    """

    noise: float = 0.005
    alike: float = 1.0


PLAIN = Weight()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A form with constants: by recipe, the value of each; and the sum that the fit made small."""

    form: Form
    values: Mapping[str, Mapping[str, float]]
    misfit: float = 0.0

    def loss(self, runs: Runs) -> NDArray[Any]:
        """The loss of each run, by the constants of its recipe."""
        import numpy as np

        by_run = [self.values[str(recipe)] for recipe in runs.recipe]
        return self.form.loss({c.name: np.array([v[c.name] for v in by_run]) for c in self.form.constants}, runs)


def fit(form: Form, runs: Runs, *, weight: Weight = PLAIN, start: Fitted | None = None, starts: int = STARTS) -> Fitted:
    """The most likely constants of each recipe in the runs."""
    problem = _Problem(form=form, runs=runs, recipes=runs.recipes, weight=weight)
    found = [_solved(problem, place) for place in _places(problem, start, starts)]
    return min(found, key=lambda fitted: fitted.misfit)


def fit_law(
    law: Sequence[Form], runs: Runs, *, weight: Weight = PLAIN, start: Sequence[Fitted] | None = None
) -> tuple[Fitted, ...]:
    """Every member of a law fitted; from known constants, once each."""
    if start is None:
        return tuple(fit(form, runs, weight=weight) for form in law)
    return tuple(fit(form, runs, weight=weight, start=s, starts=1) for form, s in zip(law, start, strict=True))


def predicted(law: Sequence[Fitted], runs: Runs) -> NDArray[Any]:
    """The mean of a law's members."""
    return sum(member.loss(runs) for member in law) / len(law)  # type: ignore[return-value]  # the sum of some


def refit_level(law: Sequence[Fitted], runs: Runs, *, weight: Weight = PLAIN) -> tuple[Fitted, ...]:
    """The law with floor, capacity and data refitted and all else kept: what three runs of another corpus can say.

    The runs have one recipe, and so has the law.
    """
    return _refitted(law, runs, weight, level=LEVEL_SPREAD, freedom=0.0)


def refit_all(law: Sequence[Fitted], runs: Runs, *, weight: Weight = PLAIN) -> tuple[Fitted, ...]:
    """The law with every constant refitted, each no farther from the law's own than the runs insist on."""
    return _refitted(law, runs, weight, level=WIDE_LEVEL_SPREAD, freedom=FREEDOM)


def _refitted(law: Sequence[Fitted], runs: Runs, weight: Weight, level: float, freedom: float) -> tuple[Fitted, ...]:
    found = []
    for member in law:
        ((_, known),) = member.values.items()
        constants = tuple(_around(c, known[c.name], level, freedom) for c in member.form.constants)
        again = fit(replace(member.form, constants=constants), runs, weight=weight, starts=1)
        found.append(replace(again, form=member.form))
    return tuple(found)


def _around(constant: Constant, value: float, level: float, freedom: float) -> Constant:
    """The constant as it is known of another recipe: how far a level, or how many of its usual spreads it may move."""
    spread = level if constant.level else max(constant.spread * freedom, FIXED_SPREAD)
    return replace(constant, center=value, spread=spread)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Problem:
    """Steps [common ones, then those of each recipe], and the errors that they leave.

    place = place of the center + spread * common step + between * own step; a single recipe has no own steps.
    """

    form: Form
    runs: Runs
    recipes: tuple[str, ...]
    weight: Weight

    @property
    def noise(self) -> float:
        """Of a row among those that share their error."""
        return self.weight.noise * math.sqrt(self.weight.alike)

    @property
    def own(self) -> int:
        """How many recipes have steps of their own."""
        return len(self.recipes) if len(self.recipes) > 1 else 0

    def places(self, steps: NDArray[Any]) -> NDArray[Any]:
        """The place of every constant, [recipes, constants]."""
        import numpy as np

        constants = self.form.constants
        center, spread, between = (np.array([getattr(c, n) for c in constants]) for n in ("place", "spread", "between"))
        common = center + spread * steps[: len(constants)]
        own = steps[len(constants) :].reshape(self.own, len(constants)) * between
        places: NDArray[Any] = common + own if self.own else common[None, :]
        return places

    def index(self) -> NDArray[Any]:
        """Which recipe each run has."""
        import numpy as np

        return np.searchsorted(np.array(self.recipes), self.runs.recipe)

    def errors(self, steps: NDArray[Any]) -> NDArray[Any]:
        """Logarithms of predicted over measured, in units of the noise."""
        import numpy as np

        places = self.places(steps)[self.index()]
        values = {c.name: c.value(places[:, i]) for i, c in enumerate(self.form.constants)}
        errors: NDArray[Any] = (np.log(self.form.loss(values, self.runs)) - np.log(self.runs.loss)) / self.noise
        return errors

    def slopes(self, steps: NDArray[Any]) -> NDArray[Any]:
        """How each error changes with each step, by a complex step through the formula: [runs, steps]."""
        import numpy as np

        constants, index = self.form.constants, self.index()
        places = self.places(steps)[index]
        values = {c.name: c.value(places[:, i]) for i, c in enumerate(constants)}
        slopes = np.zeros((len(self.runs), len(steps)))
        rows = np.arange(len(self.runs))
        for i, c in enumerate(constants):
            moved = {**values, c.name: c.value(places[:, i] + 1j * STEP)}
            slope = np.log(self.form.loss(moved, self.runs)).imag / STEP / self.noise
            slopes[:, i] = slope * c.spread
            if self.own:
                slopes[rows, len(constants) * (1 + index) + i] = slope * c.between
        return slopes


def _places(problem: _Problem, start: Fitted | None, starts: int) -> list[NDArray[Any]]:
    """Steps to start from: known constants where they are given, else the prior's center and places around it."""
    import numpy as np

    constants = problem.form.constants
    first = np.zeros(len(constants) * (1 + problem.own))
    if start is not None:
        first = _steps_of(problem, start)
    order = np.random.default_rng(0)
    near = [first + order.normal(0, 0.5, len(first)) * _known(problem) for _ in range(starts - 1)]
    return [first, *near]


def _known(problem: _Problem) -> NDArray[Any]:
    """1 for common steps that a random start may move, 0 for the wide ones of levels and for those of recipes."""
    import numpy as np

    movable = [float(not c.level) for c in problem.form.constants]
    return np.array(movable + [0.0] * (problem.own * len(movable)))


def _steps_of(problem: _Problem, start: Fitted) -> NDArray[Any]:
    """The steps of known constants: their mean over recipes is common, the rest each recipe's own."""
    import numpy as np

    constants = problem.form.constants
    recipes = [r for r in problem.recipes if r in start.values] or list(start.values)
    known = np.array([[start.values[r][c.name] for c in constants] for r in recipes])
    positive = np.array([c.positive for c in constants])
    places = np.where(positive, np.log(np.where(positive, known, 1)), known)
    common = places.mean(axis=0)
    steps = [(common - np.array([c.place for c in constants])) / np.array([c.spread for c in constants])]
    if problem.own:
        between = np.array([c.between for c in constants])
        steps += [((places[recipes.index(r)] if r in recipes else common) - common) / between for r in problem.recipes]
    return np.concatenate(steps)


def _solved(problem: _Problem, start: NDArray[Any]) -> Fitted:
    import numpy as np

    outlier = 1 / math.sqrt(problem.weight.alike)
    steps = most_likely(problem.errors, start, outlier=outlier, slopes=problem.slopes, most_steps=100, enough=1e-7)
    errors, places = problem.errors(steps), problem.places(steps)
    misfit = float((2 * outlier**2 * (np.sqrt(1 + (errors / outlier) ** 2) - 1)).sum() + (steps**2).sum())
    values = {
        recipe: {c.name: float(c.value(places[r, i])) for i, c in enumerate(problem.form.constants)}
        for r, recipe in enumerate(problem.recipes)
    }
    return Fitted(form=problem.form, values=values, misfit=misfit)
