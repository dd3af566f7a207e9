"""Laws of size and data: published values, the closed form of the optimum, and its inverse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepwide.facts.loss_laws import constants
from deepwide.quality.size import (
    Coupled,
    Kaplan,
    OverTraining,
    Power,
    compute_optimal,
    coupled,
    kaplan,
    over_trained,
    power_law,
)

CHINCHILLA, REFIT = (constants(name, Coupled) for name in ("chinchilla-2022", "besiroglu-2024"))


def test_the_constants_of_chinchilla_and_of_its_refit_are_the_published_ones() -> None:
    stated = [
        Coupled(floor=1.69, capacity=406.4, capacity_power=0.34, data=410.7, data_power=0.28),
        Coupled(floor=1.8172, capacity=482.01, capacity_power=0.3478, data=2085.43, data_power=0.3658),
    ]
    assert stated == [CHINCHILLA, REFIT]


def test_chinchilla_itself_has_its_published_loss() -> None:
    # 70B parameters on 1.4T tokens: 1.69 + 0.083 + 0.163, as the paper's discussion of Gopher and Chinchilla adds up.
    assert coupled(70e9, 1.4e12, CHINCHILLA) == pytest.approx(1.936, abs=0.001)


def test_the_refit_trains_twenty_tokens_per_parameter_at_the_compute_of_chinchilla() -> None:
    size, tokens = compute_optimal(5.76e23, REFIT)
    assert 15 < tokens / size < 26


def test_kaplan_grows_the_size_far_faster_than_the_tokens() -> None:
    law = constants("kaplan-2020", Kaplan)
    sizes = np.geomspace(1e6, 1e13, 4001)
    best = [float(sizes[kaplan(sizes, flops / 6 / sizes, law).argmin()]) for flops in (1e19, 1e22)]
    exponent = np.log(best[1] / best[0]) / np.log(1e3)
    # aD / (aD + aN): 0.103 / 0.179; the paper's 0.73 adds a batch below the critical one, which is left out here.
    assert exponent == pytest.approx(0.103 / (0.103 + 0.076), abs=0.01)


def test_kaplan_with_either_in_plenty_is_a_power_law_of_the_other() -> None:
    law = constants("kaplan-2020", Kaplan)
    alone = power_law(1e8, Power(scale=law.size_scale, power=law.size_power))
    assert kaplan(1e8, 1e30, law) == pytest.approx(alone, rel=1e-6)


@pytest.mark.parametrize("name", ["kaplan-2020-size", "kaplan-2020-data"])
def test_a_power_law_falls_by_its_exponent(name: str) -> None:
    law = constants(name, Power)
    assert power_law(2e9, law) / power_law(1e9, law) == pytest.approx(2**-law.power)


def test_the_law_with_coupling_one_is_the_sum_of_its_terms() -> None:
    by_hand = 1.8172 + 482.01 * 1e9**-0.3478 + 2085.43 * 2e10**-0.3658
    assert coupled(1e9, 2e10, REFIT) == pytest.approx(by_hand)


def test_coupling_below_one_is_less_than_the_sum_and_more_than_either() -> None:
    joined = coupled(
        1e9, 2e10, Coupled(floor=0.0, capacity=2.0, capacity_power=0, data=1.0, data_power=0, coupling=0.5)
    )
    assert joined == pytest.approx(5**0.5)


def test_over_training_is_a_law_of_size_and_tokens_with_equal_exponents() -> None:
    law = constants("gadre-2024-c4", OverTraining)
    size, tokens = 4e8, 3.2e10
    a, b = law.size / 6**law.power, law.data / 6**law.power
    by_hand = law.floor + a * size ** (-2 * law.power) + b * tokens ** (-2 * law.power)
    assert over_trained(6 * size * tokens, tokens / size, law) == pytest.approx(by_hand)


@given(st.floats(18, 27))
def test_the_closed_form_is_the_lowest_loss_of_its_compute(log_flops: float) -> None:
    flops = 10**log_flops
    size, tokens = compute_optimal(flops, REFIT)
    best = coupled(size, tokens, REFIT)
    assert flops == pytest.approx(6 * size * tokens)
    assert best <= min(coupled(size * f, tokens / f, REFIT) for f in (0.9, 1.1))
