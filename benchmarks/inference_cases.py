"""Measured inference as questions: which model, on which accelerator, driven by which runtime, and what was measured.

Both the accuracy report and the fit read the tables through this file, so that they see the same rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from accuracy_rows import csv_rows
from inference_names import device_of, format_of, model_of

from deepwide.answers.models import Model
from deepwide.cost.memory import weights_bytes
from deepwide.cost.precision import GgufMix, Precision
from deepwide.errors import BadInput
from deepwide.facts.device import Accelerator

# (words in the framework's name, or in the source's where it says more) -> the runtime whose constants apply.
RUNTIMES = (
    ("llama.cpp metal", "llama.cpp-metal"),
    ("llama.cpp rocm", "llama.cpp-rocm"),
    ("llama.cpp vulkan", "llama.cpp-vulkan"),
    ("llama.cpp cuda", "llama.cpp"),
    ("llama.cpp", "llama.cpp-2024"),
    ("autoawq+ipex", "ipex"),
    ("autoawq", "autoawq"),
    ("tinychat", "tinychat"),
    ("hf transformers", "huggingface"),
    ("vllm 0.4", "vllm-0.4"),
    ("vllm 0.6", "vllm-0.6"),
    ("vllm nightly 2024", "vllm-0.6"),
    ("vllm", "vllm"),
    ("sglang 0.4", "sglang-0.4"),
    ("sglang", "sglang"),
    ("tensorrt-llm 0.", "tensorrt-llm-0.5"),
    ("tensorrt-llm", "tensorrt-llm"),
    ("trtllm", "tensorrt-llm"),
    ("nim", "tensorrt-llm"),
    ("lmdeploy", "lmdeploy"),
    ("exllamav2", "exllamav2"),
    ("fastertransformer", "fastertransformer"),
    ("mlc-llm", "mlc-llm"),
    ("gpt-fast", "gpt-fast"),
)
BY_SOURCE = {  # tables that name a framework without its version, and the version of their time
    ("argonne-lcf", "vllm"): "vllm-2024",
    ("argonne-lcf", "tensorrt-llm"): "tensorrt-llm-2024",
    ("mlc-ai", "vllm"): "vllm-2023",
    ("mlc-ai", "llama.cpp-2024"): "llama.cpp-2023",
}
# Runtimes that put layers, not slices of them, on several devices.
LAYER_BY_LAYER = ("llama.cpp", "huggingface", "autoawq", "exllamav2")
APPLE = {"llama.cpp-2024": "llama.cpp-metal", "llama.cpp": "llama.cpp-metal"}
WIDE = ("fp32", "tf32", "bf16", "fp16")  # rates of products that are not quantised


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One measurement as a question; `excluded` says why none could be made of it.

    what        decode, prompt, generation (both), serving
    published   the figure as the table has it: `figure` times the seconds of that, or over them where it is a `rate`
    """

    id: str
    source: str
    framework: str
    tier: str
    what: str = ""
    published: float = 0.0
    figure: float = 1.0
    rate: bool = False
    runtime: str = ""
    model: Model | None = None
    on: Accelerator | None = None
    weights: str = "bf16"
    how: Precision | GgufMix | None = None
    cache: str = "bf16"
    batch: int = 1
    input: int = 1
    output: int = 1
    tp: int = 1
    pp: int = 1
    encoder: bool = False
    excluded: str = ""

    @property
    def seconds(self) -> float:
        """The seconds that were measured."""
        return self.figure / self.published if self.rate else self.published / self.figure


def cases(folder: Path) -> Iterator[Case]:
    """Every row of the tables that is a time."""
    rows = [row for row in csv_rows(folder, "inference_cases*.csv") if row["metric"] != "memory_gib"]
    found = [_case(row) for row in rows]
    doubtful = dict.fromkeys(_contradicting(rows), "serving set-up unknown: one set-up is given twice, times far apart")
    too_fast = {_series(row)[:-2] for row, c in zip(rows, found, strict=True) if c.encoder and _beats_peak(c)}
    unpadded = "set-up unknown: parts of the series beat the peak rate, so padding was left out of it"
    for row, c in zip(rows, found, strict=True):
        reason = doubtful.get(_series(row), unpadded if _series(row)[:-2] in too_fast else "")
        yield replace(c, excluded=reason) if reason and not c.excluded else c


def _beats_peak(c: Case) -> bool:
    """Whether a prompt was read in less time than its products alone take at the accelerator's own rate."""
    if c.excluded or c.model is None or c.on is None:
        return False
    flops = 2 * float(c.model.ledger.body_parameters()) * c.batch * c.input
    return flops / max(rate for name, rate in c.on.peak_flops_per_s.items() if name in WIDE) > c.seconds * c.tp


def _series(row: dict[str, str]) -> tuple[str, ...]:
    return tuple(row[k] for k in ("source", "framework", "model", "precision", "gpu", "n_gpus", "metric"))


def _contradicting(rows: list[dict[str, str]]) -> set[tuple[str, ...]]:
    """Series of serving rows that state one and the same set-up with values more than twice apart."""
    values: dict[tuple[str, ...], list[float]] = {}
    for row in rows:
        if row["tier"] == "D" and row["metric"] == "tpot_ms":
            same = (*_series(row), row["batch"], row["input_len"], row["output_len"])
            values.setdefault(same, []).append(float(row["value"]))
    return {key[:-3] for key, found in values.items() if max(found) > 2 * min(found)}


def _case(row: dict[str, str]) -> Case:
    label = " ".join(row[k] for k in ("model", "precision", "gpu")) + (
        f" x{row['n_gpus']} batch {row['batch']} {row['input_len']}+{row['output_len']} {row['phase']} {row['metric']}"
    )
    blank = Case(id=label, source=row["source"], framework=row["framework"], tier=row["tier"])
    if reason := _unusable(row):
        return replace(blank, excluded=reason)
    try:
        return _read(row, blank)
    except BadInput as error:
        return replace(blank, excluded=str(error))


def _unusable(row: dict[str, str]) -> str:
    if row["tier"] == "X":
        return f"tier X: {row['note'].split('.')[0]}"
    if row["metric"] == "ttft_ms" and row["tier"] == "D":
        return "time to first token under load is mostly waiting in a queue, which is not predicted"
    if row["phase"] == "serving" and not row["batch"]:
        return "serving set-up unknown: how many sequences ran at once is not stated"
    return ""


def _read(row: dict[str, str], blank: Case) -> Case:
    batch, into, out = (_whole(row[name]) for name in ("batch", "input_len", "output_len"))
    devices = _whole(row["n_gpus"])
    device = device_of(row["gpu"])
    weights, how = format_of(row["precision"])
    what, figure, rate = _measured(row, batch, into, out)
    runtime, model = runtime_of(row, device), model_of(row["model"])
    sequential = runtime.startswith(LAYER_BY_LAYER)
    tp, pp = _cut(row["note"], devices, sequential)
    if sequential and devices > 1 and what == "prompt":
        return replace(blank, excluded="layer split: whether its stages read a prompt side by side is not stated")
    steps = out if what == "generation" else 1
    published = float(row["value"])
    seconds = figure / published if rate else published / figure
    if what != "prompt" and seconds * devices < steps * _fastest_s(model, how, device):
        return replace(blank, excluded="not a time: shorter than reading the weights once per token takes at peak rate")
    return replace(
        blank,
        what=what,
        published=published,
        figure=figure,
        rate=rate,
        runtime=runtime,
        model=model,
        on=device,
        weights=weights,
        how=how,
        cache="fp8" if "fp8 kv" in row["precision"] else "bf16",
        batch=batch,
        input=max(into, 1),
        output=max(out, 1),
        tp=tp,
        pp=pp,
        encoder=row["phase"] == "encoder forward",
    )


def _cut(note: str, devices: int, sequential: bool) -> tuple[int, int]:
    """Tensor and pipeline parallelism: as the note states them, else the habit of the runtime."""
    if stated := re.search(r"TP(\d+) PP(\d+)", note):
        return int(stated[1]), int(stated[2])
    return (1, devices) if sequential else (devices, 1)


def _fastest_s(model: Model, how: Precision | GgufMix, device: Accelerator) -> float:
    """The least time of a token: the weights it uses, read once at the accelerator's own rate."""
    share = model.ledger.active_parameters() / model.ledger.parameters()
    embedding = sum(w.parameters for w in model.ledger.weights if w.part == "embedding") * 2
    return (float(weights_bytes(model.ledger, how)) - embedding) * share / device.bandwidth_bytes_per_s


def _whole(text: str) -> int:
    return int(float(text or 1))


def _measured(row: dict[str, str], batch: int, into: int, out: int) -> tuple[str, float, bool]:
    """What was measured: a step, a prompt, or the whole of a generation; the figure's factor, and if it is a rate."""
    metric, phase = row["metric"], row["phase"]
    rate = metric.endswith(("per_s", "per_s_per_gpu"))
    if not rate and not metric.endswith(("_s", "_ms")):
        raise BadInput(f"metric={metric!r} is neither a time nor a rate")
    under_load = row["tier"] == "D" or phase == "serving"
    what = _what(metric, phase, under_load)
    if not rate:
        return what, 1e3 if metric.endswith("_ms") else 1.0, False
    devices = _whole(row["n_gpus"]) if metric.endswith("per_gpu") else 1
    tokens = {"prompt": into, "generation": out + (into if metric.startswith("total") else 0)}
    return what, batch * tokens.get(what, 1) / devices, True


def _what(metric: str, phase: str, under_load: bool) -> str:
    if metric.startswith(("ttft", "prefill")) or phase in ("prefill", "encoder forward"):
        return "prompt"
    if metric.startswith("tpot") or phase == "serving":
        return "serving" if under_load else "decode"
    return "decode" if phase == "decode" else "generation"


def _source(text: str) -> str:
    return text.split("/")[0].split("@")[0]


def runtime_of(row: dict[str, str], device: Accelerator) -> str:
    """The runtime whose constants apply to a row."""
    words = row["framework"].lower()
    found = next((name for part, name in RUNTIMES if part in words), "")
    if not found:
        raise BadInput(f"framework={row['framework']!r} has no runtime of ours")
    found = BY_SOURCE.get((_source(row["source"]), found), found)
    if row["precision"].endswith("GEMV"):
        found += "-gemv"
    if (
        "(PVC)" in row["gpu"]
    ):  # another set-up than the rows without: its times hold some 17 s that no token accounts for
        found += "-xpu"
    return APPLE.get(found, found) if device.vendor == "Apple" else found
