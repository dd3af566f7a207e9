"""Memory: what PyTorch keeps for the backward pass, to the byte, and what a serving process held at its peak.

Baselines: 34 bytes per token, layer and hidden unit for activations (Korthikanti et al. 2022 without scores);
2 bytes per parameter for a serving process.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from accuracy_rows import Row, csv_rows

from deepwide.answers.memory import Load, memory_parts
from deepwide.answers.models import find_model
from deepwide.cost.activations.habits import NO_DROPOUT, dropout
from deepwide.cost.activations.saved import saved_activation_bytes
from deepwide.errors import BadInput
from deepwide.formats.huggingface import read_config

SERVED_SHARE = 0.1  # the interval of a serving process: allocator and framework differ by this much
PRECISIONS = {
    "fp8": "fp8",
    "bf16": "bf16",
    "fp16": "fp16",
    "gptq-int8": "int8",
    "gptq-int4": "int4",
    "awq-int4": "int4",
    "awq": "int4",
}


def rows(folder: Path) -> Iterator[Row]:
    """Saved activations, then serving processes."""
    configs: dict[str, Any] = {}
    for path in sorted(folder.glob("activations*.json")):
        configs.update(json.loads(path.read_text("utf-8")))
    for case in csv_rows(folder, "activations*.csv"):
        if case["row"] == "total":
            yield _saved(case, configs)
    for case in csv_rows(folder, "inference_cases*.csv"):
        if case["metric"] == "memory_gib":
            yield _served(case)


def _saved(case: dict[str, str], configs: dict[str, Any]) -> Row:
    settings = ("B", "S", "attn", "ckpt", "dtype", "dropout")
    label = " ".join([case["model"], *(f"{s}={case[s]}" for s in settings)])
    source = f"{case['_file']}, saved for backward"
    if case["model"] not in configs:
        return Row(id=label, source=source, excluded="its config is not in the folder")
    architecture = read_config(configs[case["model"]])
    batch, tokens = int(case["B"]), int(case["S"])
    predicted = saved_activation_bytes(
        architecture,
        batch=batch,
        tokens=tokens,
        attention=case["attn"],
        dtype={"float32": "fp32", "bfloat16": "bf16"}[case["dtype"]],
        recompute="full" if case["ckpt"] == "1" else "none",
        dropout=NO_DROPOUT if case["dropout"] == "0" else dropout(configs[case["model"]]),
    )
    main = architecture.main
    return Row(
        id=label,
        source=source,
        published=int(case["bytes"]),
        predicted=predicted,
        low=0.99 * predicted,
        high=1.01 * predicted,
        baseline=34 * batch * tokens * main.hidden * main.layers,
    )


def _served(case: dict[str, str]) -> Row:
    label = f"{case['model']} {case['precision']} {case['input_len'] or 0}+{case['output_len'] or 0} {case['gpu']}"
    source = f"{case['source'].split()[0].split('@')[0]}, {case['framework'].split()[0]}, serving"
    reason = _unusable(case)
    if reason:
        return Row(id=label, source=source, excluded=reason)
    try:
        model = find_model(case["model"])
    except BadInput as error:
        return Row(id=label, source=source, excluded=str(error))
    context = int(float(case["input_len"] or 1)) + int(float(case["output_len"] or 0))
    load = Load(
        weights=PRECISIONS[case["precision"].lower()],
        context=context,
        batch=int(float(case["batch"] or 1)),
        chunk=_read_at_once(case),
        fused=False,
    )
    parts = memory_parts(model, load)
    predicted = (sum(parts.values()) - parts["overhead"]) / 2**30  # the allocator does not see the context
    return Row(
        id=label,
        source=source,
        published=float(case["value"]),
        predicted=predicted,
        low=predicted * (1 - SERVED_SHARE),
        high=predicted * (1 + SERVED_SHARE),
        baseline=2 * model.ledger.parameters() / 2**30,
    )


def _read_at_once(case: dict[str, str]) -> int:
    """A stated peak was reached while the whole prompt was read; otherwise what is held while generating is meant."""
    return max(1, int(float(case["input_len"] or 1))) if "peak" in case["note"] else 1


def _unusable(case: dict[str, str]) -> str:
    if case["tier"] != "M":
        return f"tier {case['tier']}: {case['note'] or 'not a plain memory measurement'}"
    if int(float(case["n_gpus"] or 1)) != 1:
        return "several devices, how the model was split is not stated"
    if case["precision"].lower() not in PRECISIONS:
        return f"precision {case['precision']} has no counterpart"
    return ""
