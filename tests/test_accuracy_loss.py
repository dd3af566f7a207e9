"""Predicted losses against published ones, held to their targets; skipped, plainly, where the runs are not there."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from deepwide.facts.shape_law import RECIPE, shape_laws

ROOT = Path(__file__).parents[1]
REFERENCE = Path(os.environ.get("DEEPWIDE_REFERENCE", ROOT.parent / "shared" / "reference"))
OWN = RECIPE.replace("/", ", ")
MORPH = "morph/train_ema_dclm/cosine/dclm-baseline"


@pytest.fixture(scope="module")
def section() -> Any:
    if not any(REFERENCE.glob("gemstones*.csv")):
        pytest.skip(f"no training runs in {REFERENCE}; name their folder with DEEPWIDE_REFERENCE")
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        return importlib.import_module("accuracy_loss")
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


@pytest.fixture(scope="module")
def rows(section: Any) -> Any:
    return list(section.rows(REFERENCE))


def group(rows: Any, begins: str) -> Any:
    return [row for row in rows if row.source.startswith(begins)]


def test_losses_of_the_usual_recipe_are_as_close_as_promised(section: Any, rows: Any) -> None:
    said = section.figures(group(rows, OWN))
    assert said["mae"] <= 0.0055
    assert said["p90_nats"] <= 0.013
    assert said["order_share"] >= 0.97


@pytest.mark.parametrize(("recipe", "limit"), [(RECIPE, 0.0065), (MORPH, 0.0075)])
def test_shapes_left_out_of_the_fit_are_as_close_as_promised(recipe: str, limit: float) -> None:
    assert shape_laws(recipe)[0].held_out_nats <= limit


def test_the_peers_are_several_times_as_far_off(section: Any, rows: Any) -> None:
    said = section.figures(group(rows, "gemstones"))
    assert 3 * said["mae"] < min(said["chinchilla_mae"], said["chinchilla_body_mae"])
    assert said["order_share"] > max(said["chinchilla_order_share"], said["chinchilla_body_order_share"])


def test_intervals_hold_what_they_say(rows: Any) -> None:
    used = group(rows, "gemstones")
    assert 0.9 <= sum(row.low <= row.published <= row.high for row in used) / len(used) <= 0.985


def test_every_row_is_predicted_by_its_recipe_or_says_why_not(section: Any, rows: Any) -> None:
    assert [] == [row.id for row in rows if row.excluded]
    case = next(section.readings(REFERENCE))
    (unknown,) = section._rows("elsewhere/c4/cosine/c4", [case])
    assert "level is unknown" in unknown.excluded


def test_a_row_that_is_no_run_is_excluded_with_its_line_and_reason(section: Any, tmp_path: Path) -> None:
    head, first, *_ = next(REFERENCE.glob("gemstones*.csv")).read_text("utf-8").splitlines()
    values = dict(zip(head.split(","), first.split(","), strict=True))
    broken = [values | wrong for wrong in ({"loss": ""}, {"tokens": "nan"}, {"d_model": "-1"})]
    lines = [head, first, *(",".join(row.values()) for row in broken)]
    (tmp_path / "gemstones_more.csv").write_text("\n".join(lines), "utf-8")
    good, bad = [], []
    for row in section.rows(tmp_path):
        (bad if row.excluded else good).append(row)
    assert 1 == len(good)
    assert [f"gemstones_more.csv line {n}" for n in (3, 4, 5)] == [row.id for row in bad]
