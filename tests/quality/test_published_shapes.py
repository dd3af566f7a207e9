"""Laws of depth, width and FFN: published values, and their error on the runs they were fitted on where at hand."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from deepwide.facts.loss_laws import constants
from deepwide.quality.published_shapes import (
    Aspect,
    Conditional,
    InverseDepth,
    OptimalWidth,
    WidthDepth,
    by_aspect,
    conditional,
    inverse_depth,
    optimal_aspect,
    optimal_layers,
    optimal_width,
    ratio_factor,
    width_and_depth,
    width_factor,
)
from deepwide.quality.size import Coupled, coupled

REFERENCE = Path(os.environ.get("DEEPWIDE_REFERENCE", Path(__file__).parents[3] / "shared" / "reference"))
LEVINE = constants("levine-2020", OptimalWidth)


def columns(file: str, **only: str) -> dict[str, np.ndarray]:
    """The columns of a published table, of the rows whose fields are as given."""
    if not (REFERENCE / file).is_file():
        pytest.skip(f"no {file} in {REFERENCE}; name its folder with DEEPWIDE_REFERENCE")
    with (REFERENCE / file).open(encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if all(row[key] == value for key, value in only.items())]
    names = ("d_model", "n_layers", "params_total", "tokens", "loss")
    return {name: np.array([float(row[name]) for row in rows]) for name in names}


def gemstones(schedule: str, most_tokens: float = np.inf) -> dict[str, np.ndarray]:
    found = columns("gemstones_train.csv", lr_schedule=schedule, loss_kind="val_dolma")
    return {name: column[found["tokens"] <= most_tokens] for name, column in found.items()}


@pytest.mark.parametrize(
    ("law", "schedule", "most_tokens", "stated"),
    [
        ("gemstones-2025", "wsd_stable", np.inf, 0.0117),
        ("gemstones-2025-100b", "wsd_stable", 1.01e11, 0.0157),
        ("gemstones-2025-cooled", "wsd_cooled_10pct", np.inf, 0.0138),
    ],
)
def test_the_law_of_gemstones_has_its_error_on_its_own_runs(
    law: str, schedule: str, most_tokens: float, stated: float
) -> None:
    runs = gemstones(schedule, most_tokens)
    said = width_and_depth(
        runs["d_model"], runs["n_layers"], runs["params_total"], runs["tokens"], constants(law, WidthDepth)
    )
    assert stated == pytest.approx(np.abs(said - runs["loss"]).mean(), abs=0.001)


def test_without_depth_and_width_the_law_of_gemstones_is_worse() -> None:
    runs = gemstones("wsd_stable")
    said = coupled(runs["params_total"], runs["tokens"], constants("gemstones-2025-two-term", Coupled))
    assert 0.0117 < np.abs(said - runs["loss"]).mean() < 0.03


def test_the_aspect_law_has_its_error_on_the_runs_it_was_fitted_on() -> None:
    runs = columns("morph.csv")
    aspect = runs["d_model"] / runs["n_layers"]
    said = by_aspect(runs["params_total"], runs["tokens"], aspect, constants("bian-2025", Aspect))
    assert np.abs(said - runs["loss"]).mean() == pytest.approx(0.0146, abs=0.0002)


def test_the_aspect_law_shares_one_exponent_and_makes_wide_models_worse() -> None:
    law = constants("bian-2025", Aspect)
    assert law.power == law.aspect_power
    assert by_aspect(1e8, 1e10, 32.0, law) < by_aspect(1e8, 1e10, 128.0, law)


def test_inverse_depth_is_its_formula() -> None:
    by_hand = 1.7442 + 301.0 / 2048**0.960 + 413.7 / 2400**1.066 + 8.486 / 20_000**0.2989
    assert inverse_depth(2048, 24, 2e10, constants("liu-2026", InverseDepth)) == pytest.approx(by_hand)


@pytest.mark.parametrize(("size", "aspect"), [(3e7, 23), (1e8, 24), (1e9, 36), (1e10, 66), (1e11, 138)])
def test_the_best_aspect_of_levine_is_the_published_one(size: float, aspect: int) -> None:
    assert aspect == round(float(optimal_aspect(size, LEVINE)))


def test_the_best_depth_makes_a_body_of_its_size() -> None:
    sizes = np.geomspace(1e6, 1e13, 50)
    layers = optimal_layers(sizes, LEVINE)
    assert (12 * layers * optimal_width(layers, LEVINE) ** 2).tolist() == pytest.approx(sizes.tolist())


@pytest.mark.parametrize(("law", "width", "ratio"), [("bian-yu-2025", 0.080, 1.03), ("bian-yu-2025-1b", 0.074, 1.22)])
def test_the_conditional_law_is_lowest_where_it_is_published_to_be(law: str, width: float, ratio: float) -> None:
    letters = constants(law, Conditional)
    widths, ratios = np.geomspace(0.01, 1, 20_001), np.geomspace(0.1, 20, 20_001)
    assert widths[width_factor(widths, letters).argmin()] == pytest.approx(width, abs=0.001)
    assert ratios[ratio_factor(ratios, letters).argmin()] == pytest.approx(ratio, abs=0.01)


@pytest.mark.parametrize(
    ("ratio", "small", "large"),
    [
        (0.25, 1.027, 1.022),
        (0.5, 1.005, 1.005),
        (1, 1.000, 1.000),
        (2, 1.003, 1.001),
        (4.8, 1.012, 1.006),
        (7.3, 1.018, 1.010),
        (12, 1.025, 1.014),
    ],
)
def test_the_relative_losses_of_ffn_ratios_are_the_published_ones(ratio: float, small: float, large: float) -> None:
    factors = [ratio_factor(ratio, constants(name, Conditional)) for name in ("bian-yu-2025", "bian-yu-2025-1b")]
    assert [small, large] == pytest.approx(factors, abs=0.0006)


def test_the_conditional_law_is_one_at_its_best_and_above_elsewhere() -> None:
    law = constants("bian-yu-2025", Conditional)
    best = conditional(law.width_inverse / law.width_log, law.ratio_inverse / law.ratio_log, law)
    assert best == pytest.approx(1)
    assert conditional(0.05, 4.0, law) > best
