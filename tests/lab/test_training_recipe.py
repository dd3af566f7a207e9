"""The recipe, its schedule, and the rule that carries a learning rate across shapes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepwide.errors import BadInput
from deepwide.lab.training import Recipe, recipe_from_dict
from deepwide.lab.training.rates import REFERENCE_HIDDEN, REFERENCE_LAYERS, ROLES, rate, role
from deepwide.lab.training.schedule import rate_share


def shares(**fields: Any) -> list[float]:
    recipe = Recipe(**fields)
    return [rate_share(step, recipe) for step in range(recipe.total_steps)]


def test_a_recipe_comes_back_from_its_plain_values() -> None:
    recipe = Recipe(tokens=10_000, batch=8, context=32, betas=(0.8, 0.9), optimizer="adamw", learning_rate=1e-3)
    assert recipe == recipe_from_dict(recipe.to_dict())


def test_tokens_are_as_many_steps_as_read_them_all() -> None:
    assert Recipe(tokens=1025, batch=4, context=32).total_steps == 9


def test_looking_more_often_is_the_same_recipe_and_another_seed_is_not() -> None:
    recipe = Recipe(steps=10)
    assert recipe.sha256 == Recipe(steps=10, evaluate_every=3, checkpoint_every_s=0.5, log_every=2).sha256
    assert recipe.sha256 != Recipe(steps=10, seed=1).sha256


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "steps=None and tokens=None"),
        ({"steps": 1, "tokens": 1}, "give one of the two"),
        ({"steps": 0}, "steps=0 must be a whole number from 1"),
        ({"steps": True}, "steps=True must be a whole number"),
        ({"steps": 1, "objective": "mask"}, "did you mean masked"),
        ({"steps": 1, "optimizer": "adam"}, "did you mean adamw"),
        ({"steps": 1, "schedule": ["cosine"]}, "known: cosine, wsd"),
        ({"steps": 1, "learning_rate": 0}, "learning_rate=0 must be a number"),
        ({"steps": 1, "learning_rate": float("nan")}, "learning_rate=nan must be a number"),
        ({"steps": 1, "clip": "1"}, "clip='1' must be a number"),
        ({"steps": 1, "betas": (0.9, 1.0)}, "betas=(0.9, 1.0)"),
        ({"steps": 1, "betas": 0.9}, "betas=0.9"),
        ({"steps": 1, "batch": 16, "accumulate": 3}, "accumulate=3 must divide batch=16"),
        ({"steps": 1, "schedule": "wsd", "warmup_share": 0.5, "decay_share": 0.6}, "more than the whole run"),
        ({"tokens": 10**18, "batch": 1, "context": 1}, "raise batch or context"),
        ({"steps": 1, "leraning_rate": 1}, "did you mean learning_rate"),
    ],
)
def test_a_wrong_field_is_named_with_its_value_in_one_line(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput) as refused:
        recipe_from_dict(fields)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_cosine_warms_up_and_falls_by_half_a_wave() -> None:
    found = shares(steps=10, warmup_share=0.2, minimum_share=0.1)
    assert found[:2] == [0.5, 1.0]
    assert found[5] == pytest.approx(0.55)
    assert found[-1] == pytest.approx(0.1)


def test_wsd_is_stable_and_falls_by_a_square_root_at_the_end() -> None:
    found = shares(steps=10, schedule="wsd", warmup_share=0.2, decay_share=0.4, minimum_share=0.0)
    assert found[:6] == [0.5, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert found[6:] == pytest.approx([0.5, 1 - 0.5**0.5, 1 - 0.75**0.5, 0.0])


@given(
    steps=st.integers(1, 60),
    warmup=st.floats(0, 1),
    minimum=st.floats(0, 1),
    schedule=st.sampled_from(["cosine", "wsd"]),
)
def test_a_schedule_rises_to_one_and_then_never_rises_again(
    steps: int, warmup: float, minimum: float, schedule: str
) -> None:
    found = shares(steps=steps, warmup_share=warmup, minimum_share=minimum, schedule=schedule, decay_share=1 - warmup)
    risen = int(warmup * steps)
    assert found[:risen] == sorted(found[:risen])
    assert found[risen:] == sorted(found[risen:], reverse=True)
    assert all(0 <= share <= 1 for share in found)


@pytest.mark.parametrize(
    ("name", "dimensions", "expected"),
    [
        ("decoder.blocks.0.ffn.expert_up", 3, "matrix"),
        ("decoder.blocks.0.ffn.expert_up_bias", 2, "vector"),
        ("encoder.blocks.11.attention.query.weight", 2, "matrix"),
        ("decoder.blocks.0.attention_norm.weight", 1, "vector"),
        ("embedding.tokens.weight", 2, "embedding"),
        ("head.output.weight", 2, "head"),
        ("head.output.bias", 1, "vector"),
    ],
)
def test_the_role_of_a_parameter_follows_from_its_name(name: str, dimensions: int, expected: str) -> None:
    assert expected == role(name, dimensions)


@pytest.mark.parametrize("part", ROLES)
def test_at_the_reference_shape_every_rate_is_the_base_rate(part: str) -> None:
    found = rate(part, hidden=REFERENCE_HIDDEN, layers=REFERENCE_LAYERS, base=0.01)
    assert found == 0.01


@pytest.mark.parametrize("part", ROLES)
def test_a_rate_never_rises_with_width_or_depth(part: str) -> None:
    wider = [rate(part, hidden=d, layers=4, base=0.01) for d in (16, 64, 256, 4096)]
    deeper = [rate(part, hidden=64, layers=n, base=0.01) for n in (1, 4, 32, 128)]
    assert wider == sorted(wider, reverse=True)
    assert deeper == sorted(deeper, reverse=True)


def test_four_times_the_width_halves_the_rate_of_matrices_and_leaves_tables_alone() -> None:
    width = 4 * REFERENCE_HIDDEN
    assert rate("matrix", hidden=width, layers=4, base=0.01) == pytest.approx(0.005)
    assert rate("embedding", hidden=width, layers=4, base=0.01) == 0.01
