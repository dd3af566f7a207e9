"""How a token is chosen: each rule against its definition, on any scores."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from deepwide.errors import BadInput
from deepwide.lab.generation.choosing import Choice, chosen, only_best, only_likeliest, tempered

SCORES = st.lists(st.lists(st.floats(-30, 30, width=32), min_size=7, max_size=7), min_size=1, max_size=3).map(
    torch.tensor
)


def kept(scores_BV: Tensor) -> Tensor:
    return scores_BV > -math.inf


def drawn(scores_BV: Tensor, seed: int = 0, **choice: float) -> Tensor:
    return chosen(scores_BV, Choice(tokens=1, **choice), torch.Generator().manual_seed(seed))  # type: ignore[arg-type]


@given(SCORES, st.integers(1, 9))
def test_the_k_best_are_kept_and_no_more(scores_BV: Tensor, k: int) -> None:
    best_BV = only_best(scores_BV, k)
    assert [min(k, 7)] * len(scores_BV) == kept(best_BV).sum(-1).tolist()
    for row, all_of_row in zip(best_BV, scores_BV, strict=True):
        left_out = all_of_row[~kept(row)]
        assert not left_out.numel() or row[kept(row)].min() >= left_out.max()
        assert torch.equal(all_of_row[kept(row)], row[kept(row)])


@given(SCORES, st.floats(0.01, 0.99))
def test_the_likeliest_are_the_smallest_set_that_reaches_p(scores_BV: Tensor, p: float) -> None:
    for row, scores_V in zip(only_likeliest(scores_BV, p), scores_BV, strict=True):
        shares_V = scores_V.double().softmax(-1)
        inside = shares_V[kept(row)]
        assert inside.sum() >= p - 1e-12
        assert inside.sum() - inside.min() < p + 1e-12  # without its least it would not reach it
        assert not (~kept(row)).any() or inside.min() >= shares_V[~kept(row)].max()


@given(SCORES)
def test_all_are_kept_where_all_of_the_probability_is_asked_for(scores_BV: Tensor) -> None:
    assert torch.equal(scores_BV, only_likeliest(scores_BV, 1.0))


@given(SCORES, st.floats(1e-300, 1e-9))
def test_near_a_temperature_of_0_the_best_is_taken(scores_BV: Tensor, temperature: float) -> None:
    two = scores_BV.sort(-1).values[:, -2:]
    assume(bool((two[:, 1] - two[:, 0] > 1e-3).all()))  # the best is the best by more than a rounding
    assert torch.equal(drawn(scores_BV, temperature=0), drawn(scores_BV, temperature=temperature))


@given(SCORES, st.floats(0.1, 10))
def test_the_temperature_divides_the_differences_between_scores(scores_BV: Tensor, temperature: float) -> None:
    expected = (scores_BV.double() / temperature).softmax(-1)
    assert torch.allclose(expected, tempered(scores_BV, temperature).softmax(-1), atol=1e-12)


@given(SCORES, st.integers(0, 2**63 - 1), st.sampled_from([{"top_k": 1}, {"top_p": 1e-9}]))
def test_out_of_one_token_the_best_is_drawn(scores_BV: Tensor, seed: int, only: dict[str, float]) -> None:
    best_B = scores_BV.gather(1, drawn(scores_BV, seed, **only)[:, None])[:, 0]
    assert torch.allclose(scores_BV.amax(-1), best_B, atol=1e-12)  # scores of equal probability are equally good


def test_draws_follow_the_probabilities() -> None:
    shares = torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64)
    scores_BV = shares.log().expand(20_000, 4)

    def frequencies(**choice: float) -> Tensor:
        return drawn(scores_BV, **choice).bincount(minlength=4).double() / 20_000

    assert torch.allclose(shares, frequencies(), atol=0.015)
    assert torch.allclose(shares.sqrt() / shares.sqrt().sum(), frequencies(temperature=2.0), atol=0.015)
    two = torch.tensor([0.625, 0.375, 0, 0], dtype=torch.float64)  # 0.8 of what the three best share
    assert torch.allclose(two, frequencies(top_k=3, top_p=0.8), atol=0.015)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"temperature": -0.1}, "temperature=-0.1"),
        ({"temperature": math.nan}, "temperature=nan"),
        ({"temperature": math.inf}, "temperature=inf"),
        ({"top_k": 0}, "top_k=0"),
        ({"top_p": 0.0}, "top_p=0.0"),
        ({"top_p": 1.5}, "top_p=1.5"),
        ({"top_p": math.nan}, "top_p=nan"),
        ({"seed": -1}, "seed=-1"),
        ({"tokens": 0}, "tokens=0"),
    ],
)
def test_a_choice_that_makes_no_sense_is_refused(wrong: dict[str, float], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        Choice(**{"tokens": 1, **wrong})  # type: ignore[arg-type]
