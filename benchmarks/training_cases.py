"""Published training steps as jobs and plans: how a row of training_cases*.csv is read, and why some cannot be.

A row names its source; the source says which engine ran and what network its machines had. What a row leaves out is
taken as its engine does it, as noted beside each rule, or the row is excluded with its reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from accuracy_rows import csv_rows

from deepwide.answers.models import Model, find_model
from deepwide.architecture.ledger import Ledger, lower
from deepwide.cost.training.plan import Job, Plan, Recompute
from deepwide.errors import BadInput
from deepwide.facts.accelerators import accelerator
from deepwide.facts.device import Accelerator
from deepwide.formats.huggingface import read_config

MICRO_BATCHES = (1, 2, 4, 8, 16)  # where a row states none, the fastest of these that divides the batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where a source measured: its engine, and its network where that is not the accelerator's usual one.

    engine            what the runtime is a version of: versions differ less than engines do
    recompute, zero   what its engine does where a row does not say
    """

    runtime: str
    engine: str = ""
    network_bytes_per_s: float | None = None
    recompute: Recompute = "none"
    zero: int = 0
    sequence_parallel: bool = False


# The first word that a source's name contains decides. Networks: vTrain four 200 Gb/s ports to eight devices and Selene
# eight (papers); Jean Zay four 100 Gb/s Omni-Path links, InternEvo four 100 Gb/s RoCE ports (notes of the rows).
SITES = {
    "vTrain": Site(runtime="megatron-deepspeed", network_bytes_per_s=12.5e9, recompute="full"),
    "llm-analysis": Site(
        runtime="megatron-deepspeed-2021", engine="megatron-deepspeed", network_bytes_per_s=25e9, recompute="full"
    ),
    "tr11": Site(runtime="megatron-deepspeed-jean-zay", network_bytes_per_s=6.25e9, recompute="full", zero=1),
    "gpt2.md": Site(runtime="megatron-deepspeed-jean-zay", network_bytes_per_s=12.5e9, recompute="full"),
    "llm-foundry": Site(runtime="llm-foundry", zero=3),
    "[25.": Site(runtime="megatron-bridge-25", engine="megatron-bridge", zero=1, sequence_parallel=True),
    "[26.02": Site(runtime="megatron-bridge-26.04", engine="megatron-bridge", zero=1, sequence_parallel=True),
    "[26.04": Site(runtime="megatron-bridge-26.04", engine="megatron-bridge", zero=1, sequence_parallel=True),
    "Megatron-Bridge": Site(runtime="megatron-bridge", zero=1, sequence_parallel=True),
    "MoE-ModelZoo": Site(runtime="megatron-bridge", zero=1, sequence_parallel=True),
    "NeMo": Site(runtime="nemo", zero=1, sequence_parallel=True),
    "model_table": Site(runtime="megatron-core", recompute="selective", zero=1, sequence_parallel=True),
    "cases_jan2021": Site(runtime="megatron-2021", engine="megatron", network_bytes_per_s=25e9, recompute="full"),
    "Megatron-LM": Site(runtime="megatron", network_bytes_per_s=25e9, recompute="full"),
    "calculon": Site(runtime="megatron", network_bytes_per_s=25e9),
    "Korthikanti": Site(runtime="megatron", network_bytes_per_s=25e9),
    "InternEvo": Site(runtime="internevo", network_bytes_per_s=6.25e9, zero=1),
    "torchtitan": Site(runtime="torchtitan", zero=3, sequence_parallel=True),
    "SimuMax": Site(runtime="megatron-core", zero=1, sequence_parallel=True),
    "JAX-Toolbox": Site(runtime="jax", zero=0),
}
DEVICES = {  # names that only these tables use; a 94 or 96 GB H100 with HBM2e is an SXM part for its matrix rates
    "A100": "a100-sxm-80gb",
    "H100-96GB-HBM2e-500W": "h100-sxm",
    "H100-94GB": "h100-sxm",
    "A800-80GB": "a800-sxm",
    "V100-32GB": "v100-sxm-32gb",
}
MODELS = {  # likewise; the rest is found by its own name
    "gpt oss 120b": "gpt-oss-120b",
    "deepseekv4 flash": "deepseek-v4-flash",
    "deepseekv3": "deepseek-v3",
    "deepseekv2": "deepseek-v2",
}
GATED = ("llama", "internlm", "qwen", "mistral", "tinyllama")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One measured step: the model (a ledger, or the sizes of a plain decoder), its job and plan, where it ran."""

    id: str
    source: str
    site: Site | None = None
    device: Accelerator | None = None
    format: str = "bf16"
    model: str = ""
    family: str = ""
    sizes: dict[str, int] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    micro_batch: int | None = None
    recompute: Recompute = "none"
    zero: int = 0
    shard: int | None = None
    sequence_parallel: bool = False
    trainable: str = "all"
    step_s: float = 0.0
    peak_bytes: float | None = None
    excluded: str = ""

    def ledger(self) -> Ledger:
        """The rows of its model."""
        return _named(self.model).ledger if self.model else _decoder(self.family, tuple(self.sizes.items()))

    def layers(self) -> int:
        """Layers of its main stack."""
        if not self.model:
            return self.sizes["layers"]
        architecture = _named(self.model).architecture
        assert architecture
        return int(architecture.main.layers)

    def job(self) -> Job:
        """What is trained."""
        return Job(
            ledger=self.ledger(),
            layers=self.layers(),
            sequence=self.numbers["sequence"],
            global_batch=self.numbers["global_batch"],
            trainable="lora" if self.trainable == "lora" else "all",
        )

    def plans(self) -> list[Plan]:
        """The plan as published; several where it left out the micro-batch."""
        each = self.numbers["global_batch"] // self.numbers["dp"]
        choices = [self.micro_batch] if self.micro_batch else [m for m in MICRO_BATCHES if m == 1 or each % m == 0]
        axes = {name: self.numbers[name] for name in ("dp", "tp", "pp", "cp", "ep", "interleave")}
        return [
            Plan(
                **axes,
                micro_batch=m,
                recompute=self.recompute,
                zero=self.zero,  # type: ignore[arg-type]  # read from a table of 0 to 3
                shard=self.shard,
                sequence_parallel=self.sequence_parallel,
            )
            for m in choices
        ]


def cases(folder: Path) -> Iterator[Case]:
    """Every row of the folder's tables that states a step time."""
    for row in csv_rows(folder, "training_cases*.csv"):
        yield case(row)


def case(row: dict[str, str]) -> Case:
    """One row; `excluded` says why where it cannot be predicted."""
    try:
        return _read(row)
    except (ValueError, ZeroDivisionError) as error:  # a cell that is no number, or 0 devices
        return Case(id=_label(row), source=row["source"].split("@")[0], excluded=f"a cell cannot be read: {error}")


def _read(row: dict[str, str]) -> Case:
    name, source = _label(row), row["source"].split("@")[0]
    site = next((s for word, s in SITES.items() if word in row["source"]), None)
    reason = _unusable(row, site)
    if reason or site is None:
        return Case(id=name, source=source, excluded=reason)
    try:
        device = accelerator(DEVICES.get(row["gpu"], row["gpu"]))
        described = _described(row, site)
    except BadInput as error:
        return Case(id=name, source=source, excluded=str(error))
    numbers = _numbers(row)
    if min([*numbers.values(), *described.get("sizes", {}).values()]) < 1 or not float(row["step_time_s"]) > 0:
        return Case(id=name, source=source, excluded="a size or a time is not positive")
    return Case(
        id=name,
        source=source,
        site=site,
        device=device,
        format=_format(row["precision"]),
        numbers=numbers,
        micro_batch=_micro_batch(row),
        recompute=_recompute(row, site),
        zero=_zero(row, site),
        shard=_shard(row),
        sequence_parallel=site.sequence_parallel or "sequence" in row["recompute"],
        trainable=row["objective"],
        step_s=float(row["step_time_s"]),
        peak_bytes=float(row["peak_mem_gib"]) * 2**30 if row["peak_mem_gib"] else None,
        **described,
    )


def _whole(text: str, otherwise: int = 0) -> int:
    """A whole number as these tables write them, "8" or "8.0"; `otherwise` where the cell is empty."""
    return int(float(text)) if text else otherwise


def _label(row: dict[str, str]) -> str:
    axes = " ".join(f"{k}{row[k]}" for k in ("tp", "pp", "dp", "cp", "ep") if row[k] not in ("", "1"))
    batch = f"batch {row['micro_batch'] or '?'}/{row['global_batch']} x {row['seq_len']}"
    shape = f"{row['n_layers']}x{row['hidden']}" if row["hidden"] else ""
    words = (row["model"], shape, f"{row['n_gpus']} x {row['gpu']}", axes, batch, row["recompute"], row["precision"])
    return " ".join(word for word in words if word)


def _unusable(row: dict[str, str], site: Site | None) -> str:
    if not row["step_time_s"]:
        return "no step time is stated"
    if site is None:
        return "its engine has no profile"
    if row["objective"] in ("pretrain-mlm", "pretrain-t5"):
        return "an encoder's or encoder-decoder's run without its layout"
    for name in ("n_gpus", "seq_len", "global_batch", "tp", "pp"):
        if not row[name]:
            return f"{name} is not stated"
    axes = [_whole(row[name], 1) for name in ("tp", "pp", "cp")]
    if _whole(row["n_gpus"]) % (axes[0] * axes[1] * axes[2]):
        return "its mesh does not multiply to its devices"
    if row["dp"] and _whole(row["dp"]) * axes[0] * axes[1] * axes[2] != _whole(row["n_gpus"]):
        return "its mesh does not multiply to its devices"
    return _contradiction(row)


def _contradiction(row: dict[str, str]) -> str:
    """A row whose own figures cannot all be true: its TFLOP/s give another batch than it states."""
    if "tr11" not in row["source"] or not row["tflops_per_gpu"]:
        return ""
    size = float(re.sub(r"[^0-9.]", "", row["model"])) * 1e9
    stated = 8 * size * float(row["global_batch"]) * float(row["seq_len"])  # recomputation counts there
    done = float(row["tflops_per_gpu"]) * 1e12 * float(row["step_time_s"]) * float(row["n_gpus"])
    if not 0.8 < done / stated < 1.25:
        return "its TFLOP/s, step time and batch contradict each other"
    return ""


def _described(row: dict[str, str], site: Site) -> dict[str, Any]:
    """The model: by its sizes where they make a plain decoder, else by its name."""
    words = re.sub(r"\s*\(.*\)", "", row["model"]).lower()
    layers = row["n_layers"] or _layers(row)
    if layers and row["hidden"] and (row["heads"] or site.runtime.endswith("jean-zay")):
        hidden = _whole(row["hidden"])
        heads = _whole(row["heads"], 64)  # what the 180B runs of that source used unless they say otherwise
        gated = any(word in words for word in GATED) or row["kv_heads"] not in ("", str(heads))
        sizes = {
            "layers": int(layers),
            "hidden": hidden,
            "heads": heads,
            "ffn": _whole(row["ffn"], 4 * hidden),
            "vocab": _whole(row["vocab"], 50257),
        }
        if gated:
            sizes["kv_heads"] = _whole(row["kv_heads"], heads)
        return {"family": "llama" if gated else "gpt2", "sizes": sizes}
    cut = re.fullmatch(r"(.*)-cut-to-(\d+)-layers", words)
    stem = cut[1] if cut else words
    name = MODELS.get(stem, stem.replace("_", "-").replace(" ", "-"))
    name = f"{name},layers={cut[2]}" if cut else name
    try:
        _named(name)
    except BadInput:
        raise BadInput("its shape is not stated, and the catalogue has no model of its name") from None
    return {"model": name}


def _layers(row: dict[str, str]) -> str:
    """Layers worked out from a size and a width: (P - vocab * hidden) / (12 hidden^2)."""
    size = re.fullmatch(r"gpt-([0-9.]+)B", row["model"])
    if not size or not row["hidden"] or not row["vocab"]:
        return ""
    hidden = _whole(row["hidden"])
    return str(round((float(size[1]) * 1e9 - _whole(row["vocab"]) * hidden) / (12 * hidden**2)))


@cache
def _named(name: str) -> Model:
    return find_model(name)


@cache
def _decoder(family: str, sizes: tuple[tuple[str, int], ...]) -> Ledger:
    return lower(read_config({"model_type": family}, changes=dict(sizes), where="row"))


def _numbers(row: dict[str, str]) -> dict[str, int]:
    axes = {name: _whole(row[name], 1) for name in ("tp", "pp", "cp", "ep")}
    dp = _whole(row["n_gpus"]) // (axes["tp"] * axes["pp"] * axes["cp"])
    interleave = _whole(row["vp"]) or (2 if "Interleaved" in row["note"] else 1)
    whole = {"sequence": _whole(row["seq_len"]), "global_batch": _whole(row["global_batch"])}
    return {**axes, "dp": dp, "interleave": interleave, **whole}


def _micro_batch(row: dict[str, str]) -> int | None:
    """torchtitan's pipelines cut the stated local batch into single sequences."""
    if "torchtitan" in row["source"] and _whole(row["pp"]) > 1:
        return 1
    stated = _whole(row["micro_batch"])
    return stated if stated > 0 else None


def _recompute(row: dict[str, str], site: Site) -> Recompute:
    if not row["recompute"]:
        return site.recompute
    return "full" if row["recompute"].startswith("full") else "selective" if "selective" in row["recompute"] else "none"


def _zero(row: dict[str, str], site: Site) -> int:
    said = row["zero/fsdp"].lower()
    if "fsdp" in said or "full_shard" in said:
        return 3
    if "shard_grad" in said:
        return 2
    return 1 if "zero1" in said else 0 if said in ("none", "zero0") else site.zero


def _shard(row: dict[str, str]) -> int | None:
    """How many devices share one copy, where fewer than all: "zero1(size=8)"."""
    size = re.search(r"size=(\d+)", row["zero/fsdp"])
    return int(size[1]) if size else None


def _format(precision: str) -> str:
    said = precision.lower()
    if "fp4" in said:
        return "nvfp4"
    if "rowwise" in said:
        return "fp8-rowwise"
    if "mx" in said:
        return "mxfp8"
    return "fp8" if "fp8" in said or "float8" in said else "bf16"
