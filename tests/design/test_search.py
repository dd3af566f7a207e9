"""The search: a shape alone equals its row, and the recommendation keeps its word."""

from __future__ import annotations

import numpy as np
import pytest

from deepwide.answers.design import Design, NoDesign, design
from deepwide.answers.models import find_model
from deepwide.answers.shape import shape_of
from deepwide.cost.inference.engine import driven
from deepwide.design.search import front
from deepwide.errors import BadInput
from deepwide.facts.accelerators import accelerator
from deepwide.quality.shape import DIFFERENCE_SD


@pytest.fixture(scope="module")
def answer() -> Design:
    return design(parameters=10**9, on="h100", tokens=2 * 10**10)


def test_a_shape_evaluated_alone_gives_the_numbers_of_its_row(answer: Design) -> None:
    on = driven(accelerator("h100"))
    for row in answer.table:
        alone = shape_of(find_model(row["model"]), on, tokens=answer.tokens, context=answer.context)
        assert (row["parameters"], row["kv_cache_bytes_per_token"]) == (
            alone.parameters,
            alone.kv_cache_bytes_per_token,
        )
        assert (row["loss"], row["low"], row["decode_s"]) == pytest.approx((alone.loss, alone.low, alone.decode_s))


def test_every_row_keeps_to_the_budget(answer: Design) -> None:
    assert all(abs(row["parameters"] / 10**9 - 1) <= 0.02 for row in answer.table)


def test_the_table_goes_from_deep_to_wide(answer: Design) -> None:
    aspects = [row["aspect"] for row in answer.table]
    assert sorted(aspects) == aspects


def test_the_recommended_shape_is_as_good_as_the_best_and_is_in_the_table(answer: Design) -> None:
    lowest = min(row["loss"] for row in (*answer.table, *answer.front))
    assert answer.recommended["loss"] <= lowest + DIFFERENCE_SD
    assert answer.recommended in answer.table


def test_no_shape_of_the_front_is_beaten_in_both(answer: Design) -> None:
    points = [(row["loss"], row["decode_s"]) for row in answer.front]
    assert not any(a[0] < b[0] and a[1] < b[1] for a in points for b in points)


def test_a_front_is_what_nothing_beats() -> None:
    columns = {"loss": np.array([3.0, 2.0, 1.0, 2.5]), "decode_s": np.array([1.0, 2.0, 3.0, 2.5])}
    assert [2, 1, 0] == front(columns)


def test_what_cannot_fit_is_answered_with_no() -> None:
    with pytest.raises(NoDesign, match="times the memory"):
        design(parameters=10**11, on="rtx-3060-12gb")


@pytest.mark.parametrize("wrong", [{"parameters": 3}, {"devices": 0}, {"tolerance": 2.0}])
def test_a_question_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(BadInput):
        design(**{"parameters": 10**9, "on": "h100", **wrong})  # type: ignore[arg-type]
