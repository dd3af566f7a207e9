"""FLOPs: what PyTorch's counter sees in forward, forward and backward, and one step of decoding.

Baseline: 2 N per token forward and 6 N with backward, N the active parameters.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from accuracy_rows import Row, csv_rows, exact, json_lines

from deepwide.answers.models import find_model
from deepwide.architecture.flops import Convention, Pass, backward_flops, forward_flops
from deepwide.architecture.ledger import Ledger, lower
from deepwide.errors import BadInput
from deepwide.formats.huggingface import read_config


def rows(folder: Path) -> Iterator[Row]:
    """One row per measured pass; the model is found in the folder's zoo or in the catalogue."""
    for case in csv_rows(folder, "flops*.csv"):
        name, mode = case["model"], case["mode"]
        label = f"{name} {mode} {case.get('attn', '')}".strip()
        source = f"{case['_file']}, {mode}"
        try:
            ledger = _ledger(name, folder)
        except BadInput as error:
            yield Row(id=label, source=source, excluded=str(error))
            continue
        tokens, batch = int(case["seq"]), int(case["batch"])
        work = Pass(tokens=1, past=tokens, batch=batch) if mode == "decode" else Pass(tokens=tokens, batch=batch)
        backward = mode == "forward_backward"
        predicted, hardware = (_passed(ledger, work, c, backward) for c in ("counter", "hardware"))
        per_parameter = 6 if backward else 2
        baseline = per_parameter * ledger.active_parameters() * work.tokens * batch
        yield exact(
            id=label,
            source=source,
            published=int(case["flops"]),
            predicted=predicted,
            baseline=baseline,
            hardware=hardware,
        )


def _passed(ledger: Ledger, work: Pass, convention: Convention, backward: bool) -> int:
    forward = forward_flops(ledger, work, convention)
    return int(forward + (backward_flops(ledger, work, convention) if backward else 0))


@cache
def _ledger(name: str, folder: Path) -> Ledger:
    for case in json_lines(folder, "zoo*.jsonl"):
        if case["name"] == name:
            return lower(read_config(case["config"], architecture=case.get("arch", "")))
    return find_model(name).ledger
