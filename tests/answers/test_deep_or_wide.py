"""Deep against wide at one size: equal parameters, the present shape among them, and a best that keeps its promise."""

from __future__ import annotations

import pytest

from deepwide.answers.deep_or_wide import DeepOrWide, deep_or_wide
from deepwide.errors import BadInput


@pytest.fixture(scope="module")
def told() -> DeepOrWide:
    return deep_or_wide("llama-3-8b", on="h100", training=False)


def test_shapes_go_from_wide_to_deep_at_equal_parameters(told: DeepOrWide) -> None:
    shapes = [each.shape for each in told.shapes]
    own = next(shape for shape in shapes if shape.model == told.present)
    assert sorted(shape.layers for shape in shapes) == [shape.layers for shape in shapes]
    assert max(abs(shape.parameters / own.parameters - 1) for shape in shapes) <= 0.05


def test_the_present_shape_is_there_once(told: DeepOrWide) -> None:
    assert 1 == sum(each.shape.hidden == 4096 for each in told.shapes)


def test_depth_costs_time_at_equal_parameters(told: DeepOrWide) -> None:
    times = [each.shape.decode_s for each in told.shapes]
    assert sorted(times) == times


def test_sums_over_devices_weigh_more_in_a_deep_shape(told: DeepOrWide) -> None:
    shares = [each.sums_share for each in told.shapes if each.sums_share is not None]
    assert sorted(shares) == shares


def test_the_best_is_no_worse_and_no_slower_than_the_present_one(told: DeepOrWide) -> None:
    by_model = {each.shape.model: each.shape for each in told.shapes}
    best, own, lowest = (by_model[name] for name in (told.best, told.present, told.lowest))
    assert lowest.loss <= best.loss <= own.loss
    assert best.decode_s <= own.decode_s * 1.05


def test_a_training_step_is_searched_for_every_shape() -> None:
    told = deep_or_wide("gpt2", on="h100")
    assert all(each.shape.step_s for each in told.shapes)


def test_an_encoder_has_no_such_picture() -> None:
    with pytest.raises(BadInput, match="give a decoder"):
        deep_or_wide("bert-base", on="h100")


def test_every_shape_is_a_model_that_can_be_asked_for(told: DeepOrWide) -> None:
    from deepwide.answers.models import find_model

    each = told.shapes[0].shape
    assert each.parameters == find_model(each.model).ledger.parameters()
