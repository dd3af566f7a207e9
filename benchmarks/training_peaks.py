"""Published peaks of training runs as plans: which model, how it was laid out, and by which engine's habits.

What a row leaves open is filled from its source, and said here; a row that cannot be a peak of one plan is excluded
with the reason.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from deepwide.answers.models import find_model
from deepwide.architecture.ledger import lower
from deepwide.architecture.model import Architecture
from deepwide.cost.training.memory_habits import MemoryHabits, memory_habits
from deepwide.cost.training.plan import Job, Plan

# The tables of February 20th and before state no layers: hidden "was fixed" at 14400, or stands in the table, and
# TFLOP/s * seconds * GPUs / (8 * 2048 * global batch) is 12 hidden^2 layers to within half a layer.
BIGSCIENCE_SHAPES = {
    "gpt-18B": (10, 14336),  # the one row of this size without layers: its "Layers" column says 10
    "gpt-20B": (8, 14400),
    "gpt-183B": (72, 14400),
    "gpt-187B": (80, 13824),
    "gpt-191B": (77, 14400),
    "gpt-194B": (78, 14400),
    "gpt-195B": (77, 14400),
    "gpt-196B": (84, 13824),
    "gpt-200B": (80, 14400),
    "gpt-205B": (81, 14400),
}
# Every heading after "Rebalancing layers" of that page has the fp32 sums and counts embedding and head as layers.
BIGSCIENCE_BF16 = "02-28"
INTERNLM = {  # its configs/7B_sft.py and configs/_base_/models/internlm_20B.py; sequences of 2048, 4 micro-batches
    "internlm-7b": "like=llama,layers=32,hidden=4096,heads=32,ffn=11008,vocab=103168",
    "internlm-20b": "like=llama,layers=60,hidden=5120,heads=40,ffn=13824,vocab=103168",
}
INTERNLM_SEQUENCE, INTERNLM_MICRO_BATCHES = 2048, 4
CATALOGUE = {
    "llama3-8b": "llama-3-8b",
    "llama3-70b": "llama-3-70b",
    "llama3-405b": "llama-3.1-405b",
    "deepseekv2": "deepseek-v2",
    "deepseekv3": "deepseek-v3",
}
CAPACITY_BYTES = 81251 * 2**20  # what nvidia-smi shows as the memory of an 80 GB A100
CONTRADICTION = 1.1  # the same settings published with values further apart than this tell nothing
OUTCOMES = ("_file", "source", "global_batch", "peak_mem_gib", "step_time_s", "tokens_per_s_per_gpu", "tflops_per_gpu")
OUTCOMES += ("mfu", "hfu", "derived")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What ran: a model, how it was laid out, and by which engine."""

    architecture: Architecture
    job: Job
    plan: Plan
    habits: MemoryHabits


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """One published peak: its run, or why there is none."""

    label: str
    source: str
    published_gib: float
    run: Run | None = None
    excluded: str = ""


def peaks(rows: Iterable[dict[str, str]]) -> Iterator[Peak]:
    """Every row that states a peak."""
    stated = [row for row in rows if row["peak_mem_gib"]]
    published = defaultdict(list)
    for row in stated:
        published[_settings(row)].append(float(row["peak_mem_gib"]))
    for row in stated:
        values = published[_settings(row)]
        source = row["source"].split("@")[0]
        peak = Peak(label=_label(row), source=source, published_gib=float(row["peak_mem_gib"]))
        if max(values) > CONTRADICTION * min(values):
            said = " and ".join(f"{value:g}" for value in sorted(set(values)))
            yield replace(peak, excluded=f"the same settings are published with {said}")
            continue
        found = _run(row)
        yield replace(peak, run=found) if found else replace(peak, excluded="no rule says how its engine keeps memory")


def _settings(row: dict[str, str]) -> tuple[str, ...]:
    """All that decides a peak: what is measured does not, nor does the batch that a full pipeline works off."""
    return tuple(value for name, value in row.items() if name not in OUTCOMES)


def _label(row: dict[str, str]) -> str:
    axes = " ".join(f"{name}{row[name]}" for name in ("tp", "pp", "dp", "cp", "ep") if row[name] not in ("", "1"))
    batch = f"{row['micro_batch']} x {row['seq_len'] or '?'}"
    shape = f"{row['n_layers']}x{row['hidden']}" if row["hidden"] else ""
    words = (row["model"], shape, f"{row['n_gpus']} {row['gpu']}", axes, row["zero/fsdp"], batch, row["recompute"])
    return " ".join(word for word in words if word)


def _run(row: dict[str, str]) -> Run | None:
    rules = {"SimuMax": _simumax, "tr11": _bigscience, "torchtitan": _torchtitan, "InternEvo": _internevo}
    rule = next((rule for word, rule in rules.items() if word in row["source"]), None)
    return rule(row) if rule else None


def _laid_out(row: dict[str, str], architecture: Architecture, habits: str, **changes: Any) -> Run:
    """The plan as the row states it, with what its source adds."""
    axes = {name: int(row[name] or 1) for name in ("tp", "pp", "cp", "ep", "micro_batch")}
    axes["dp"] = int(row["dp"] or int(row["n_gpus"]) // (axes["tp"] * axes["pp"] * axes["cp"]))
    plan = Plan(**{**axes, "recompute": row["recompute"], **changes})
    job = Job(
        ledger=lower(architecture),
        layers=architecture.main.layers,
        sequence=int(row["seq_len"] or INTERNLM_SEQUENCE),
        global_batch=int(row["global_batch"] or INTERNLM_MICRO_BATCHES * plan.dp * plan.micro_batch),
    )
    return Run(architecture=architecture, job=job, plan=plan, habits=memory_habits(habits))


def _simumax(row: dict[str, str]) -> Run:
    """Megatron-LM with sequence parallelism; models cut to so many layers, of which one dense in DeepSeek's."""
    name, _, cut = row["model"].partition("-cut-to-")
    architecture = _cut(CATALOGUE[name], int(cut.removesuffix("-layers")))
    return _laid_out(row, architecture, "megatron", zero=1, sequence_parallel=True)


def _bigscience(row: dict[str, str]) -> Run:
    layers, hidden = BIGSCIENCE_SHAPES.get(row["model"], (0, 0))
    if row["n_layers"]:
        layers, hidden = int(row["n_layers"]), int(row["hidden"])
    heads = int(row["heads"] or 64)
    shorthand = f"like=gpt2,layers={layers},hidden={hidden},heads={heads},ffn={4 * hidden},vocab=250880"
    late = BIGSCIENCE_BF16 in row["note"]
    habits = "megatron-deepspeed-bf16" if late else "megatron-deepspeed"
    return _laid_out(row, _named(shorthand), habits, zero=int(row["zero/fsdp"][-1]))


def _torchtitan(row: dict[str, str]) -> Run:
    """FSDP2; a pipeline parts the local batch into as many micro-batches as it has stages."""
    habits = "fsdp-eager-loss" if "_202412_" in row["source"] else "fsdp"
    return _laid_out(
        row,
        _named(CATALOGUE[row["model"]]),
        habits,
        zero=3,
        sequence_parallel=True,
        micro_batch=int(row["micro_batch"]) // int(row["pp"] or 1),
        interleave=2 if "Interleaved" in row["note"] else 1,
    )


def _internevo(row: dict[str, str]) -> Run:
    fsdp = row["zero/fsdp"] == "fsdp"
    return _laid_out(
        row, _named(INTERNLM[row["model"]]), "internevo-fsdp" if fsdp else "internevo", zero=3 if fsdp else 1
    )


@cache
def _named(name: str) -> Architecture:
    return find_model(name).described()


@cache
def _cut(name: str, layers: int) -> Architecture:
    """The first layers of a model; of dense ones before a mixture of experts, one."""
    architecture = _named(name)
    *before, last = architecture.main.runs
    kept = (*(replace(run, layers=1) for run in before), replace(last, layers=layers - len(before)))
    main = replace(architecture.main, runs=kept, order=())
    return replace(architecture, stacks=(*architecture.stacks[:-1], main))
