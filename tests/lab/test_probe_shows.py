"""What the literature says of depth and width holds in the lab's own models, each with a threshold."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from deepwide import lab
from deepwide.answers.models import find_model
from deepwide.lab.network import Transformer
from deepwide.lab.probe import attention_alone, gradient_norms, likeness, with_weights_of, without_skips
from deepwide.lab.training import next_token

DEEP = "layers=24,hidden=32,heads=2,ffn=64,vocab=64"


def model(text: str) -> Transformer:
    return lab.build(find_model(text).described())


def rows() -> Tensor:
    return torch.randint(0, 64, (4, 33), generator=torch.Generator().manual_seed(0))


def first_over_last(changes: str) -> float:
    _, layers = gradient_norms(model(f"like=llama,{DEEP}{changes}"), next_token(rows()))
    return layers[0].weights / layers[-1].weights if layers[-1].weights else math.nan


@pytest.mark.parametrize("norms", ["", ",norms=post", ",no_norm"])
def test_with_residuals_the_gradient_of_24_layers_is_even_within_an_order_of_magnitude_and_a_half(norms: str) -> None:
    assert 1.5 > abs(math.log10(first_over_last(norms)))


@pytest.mark.parametrize("norms", ["", ",norms=post"])
def test_without_residuals_the_gradient_of_24_layers_changes_by_two_orders_of_magnitude_and_more(norms: str) -> None:
    assert 2 < abs(math.log10(first_over_last(f"{norms},no_residual")))
    assert 1.5 < abs(math.log10(first_over_last(f"{norms},no_residual"))) - abs(math.log10(first_over_last(norms)))


def test_without_residuals_and_norms_no_gradient_is_left_in_fp32() -> None:
    assert math.isnan(first_over_last(",no_norm,no_residual"))


def distances(text: str, skips: bool) -> list[float]:
    m = model(text)
    alone = attention_alone(m.architecture)
    levels = likeness(with_weights_of(m, alone if skips else without_skips(alone)), rows()[:, :-1])
    return [level.distance or 0.0 for level in levels]


def test_attention_alone_collapses_to_rank_one_and_skips_keep_it_apart() -> None:
    assert 1e-3 > distances(f"like=llama,{DEEP}", skips=False)[-1]
    assert 0.1 < distances(f"like=llama,{DEEP}", skips=True)[-1]


def test_attention_that_sees_all_tokens_collapses_doubly_exponentially() -> None:
    found = distances(f"like=bert,context=64,{DEEP}".replace("layers=24", "layers=4"), skips=False)
    logs = [math.log(distance) for distance in found if distance > 1e-6]
    assert all(later < 2 * earlier for earlier, later in pairwise(logs[1:]))
    assert 3 <= len(logs)


def test_causal_attention_collapses_exponentially() -> None:
    found = distances(f"like=llama,{DEEP}", skips=False)
    logs = [math.log(distance) for distance in found if distance > 1e-6]
    assert all(later > 2 * earlier for earlier, later in pairwise(logs[3:]))


def test_the_whole_model_keeps_many_directions() -> None:
    last = likeness(model(f"like=llama,{DEEP}"), rows()[:, :-1])[-1]
    assert 5 < (last.effective_rank or 0)
