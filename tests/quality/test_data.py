"""Repeated data: four epochs are about as good as fresh ones, forty are not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepwide.facts.loss_laws import constants
from deepwide.quality.data import REPEATS, DataConstrained, data_constrained, fresh_tokens, useful_size
from deepwide.quality.size import Coupled, compute_optimal, coupled

LAW = constants(REPEATS, DataConstrained)
counts = st.floats(1, 15).map(lambda log: 10**log)


def test_four_epochs_are_about_as_good_as_fresh_data() -> None:
    assert 0.9 < fresh_tokens(4e9, 1e9, LAW) / 4e9 < 1


def test_forty_epochs_are_worth_far_less() -> None:
    assert fresh_tokens(4e10, 1e9, LAW) < 4e10 / 2.5


def test_endless_repetition_is_worth_sixteen_epochs() -> None:
    assert fresh_tokens(1e15, 1e9, LAW) == pytest.approx(1e9 * (1 + 15.387756))


def test_many_numbers_of_epochs_at_once_equal_each_alone() -> None:
    tokens = np.geomspace(1e8, 1e13, 20)
    alone = [float(fresh_tokens(t, 1e10, LAW)) for t in tokens.tolist()]
    assert alone == pytest.approx(fresh_tokens(tokens, 1e10, LAW).tolist(), rel=1e-12)


@given(counts, counts)
def test_repeated_tokens_are_never_worth_more_than_fresh_ones(tokens: float, unique: float) -> None:
    worth = fresh_tokens(tokens, unique, LAW)
    assert worth <= tokens
    assert tokens > unique or worth == pytest.approx(tokens)


@given(counts, counts, counts)
def test_more_repetition_is_never_worth_less(tokens: float, more: float, unique: float) -> None:
    assert fresh_tokens(tokens, unique, LAW) <= fresh_tokens(tokens + more, unique, LAW) * (1 + 1e-12)


def test_without_repetition_the_law_is_additive() -> None:
    additive = Coupled(
        floor=np.exp(LAW.log_floor),
        capacity=np.exp(LAW.log_capacity),
        capacity_power=LAW.power,
        data=np.exp(LAW.log_data),
        data_power=LAW.power,
    )
    # A size below the one that suits the data: all of it is of use.
    assert data_constrained(1e8, 1e11, 1e11, LAW) == pytest.approx(coupled(1e8, 1e11, additive))


def test_the_useful_size_is_all_of_it_up_to_the_one_that_suits_the_data() -> None:
    additive = Coupled(
        floor=0.0,
        capacity=np.exp(LAW.log_capacity),
        capacity_power=LAW.power,
        data=np.exp(LAW.log_data),
        data_power=LAW.power,
    )
    best, tokens = compute_optimal(1e21, additive)
    assert useful_size(best, tokens, LAW) == pytest.approx(best)
    assert useful_size(10 * best, tokens, LAW) < 6 * best


def test_a_loss_on_repeated_data_lies_between_one_epoch_and_fresh_data() -> None:
    once, repeated, fresh = (data_constrained(1e9, t, u, LAW) for t, u in ((1e10, 1e10), (8e10, 1e10), (8e10, 8e10)))
    assert fresh < repeated < once
