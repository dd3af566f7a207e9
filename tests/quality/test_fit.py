"""Fitting laws to runs: known constants come back, one bad row moves nothing, three runs tell a level."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from deepwide.errors import BadInput
from deepwide.facts.shape_law import shape_laws
from deepwide.quality.fit import PLAIN, Fitted, _Problem, fit, fit_law, predicted, refit_all, refit_level
from deepwide.quality.forms import LAWS, Form, forms
from deepwide.quality.held_out import bootstrap, errors, held_out, ordered_pairs
from deepwide.quality.runs import Runs, by_aspect, runs_of

SHAPES = [(n, d) for n in (4, 8, 16, 32, 64) for d in (256, 512, 1024, 2048)]
TOKENS = (1e10, 4e10, 1.6e11)
ADDITIVE = {"floor": 1.8, "capacity": 0.9, "capacity_power": 0.34, "data": 0.4, "data_power": 0.37}
TRUTH = {
    "chinchilla": ADDITIVE,
    "coupled": {**ADDITIVE, "coupling": 0.5},
    "gemstones": {**ADDITIVE, "width": 0.3, "width_power": 0.5, "depth": 0.1, "depth_power": 0.6},
    "inverse-depth": {
        **{n: v for n, v in ADDITIVE.items() if not n.startswith("capacity")},
        **{"width": 0.3, "width_power": 0.9, "depth": 0.1, "depth_power": 1.0},
    },
    "aspect-ratio": {**ADDITIVE, "aspect": 0.002, "aspect_power": 0.6},
    "shape": asdict(shape_laws()[0].constants),
}


def runs(recipe: str = "own") -> Runs:
    rows: list[dict[str, Any]] = [
        {
            "body": 12 * n * d**2,
            "head": 50_304 * d,
            "total": 12 * n * d**2 + 2 * 50_304 * d,
            "layers": n,
            "hidden": d,
            "tokens": tokens,
            "loss": 1.0,
            "recipe": recipe,
        }
        for n, d in SHAPES
        for tokens in TOKENS
    ]
    return runs_of(rows)


def measured(form: Form, constants: dict[str, float], noise: float = 0.0, recipe: str = "own") -> Runs:
    """Runs whose losses follow a law, but for noise."""
    plain = runs(recipe)
    scatter = np.exp(np.random.default_rng(3).normal(0, noise, len(plain)))
    return replace(plain, loss=form.loss(constants, plain) * scatter)


@pytest.mark.parametrize("law", TRUTH)
def test_known_constants_come_back_from_runs_without_noise(law: str) -> None:
    form = LAWS[law][0]
    data = measured(form, TRUTH[law])
    found = fit(form, data)
    assert found.loss(data) == pytest.approx(data.loss, abs=2e-3)
    shared = {n: v for n, v in TRUTH[law].items() if n in ("floor", "data_power", "capacity_power", "coupling")}
    # What is known beforehand draws exponents and coupling by so much.
    assert shared == pytest.approx({n: found.values["own"][n] for n in shared}, rel=0.05)


def test_slopes_by_a_complex_step_are_those_of_differences() -> None:
    data = measured(LAWS["shape"][0], TRUTH["shape"], 0.01)
    problem = _Problem(form=LAWS["shape"][0], runs=data, recipes=("own",), weight=PLAIN)
    steps = np.random.default_rng(0).normal(0, 0.1, len(LAWS["shape"][0].constants))
    apart = 1e-6 * np.eye(len(steps))
    by_difference = [(problem.errors(steps + h) - problem.errors(steps - h)) / 2e-6 for h in apart]
    assert problem.slopes(steps) == pytest.approx(np.stack(by_difference, axis=1), rel=1e-4, abs=1e-4)


def test_one_bad_row_does_not_move_the_fit() -> None:
    form = LAWS["shape"][1]
    data = measured(form, asdict(shape_laws()[1].constants), 0.002)
    spoilt = replace(data, loss=np.where(np.arange(len(data)) == 17, 2 * data.loss, data.loss))
    good, bad = (fit(form, each).loss(data) for each in (data, spoilt))
    assert np.abs(bad - good).max() < 0.003


def test_shapes_and_groups_of_shapes_are_left_out_whole() -> None:
    data = measured(LAWS["coupled"][0], TRUTH["coupled"], 0.002)
    refit = partial(fit_law, LAWS["coupled"])
    for groups in (None, by_aspect(data)):
        off = errors(data, held_out(refit, data, groups))
        assert off.rows == len(data)
        assert off.mean < 0.006
    assert 1 < len(by_aspect(data)) < len(SHAPES)


def test_resampled_shapes_cover_the_truth() -> None:
    data = measured(LAWS["coupled"][0], TRUTH["coupled"], 0.004)
    start = fit_law(LAWS["coupled"], data)
    draws = bootstrap(partial(fit_law, LAWS["coupled"], start=start), data, 30)
    losses = np.array([predicted(law, data) for law in draws])
    truth = LAWS["coupled"][0].loss(TRUTH["coupled"], data)
    covered = np.abs(losses.mean(axis=0) - truth) < 2.5 * losses.std(axis=0)
    assert covered.mean() > 0.85


def shipped() -> tuple[Fitted, ...]:
    members = zip(LAWS["shape"], shape_laws(), strict=True)
    return tuple(Fitted(form=form, values={"own": asdict(law.constants)}) for form, law in members)


def of_another_level() -> Runs:
    """Runs of a corpus that is easier to learn, on the shapes and tokens of all runs."""
    plain = runs()
    moved = [
        replace(m, values={"own": {**m.values["own"], "floor": 0.9 * m.values["own"]["floor"], "data": 0.5}})
        for m in shipped()
    ]
    return replace(plain, loss=predicted(moved, plain))


@pytest.mark.parametrize("refit", [refit_level, refit_all])
def test_three_runs_tell_the_level_of_another_corpus(refit: Callable[..., Any]) -> None:
    data = of_another_level()
    three = np.array([3, 25, 52])
    before, after = (
        errors(data, predicted(law, data)).mean for law in (shipped(), refit(shipped(), data.chosen(three)))
    )
    assert before > 0.05
    assert after < before / 8


def test_refitting_the_level_keeps_all_else() -> None:
    data = of_another_level()
    again = refit_level(shipped(), data.chosen(np.array([3, 25, 52])))
    for member, known in zip(again, shipped(), strict=True):
        kept = {n: v for n, v in known.values["own"].items() if n not in ("floor", "capacity", "data")}
        assert kept == pytest.approx({n: member.values["own"][n] for n in kept}, rel=1e-4)


def test_a_recipe_with_three_runs_borrows_from_one_with_many() -> None:
    form = LAWS["shape"][1]
    constants = asdict(shape_laws()[1].constants)
    many, few = measured(form, constants, recipe="a"), measured(form, {**constants, "floor": 1.6}, recipe="b")
    some = few.chosen(np.array([2, 27, 50]))
    both = Runs(**{n: np.concatenate([getattr(many, n), getattr(some, n)]) for n in Runs.__dataclass_fields__})
    together, alone = (fit(form, each).loss(few) for each in (both, some))
    assert errors(few, together).mean < errors(few, alone).mean
    assert errors(few, together).mean < 0.005


def test_pairs_are_of_like_size_equal_tokens_and_one_recipe() -> None:
    data = measured(LAWS["chinchilla"][0], ADDITIVE)
    pairs = list(ordered_pairs(data, data.loss))
    assert all(correct for correct, _, _ in pairs)
    assert all(data.tokens[a] == data.tokens[b] for _, a, b in pairs)
    wrong = [correct for correct, _, _ in ordered_pairs(data, -data.loss)]
    assert len(pairs) == len(wrong)
    assert not any(wrong)


def test_a_misspelt_law_gets_a_suggestion() -> None:
    with pytest.raises(BadInput, match="did you mean shape"):
        forms("shap")
