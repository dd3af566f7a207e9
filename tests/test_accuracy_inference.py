"""Predicted times against published ones, held to their targets; skipped, plainly, where the measurements are not."""

from __future__ import annotations

import importlib
import os
import statistics
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
REFERENCE = Path(os.environ.get("DEEPWIDE_REFERENCE", ROOT.parent / "shared" / "reference"))
# How a group's name begins -> the mean error that it may have, over all frameworks together.
TARGETS = {
    "batch 1, kernels fitted": 0.10,
    "batch 1, other accelerators": 0.15,
    "prompt of 1,024 tokens or more": 0.15,
    "tensor parallel": 0.15,
    "static batch": 0.15,
    "serving, time per token": 0.16,
    "Hugging Face eager": 0.10,
}


@pytest.fixture(scope="module")
def rows() -> Any:
    if not any(REFERENCE.glob("inference_cases*.csv")):
        pytest.skip(f"no measurements in {REFERENCE}; name their folder with DEEPWIDE_REFERENCE")
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        return list(importlib.import_module("accuracy_inference").rows(REFERENCE))
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


def used(rows: Any, begins: str = "") -> Any:
    return [row for row in rows if not row.excluded and row.source.startswith(begins)]


@pytest.mark.parametrize("target", TARGETS)
def test_the_mean_error_of_a_target_is_within_it(rows: Any, target: str) -> None:
    assert TARGETS[target] >= statistics.fmean(abs(r.predicted / r.published - 1) for r in used(rows, target))


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_is_met_far_better_than_with_one_constant(rows: Any, target: str) -> None:
    own, baseline = (
        statistics.fmean(abs(getattr(r, figure) / r.published - 1) for r in used(rows, target))
        for figure in ("predicted", "baseline")
    )
    assert own < 0.6 * baseline


def test_about_nine_of_ten_measurements_lie_in_their_range(rows: Any) -> None:
    inside = [row.low <= row.published <= row.high for row in used(rows)]
    assert 0.85 < statistics.fmean(inside) < 0.99


def test_every_row_is_predicted_or_says_why_not(rows: Any) -> None:
    assert all(row.excluded or 0 < row.low <= row.predicted <= row.high for row in rows)
    assert 0.7 < len(used(rows)) / len(rows)
