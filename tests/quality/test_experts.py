"""Mixtures: the published constants and special cases, and what experts gain over a dense model."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepwide.facts.loss_laws import constants
from deepwide.quality.experts import Granular, JointExperts, experts_effect, granular, joint

JOINT = constants("ludziejewski-2025", JointExperts)


@pytest.mark.parametrize(("size", "tokens"), [(1e8, 2e9), (1e9, 2e10), (2.7e9, 1e11)])
def test_with_one_expert_the_joint_law_is_the_published_dense_one(size: float, tokens: float) -> None:
    dense = 30.364 * size**-0.1817 + 53.984 * tokens**-0.1965 + 1.3637
    assert dense == pytest.approx(joint(size, 1.0, tokens, JOINT), abs=0.003)


@pytest.mark.parametrize(
    ("name", "granularity", "by_hand"),
    [
        ("krajewski-2024", 4, 0.47 + (2.1 / 4**0.58 + 18.1) / 1e9**0.115 + 30.8 / 5e10**0.147),
        ("krajewski-2024-dense", 1, 0.47 + 16.3 / 1e9**0.126 + 26.7 / 5e10**0.127),
    ],
)
def test_the_granular_law_is_its_formula(name: str, granularity: int, by_hand: float) -> None:
    assert granular(1e9, 5e10, granularity, constants(name, Granular)) == pytest.approx(by_hand)


def test_finer_experts_are_better() -> None:
    losses = granular(1e9, 5e10, np.array([1, 2, 4, 8, 16]), constants("krajewski-2024", Granular))
    assert np.all(np.diff(losses) < 0)


@given(st.floats(7, 13), st.floats(8, 16))
def test_one_expert_gains_nothing(log_size: float, log_tokens: float) -> None:
    assert 0 == experts_effect(10**log_size, 1.0, 10**log_tokens)


@given(st.floats(8, 10), st.floats(9.5, 12), st.floats(1.01, 32))
def test_more_experts_gain_more(log_size: float, log_tokens: float, experts: float) -> None:
    size, tokens = 10**log_size, 10**log_tokens
    assert experts_effect(size, experts * 1.1, tokens) < experts_effect(size, experts, tokens) < 0


def test_the_effect_is_the_difference_of_the_joint_law_up_to_the_tokens_that_gain_most() -> None:
    difference = joint(1e9, 8.0, 1e11, JOINT) - joint(1e9, 1.0, 1e11, JOINT)
    assert difference == pytest.approx(experts_effect(1e9, 8.0, 1e11))


@given(st.floats(8, 12), st.floats(8, 16), st.floats(1, 64))
def test_more_tokens_never_lessen_what_experts_gain(log_size: float, log_tokens: float, experts: float) -> None:
    few, many = (experts_effect(10**log_size, experts, times * 10**log_tokens) for times in (1, 2))
    assert many <= few + 1e-12


def test_many_mixtures_at_once_equal_each_alone() -> None:
    experts = np.array([1.0, 2.0, 8.0, 32.0])
    alone = [float(experts_effect(10**9, e, 10**11)) for e in experts.tolist()]
    assert alone == pytest.approx(experts_effect(10**9, experts, 10**11).tolist(), rel=1e-12)
