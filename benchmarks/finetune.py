"""What fine-tuning gains on another text, by all weights and by adapters, and what each takes; prints a table.

    python benchmarks/finetune.py --root DIR [--start teacher] [--data FOLDER] [--tokens 60000]

The start is a run in DIR (`benchmarks/distill.py` makes one called teacher). Without --data the text is the English
reference prose of Python's own help, written into DIR. What lies in DIR already is not trained again.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from deepwide.answers.finetune import finetune
from deepwide.answers.runs import run
from deepwide.lab.store import open_run, run_names

KERNELS: dict[str, Any] = {"dtype": "fp32", "matmul": "default", "attention": "bmm", "threads": 1, "lanes": 1}
RATES = {None: (3e-4, 1e-3, 3e-3), 8: (1e-3, 4e-3, 1.6e-2)}
COLUMNS = ("trainable_parameters", "weights_bytes", "gradients_bytes", "optimizer_bytes", "activations_bytes")


def main() -> None:
    """Trains what is missing, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", required=True)
    parser.add_argument("--start", default="teacher")
    parser.add_argument("--data", default="")
    parser.add_argument("--tokens", type=int, default=60_000)
    asked = parser.parse_args()
    data = asked.data or str(prose(Path(asked.root) / "prose"))
    print("| trained | rate | loss before | after | tokens/s |\n|---|---|---|---|---|")
    last = {}
    for rank, rates in RATES.items():
        for rate in rates:
            name = f"{'full' if rank is None else f'lora{rank}'}-{rate:g}"
            if name not in run_names(asked.root):
                told = {"lora": rank, "learning_rate": rate, "tokens": asked.tokens, "name": name}
                finetune(asked.start, data=data, root=asked.root, sample=False, **told, **KERNELS)
            print(row(asked.root, name, rate), flush=True)
            last[rank] = open_run(asked.root, name).manifest
    print("\n| one step | " + " | ".join(COLUMNS) + " | flops_per_token |\n|---|" + "---|" * 6)
    for rank, manifest in last.items():
        for kind in ("predicted", "measured"):
            numbers = " | ".join(f"{manifest[kind][column]:,.0f}" for column in (*COLUMNS, "flops_per_token"))
            print(f"| {'all weights' if rank is None else f'rank {rank}'}, {kind} | {numbers} |")


def row(root: str, name: str, rate: float) -> str:
    """One run: its losses in nats a byte."""
    detail = run(name, root)
    losses = [row["validation_loss"] for row in detail.metrics if "validation_loss" in row]
    speed = open_run(root, name).manifest["measured"]["tokens_per_s"]
    return f"| {name.split('-')[0]} | {rate:g} | {losses[0]:.4f} | {losses[-1]:.4f} | {speed:,.0f} |"


def prose(folder: Path) -> Path:
    """Python's help as text files: 79 topics, 0.46 MB."""
    from pydoc_data.topics import topics

    folder.mkdir(parents=True, exist_ok=True)
    for name, text in topics.items():
        (folder / f"{name.replace('/', '_')}.txt").write_text(text)
    return folder


if __name__ == "__main__":
    main()
