"""Memory: what PyTorch keeps for the backward pass, to the byte; what a serving process and a training run held.

Baselines: 34 bytes per token, layer and hidden unit for activations (Korthikanti et al. 2022 without scores);
2 bytes per parameter for a serving process; 16 bytes for each parameter that a training device is left with.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from accuracy_rows import Row, csv_rows
from training_peaks import CAPACITY_BYTES, Peak, peaks

from deepwide.answers.models import find_model
from deepwide.cost.activations.habits import NO_DROPOUT, dropout
from deepwide.cost.activations.saved import saved_activation_bytes
from deepwide.cost.eager import eager_bytes
from deepwide.cost.training.memory import peak_training_bytes, reserved_bytes
from deepwide.errors import BadInput
from deepwide.formats.huggingface import read_config

SERVED_SHARE = 0.012  # the interval of a serving process: nine in ten of its residuals are smaller
FORMATS = ("fp8", "bf16", "gptq-int8", "gptq-int4", "awq", "awq-int4")
HOPPER = ("H20", "H100", "H200")


def rows(folder: Path) -> Iterator[Row]:
    """Saved activations, then serving processes, then training runs."""
    configs: dict[str, Any] = {}
    for path in sorted(folder.glob("activations*.json")):
        configs.update(json.loads(path.read_text("utf-8")))
    for case in csv_rows(folder, "activations*.csv"):
        if case["row"] == "total":
            yield _saved(case, configs)
    for case in csv_rows(folder, "inference_cases*.csv"):
        if case["metric"] == "memory_gib":
            yield _served(case)
    for peak in peaks(csv_rows(folder, "training_cases*.csv")):
        yield _trained(peak)


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
    kind = case["precision"].lower()
    predicted = (
        eager_bytes(
            model.ledger,
            kind="awq" if kind.startswith("awq") else kind,
            read=int(float(case["input_len"] or 1)),
            written=int(float(case["output_len"] or 0)),
            batch=int(float(case["batch"] or 1)),
            peak="peak" in case["note"],
            chip="hopper" if case["gpu"].startswith(HOPPER) else "ampere",
        )
        / 2**30
    )
    return Row(
        id=label,
        source=source,
        published=float(case["value"]),
        predicted=predicted,
        low=predicted * (1 - SERVED_SHARE),
        high=predicted * (1 + SERVED_SHARE),
        baseline=2 * model.ledger.parameters() / 2**30,
    )


def _trained(peak: Peak) -> Row:
    source = f"{peak.source.split('/')[-1]}, training"
    if peak.run is None:
        return Row(id=peak.label, source=source, excluded=peak.excluded)
    run = peak.run
    memory = peak_training_bytes(run.architecture, run.job, run.plan, run.habits)
    predicted = float(reserved_bytes(memory, CAPACITY_BYTES, run.habits)) / 2**30
    left = run.plan.devices if run.plan.zero == 3 else run.plan.tp * run.plan.pp
    return Row(
        id=peak.label,
        source=source,
        published=peak.published_gib,
        predicted=predicted,
        low=predicted * (1 - run.habits.spread),
        high=predicted * (1 + run.habits.spread),
        baseline=16 * run.job.ledger.parameters() / left / 2**30,
    )


def _unusable(case: dict[str, str]) -> str:
    if case["tier"] != "M":
        return f"tier {case['tier']}: {case['note'] or 'not a plain memory measurement'}"
    if int(float(case["n_gpus"] or 1)) != 1:
        return "several devices, how the model was split is not stated"
    if case["precision"].lower() not in FORMATS:
        return f"precision {case['precision']} has no counterpart"
    return ""
