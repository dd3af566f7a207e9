"""The vocabulary: published optima, and what another one does to the same text."""

from __future__ import annotations

import numpy as np
import pytest

from deepwide.quality.vocabulary import (
    best_flops,
    optimal_vocab,
    published_vocab,
    tokens_per_character,
    vocabulary_effect,
)

# Body, hidden size that the paper gives it, published optimum (arXiv:2407.13623, its first approach).
PUBLISHED = [(3e9, 3200, 39_000), (7e9, 4096, 62_000), (70e9, 8192, 212_000)]


@pytest.mark.parametrize(("body", "hidden", "vocab"), PUBLISHED)
def test_the_power_law_gives_the_published_optimum(body: float, hidden: int, vocab: int) -> None:
    assert published_vocab(body, hidden) == pytest.approx(vocab, rel=0.01)


@pytest.mark.parametrize(("body", "hidden", "vocab"), PUBLISHED)
def test_the_lowest_loss_of_a_compute_budget_lies_near_the_published_optimum(
    body: float, hidden: int, vocab: int
) -> None:
    # The paper's three approaches differ by 7 to 16% among themselves.
    assert optimal_vocab(body, hidden, best_flops(body)) == pytest.approx(vocab, rel=0.07)


def test_many_bodies_at_once_equal_each_alone() -> None:
    bodies, hidden = np.array([3e9, 7e9, 70e9]), np.array([3200, 4096, 8192])
    alone = [float(optimal_vocab(b, h, best_flops(b))) for b, h in zip(bodies, hidden, strict=True)]
    assert alone == pytest.approx(optimal_vocab(bodies, hidden, best_flops(bodies)).tolist(), rel=1e-9)


def test_more_compute_for_the_same_body_wants_a_larger_vocabulary() -> None:
    assert np.all(np.diff(optimal_vocab(3e9, 3200, np.geomspace(1e20, 1e24, 9))) > 0)


def test_a_larger_vocabulary_takes_fewer_tokens_for_a_text_up_to_two_hundred_thousand() -> None:
    shares = tokens_per_character(np.array([4e3, 32e3, 128e3, 200e3, 1e6]))
    assert np.all(np.diff(shares[:4]) < 0)
    assert shares[4] == shares[3]


def test_a_character_takes_a_quarter_of_a_token_at_32k() -> None:
    assert 0.2 < tokens_per_character(32_000) < 0.3


def test_the_same_vocabulary_has_no_effect_and_a_tiny_one_hurts() -> None:
    assert vocabulary_effect(3e9, 3200, 32_000, 32_000, 1e11) == 0
    assert vocabulary_effect(3e9, 3200, 1_000, 32_000, 1e11) > 0
