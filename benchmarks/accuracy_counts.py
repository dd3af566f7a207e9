"""Counts: total and active parameters of real models and of every architecture's default configuration.

Baseline: 12 layers hidden^2, the body of a Transformer with the usual proportions, with no other constant.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from accuracy_rows import Row, exact, json_lines

from deepwide.architecture.ledger import lower
from deepwide.architecture.model import Architecture
from deepwide.errors import BadInput
from deepwide.formats.huggingface import read_config


def rows(folder: Path) -> Iterator[Row]:
    """One row per total, and one per stated number of active parameters."""
    for case in json_lines(folder, "zoo*.jsonl"):
        yield from _counted(case, case["name"], case.get("exact_params"))
    for case in json_lines(folder, "arch*.jsonl"):
        yield from _counted(
            case, f"{case['arch']} ({case['model_type']}, {case.get('task', '')})", case.get("params_total")
        )


def _counted(case: dict[str, Any], name: str, published: int | None) -> Iterator[Row]:
    source = case["_file"]
    if not published or not isinstance(case.get("config"), dict):
        yield Row(id=name, source=source, excluded="no count is given")
        return
    try:
        architecture = read_config(case["config"], architecture=case.get("arch", ""), task=case.get("task", ""))
    except BadInput as error:
        yield Row(id=name, source=source, excluded=str(error))
        return
    ledger, baseline = lower(architecture), _baseline(architecture)
    yield exact(id=name, source=source, published=published, predicted=ledger.parameters(), baseline=baseline)
    if case.get("active_params"):
        yield exact(
            id=f"{name} (active)",
            source=f"{source}, active",
            published=case["active_params"],
            predicted=ledger.active_parameters(),
            baseline=baseline,
        )


def _baseline(architecture: Architecture) -> float:
    return float(12 * architecture.main.layers * architecture.main.hidden**2)
