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


def test_serving_memory_beats_its_baseline(sections: Any) -> None:
    groups = [group for group in sections["memory"]["groups"] if group["n"]]
    assert all(group["mape"] < group["baseline_mape"] / 10 for group in groups)
