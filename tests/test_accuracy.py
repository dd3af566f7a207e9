"""The accuracy report, held to what it must show; skipped, plainly, where the measurements are not there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
REFERENCE = Path(os.environ.get("DEEPWIDE_REFERENCE", ROOT.parent / "shared" / "reference"))
# Counted by what one token uses (docs/decisions/0005); the reference keeps the biases of experts that were not chosen.
COUNTED_OTHERWISE = {"facebook/nllb-moe-54b (active)"}


@pytest.fixture(scope="module")
def sections() -> Any:
    if not REFERENCE.is_dir():
        pytest.skip(f"no measurements in {REFERENCE}; name their folder with DEEPWIDE_REFERENCE")
    program = [sys.executable, str(ROOT / "benchmarks" / "accuracy.py"), "--data", str(REFERENCE), "--json"]
    ended = subprocess.run(program, capture_output=True, text=True, check=True)
    return json.loads(ended.stdout)["sections"]


def wrong(rows: list[dict[str, Any]]) -> set[str]:
    return {row["id"] for row in rows if not row["excluded"] and row["published"] != row["predicted"]}


def test_every_count_is_exact(sections: Any) -> None:
    assert COUNTED_OTHERWISE == wrong(sections["counts"]["rows"])
    assert [] == [row["id"] for row in sections["counts"]["rows"] if row["excluded"]]


def test_every_pass_has_the_flops_that_were_counted(sections: Any) -> None:
    assert set() == wrong(sections["flops"]["rows"])
    assert [] == [row["id"] for row in sections["flops"]["rows"] if row["excluded"]]


def test_saved_activations_are_within_a_hundredth(sections: Any) -> None:
    saved = [row for row in sections["memory"]["rows"] if row["published"] > 1e4]
    assert all(abs(row["predicted"] / row["published"] - 1) <= 0.01 for row in saved)


def mean_error(sections: Any, section: str, *words: str) -> float:
    """Mean absolute error, as a share, of the rows whose source holds one of the words."""
    rows = [r for r in sections[section]["rows"] if not r["excluded"] and any(w in r["source"] for w in words)]
    return sum(abs(r["predicted"] / r["published"] - 1) for r in rows) / len(rows)


def inside(sections: Any, section: str) -> float:
    """Share of the rows that lie in their interval."""
    rows = [row for row in sections[section]["rows"] if not row["excluded"]]
    return sum(row["low"] <= row["published"] <= row["high"] for row in rows) / len(rows)


def test_serving_memory_is_within_a_hundredth(sections: Any) -> None:
    assert mean_error(sections, "memory", "QwenLM/Qwen2.5", "QwenLM/Qwen3") <= 0.01


def test_peak_training_memory_is_within_three_hundredths(sections: Any) -> None:
    assert mean_error(sections, "memory", "training") <= 0.03


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (0.035, ("seqsel_tab5",)),
        (0.06, ("cases_april2021",)),
        (0.07, ("ground_truth_single",)),
        (0.07, ("ground_truth_multi",)),
        (0.10, ("llm-foundry", "Megatron-Bridge", "NeMo", "InternEvo", "bigscience", "torchtitan")),
    ],
)
def test_training_steps_are_as_close_as_promised(sections: Any, limit: float, words: tuple[str, ...]) -> None:
    assert mean_error(sections, "training", *words) <= limit


@pytest.mark.parametrize("section", ["training", "inference"])
def test_nine_of_ten_measurements_lie_in_their_interval(sections: Any, section: str) -> None:
    assert 0.85 <= inside(sections, section) <= 0.99


def test_every_exclusion_says_why_and_every_prediction_has_a_range(sections: Any) -> None:
    for section in sections.values():
        assert all(row["excluded"] or row["low"] <= row["predicted"] <= row["high"] for row in section["rows"])


def test_tonnes_of_published_runs_and_cards_are_close(sections: Any) -> None:
    rows = [row for row in sections["carbon"]["rows"] if not row["excluded"]]
    errors = {row["id"]: abs(row["predicted"] / row["published"] - 1) for row in rows}
    assert max(errors.values()) <= 0.08
    assert mean_error(sections, "carbon", "card") <= 0.04
