"""Is deepwide's count exact for every language model that the installed transformers can build?

Each causal, masked and sequence-to-sequence class is built from its default configuration on the meta device, where a
tensor has a shape and no memory, so a model of any size is built in milliseconds. What it holds is the truth, one JSON
line per class; the check reads the same configuration with deepwide and compares totals to the last parameter.

    python benchmarks/transformers_truth.py --save truth.jsonl           record, going on where an earlier run stopped
    python benchmarks/transformers_truth.py --check truth.jsonl          compare what is recorded
    python benchmarks/transformers_truth.py                              both, nothing kept
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import multiprocessing
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

Row = dict[str, Any]

TASKS = {
    "causal": "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
    "masked": "MODEL_FOR_MASKED_LM_MAPPING_NAMES",
    "seq2seq": "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES",
}


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Entry:
    """One line of transformers' lists of models; one class may serve several tasks and model types."""

    model_type: str
    task: str
    arch: str

    def __str__(self) -> str:
        return f"{self.arch} ({self.model_type}, {self.task})"


def head_dim(default: Any) -> dict[str, Any]:
    """The width of a head where the class leaves it open and its layers need it."""
    return {"head_dim": default.hidden_size // default.num_attention_heads}


def indexer(default: Any) -> dict[str, Any]:
    """An indexer for Qwen4-Exp, whose layers need one and whose defaults name none; the sizes are ours."""
    sizes = {"n_heads": 4, "kv_heads": 1, "head_dim": default.head_dim, "budget": 2048, "compress_ratio": 4}
    return {f"indexer_{name}": size for name, size in sizes.items()}


# What to pass to the configuration class, seen its defaults, where these cannot be built: the smallest change found.
# Gemma4AssistantForCausalLM has none: its configuration insists that every layer reuses keys and values, and its layers
# refuse exactly that. Gemma3nForConditionalGeneration needs no change, but the package timm.
TWEAKS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "CohereCompassForCausalLM": lambda c: {
        "rope_parameters": {
            kind: {"rope_type": "default", "rope_theta": 1e4} for kind in set(c.layer_types) | {"sliding_attention"}
        }
    },
    "DbrxForCausalLM": lambda c: {"attn_config": {"rope_theta": 5e5, "kv_n_heads": 8, "clip_qkv": 8}},
    "Dots1ForCausalLM": lambda c: {"n_routed_experts": 128, "n_shared_experts": 2, "num_experts_per_tok": 6},
    "EsmForMaskedLM": lambda c: {"vocab_size": 33, "mask_token_id": 32, "pad_token_id": 1},
    "Gemma4UnifiedAssistantForCausalLM": lambda c: {
        "text_config": {"num_kv_shared_layers": c.text_config.num_hidden_layers - 6}
    },
    "HunYuanDenseV1ForCausalLM": head_dim,
    "HunYuanMoEV1ForCausalLM": head_dim,
    "Lfm2MoeForCausalLM": lambda c: {
        "layer_types": ["full_attention" if i % 4 == 2 else "conv" for i in range(c.num_hidden_layers)]
    },
    "MinistralForCausalLM": head_dim,
    "NemotronForCausalLM": lambda c: {"num_key_value_heads": c.num_attention_heads},
    "Qwen4ExpForCausalLM": indexer,
    "ReformerModelWithLMHead": lambda c: {"is_decoder": True},
}


def entries() -> list[Entry]:
    """Every (model type, task, class) that transformers lists."""
    listed = importlib.import_module("transformers.models.auto.modeling_auto")
    return [
        Entry(model_type=model_type, task=task, arch=arch)
        for task, mapping in TASKS.items()
        for model_type, classes in getattr(listed, mapping).items()
        for arch in ((classes,) if isinstance(classes, str) else classes)
    ]


def default_config(model_class: Any, model_type: str) -> tuple[Any, str | None]:
    """The configuration to build the class from, and how it differs from the model type's default.

    A text-only class of a multimodal model type asks for one part of the whole configuration; a class that serves a
    model type of another name (InternLM3 is built as Llama) takes it as it is.
    """
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    config, notes = CONFIG_MAPPING[model_type](), []
    if not isinstance(config, model_class.config_class):
        parts = {name: getattr(config, name) for name in config.sub_configs}
        fitting = [name for name, part in parts.items() if isinstance(part, model_class.config_class)]
        config, notes = (parts[fitting[0]], fitting[:1]) if fitting else (config, [])
    if model_class.__name__ in TWEAKS:
        changes = TWEAKS[model_class.__name__](config)
        config = type(config)(**changes)
        notes += [f"{field}={value}" for field, value in changes.items()]
    return config, ", ".join(notes) or None


def tensors(named: Iterable[tuple[str, Any]]) -> list[list[Any]]:
    """[name with the layer index starred, shape, how many], in order of first appearance."""
    seen = Counter((re.sub(r"\.\d+(?=\.)", ".*", name), tuple(tensor.shape)) for name, tensor in named)
    return [[name, list(shape), count] for (name, shape), count in seen.items()]


def built(entry: Entry) -> Row:
    """What the class holds when built from its default configuration."""
    import torch
    import transformers

    model_class = getattr(transformers, entry.arch)
    config, tweak = default_config(model_class, entry.model_type)
    recorded = config.to_dict()  # taken first: some classes write into their configuration while they are built
    with torch.device("meta"):
        model = model_class(config)
    unique = list(model.named_parameters())
    return {
        "tweak": tweak,
        "config": recorded,
        "params_total": sum(p.numel() for _, p in unique),
        "n_tied": len(list(model.named_parameters(remove_duplicate=False))) - len(unique),
        "buffers": sum(b.numel() for b in model.buffers()),
        "tensors": tensors(unique),
    }


def build_into(entry: Entry, sink: Connection) -> None:
    """Build one class in this process and send its row; a failure is a row that says why."""
    started = time.perf_counter()
    try:
        row = {"ok": True, **built(entry)}
    except Exception as reason:  # any failure of a foreign class is a finding, not an end
        row = {"ok": False, "error": f"{type(reason).__name__}: {str(reason).strip()[:400]}"}
    row["build_s"] = round(time.perf_counter() - started, 3)
    sink.send(json.dumps(row, default=str))
    sink.close()


def rows_in(path: Path) -> list[Row]:
    """The recorded rows; a last line cut short by an interruption is left out."""
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]]


def start(entry: Entry) -> tuple[BaseProcess, Connection]:
    """Begin building one class in a fork of this process: a hang or a crash leaves the others alone."""
    fork = multiprocessing.get_context("fork")
    source, sink = fork.Pipe(duplex=False)
    process = fork.Process(target=build_into, args=(entry, sink), daemon=True)
    process.start()
    sink.close()  # so that the end of the child is the end of the pipe
    return process, source


def outcome(process: BaseProcess, source: Connection, limit_s: float) -> Row:
    """The row a child sent, or why there is none."""
    try:
        row: Row = json.loads(source.recv()) if source.poll() else {"ok": False, "error": f"over {limit_s:g} s"}
    except EOFError:
        process.join()
        row = {"ok": False, "error": f"ended with exit code {process.exitcode} before it answered"}
    process.kill()
    process.join()
    source.close()
    return row


def build_all(todo: list[Entry], workers: int, limit_s: float) -> Iterator[Row]:
    """Rows in the order in which they are finished."""
    waiting = list(reversed(todo))
    running: dict[Connection, tuple[Entry, BaseProcess, float]] = {}
    while waiting or running:
        while waiting and len(running) < workers:
            entry = waiting.pop()
            process, source = start(entry)
            running[source] = (entry, process, time.monotonic() + limit_s)
        first_s = min(deadline for _, _, deadline in running.values()) - time.monotonic()
        ready = wait(list(running), timeout=max(first_s, 0))
        late = [source for source, (_, _, deadline) in running.items() if deadline <= time.monotonic()]
        for source in [s for s in running if s in ready or s in late]:
            entry, process, _ = running.pop(source)
            named = {"arch": entry.arch, "model_type": entry.model_type, "task": entry.task}
            yield named | outcome(process, source, limit_s)


def preload() -> None:
    """Import what every child needs once, before the first fork."""
    import torch

    torch.set_num_threads(1)
    for name in ("modeling_utils", "generation", "modeling_layers", "masking_utils", "models.auto.modeling_auto"):
        importlib.import_module(f"transformers.{name}")
    logging.disable(logging.WARNING)  # defaults of special tokens are no matter here


def entry_of(row: Row) -> Entry:
    """Which line of the lists a row answers."""
    return Entry(model_type=row["model_type"], task=row["task"], arch=row["arch"])


def record(path: Path, only: set[str], workers: int, limit_s: float) -> None:
    """Build what is not recorded yet; what failed before is tried again."""
    rows = {entry_of(row): row for row in rows_in(path)} if path.exists() else {}
    done = {entry for entry, row in rows.items() if row["ok"]}
    todo = [e for e in entries() if (not only or e.model_type in only) and e not in done]
    path.write_text("".join(json.dumps(row) + "\n" for entry, row in rows.items() if entry not in todo))
    preload()
    with path.open("a") as out:
        for n, row in enumerate(build_all(todo, workers, limit_s), start=1):
            out.write(json.dumps(row) + "\n")
            out.flush()
            said = f"{row['params_total']:,}" if row["ok"] else f"not built: {row['error']}"
            print(f"{n}/{len(todo)} {entry_of(row)}: {said}", flush=True)


def verdict(row: Row) -> str:
    """What deepwide's count of a built row is: exact, or how it is not."""
    from deepwide.architecture.ledger import lower
    from deepwide.errors import BadInput
    from deepwide.formats.huggingface import read_config

    try:
        architecture = read_config(row["config"], architecture=row["arch"], task=row["task"])
        expected, counted = row["params_total"], int(lower(architecture).parameters())
    except BadInput as refusal:
        return f"refused: {refusal}"
    except Exception as defect:  # a crash in one reader must not hide the other rows
        return f"crashed: {type(defect).__name__}: {defect}"
    if counted == expected:
        return "exact"
    return f"expected {expected:,}, got {counted:,}, difference {counted - expected:+,}"


def exact_share(rows: list[Row]) -> float:
    """The share of built classes whose total is exact; what is not exact is printed by name."""
    verdicts = []
    for row in sorted(rows, key=entry_of):
        said = verdict(row) if row["ok"] else f"no truth: {row['error'].splitlines()[0]}"
        if row["ok"]:
            verdicts.append(said)
        if said != "exact":
            print(f"{entry_of(row)}: {said}")
    print(
        f"exact: {(exact := verdicts.count('exact'))} of {len(verdicts)} built, {len(rows) - len(verdicts)} not built"
    )
    return exact / max(len(verdicts), 1)


def arguments() -> argparse.Namespace:
    """What was asked for on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--save", type=Path, metavar="FILE.jsonl", help="record what transformers builds")
    parser.add_argument("--check", type=Path, metavar="FILE.jsonl", help="compare what is recorded with deepwide")
    parser.add_argument("--workers", type=int, default=1, help="classes built at once")
    parser.add_argument("--only", default="", metavar="TYPE,...", help="these model types alone")
    parser.add_argument("--limit-s", type=float, default=180.0, help="seconds before a class is given up")
    parser.add_argument("--at-least", type=float, default=0.97, help="share that must be exact, 0 to 1")
    wanted = parser.parse_args()
    if wanted.check and not wanted.save and not wanted.check.exists():
        parser.error(f"--check {wanted.check}: no such file; record one with --save {wanted.check}")
    return wanted


def main() -> int:
    """Record, check, or both; the exit code says whether enough is exact."""
    wanted = arguments()
    only = {name for name in wanted.only.split(",") if name}
    with tempfile.TemporaryDirectory() as folder:
        save, check = wanted.save, wanted.check
        if save is None and check is None:
            save = check = Path(folder) / "truth.jsonl"
        if save is not None:
            record(save, only, wanted.workers, wanted.limit_s)
        if check is None:
            return 0
        rows = [row for row in rows_in(check) if not only or row["model_type"] in only]
    return 0 if exact_share(rows) >= wanted.at_least else 1


if __name__ == "__main__":
    sys.exit(main())
