"""Which shape overfits more at equal parameters, a wide or a deep one? Both read a small text over and over.

    python benchmarks/overfitting.py --root DIR [--seeds 3] [--tokens 300000]

The text is two modules of Python's asyncio, which the default number of tokens goes through more than five times; held
out are its other modules. At the end both texts are read the same way, and the gap is the held-out loss less that of
the text trained on. What lies in DIR already is not trained again.
"""

from __future__ import annotations

import asyncio
import statistics
from functools import partial
from pathlib import Path
from typing import Any

from seeds import KERNELS, finished, interval, options

from deepwide.answers.models import find_model
from deepwide.answers.train import train
from deepwide.answers.trained import trained
from deepwide.lab.data import prepare, validation_batches
from deepwide.lab.training.objective import mean_loss, next_token

SHAPES = {  # equal but for the tables of tokens, within 1%; heads of 16 in both
    "wide": "like=llama,layers=2,hidden=176,heads=11,ffn=480",
    "deep": "like=llama,layers=16,hidden=64,heads=4,ffn=160",
}
SEEN = ("events", "streams")
CONTEXT, BATCH, LIMIT = 128, 8, 64  # batches of a judgement: 65,536 tokens at most
QUIET: dict[str, Any] = {"sample": False, "evaluate_every": 0}


def main() -> None:
    """Trains what is missing, and prints the table."""
    parser = options(__doc__)
    parser.add_argument("--tokens", type=int, default=300_000)
    asked = parser.parse_args()
    root, folders = asked.root, texts(Path(asked.root) / "asyncio")
    read = {side: prepare(str(folder), folder=Path(root) / ".data").train for side, folder in folders.items()}
    print(f"{asked.tokens / len(read['seen']):.1f} times over {len(read['seen']):,} tokens\n")
    print("| shape | seed | body parameters | training text | held out | gap |\n|---|---|---|---|---|---|")
    gaps: dict[str, list[float]] = {shape: [] for shape in SHAPES}
    for seed in range(asked.seeds):
        for shape, model in SHAPES.items():
            name = f"{shape}-{seed}"
            finished(root, name, partial(begin, root, model, folders["seen"], asked.tokens, seed))
            seen, held_out = (loss(root, name, read[side]) for side in ("seen", "held-out"))
            gaps[shape].append(held_out - seen)
            print(
                f"| {shape} | {seed} | {body(model):,} | {seen:.4f} | {held_out:.4f} | {held_out - seen:.4f} |",
                flush=True,
            )
    print(f"\n{', '.join(f'{shape} {statistics.mean(each):.4f}' for shape, each in gaps.items())}; wide less deep:")
    print(interval([a - b for a, b in zip(*gaps.values(), strict=True)]))


def texts(folder: Path) -> dict[str, Path]:
    """The modules that are trained on, and the others, each in a folder of their own."""
    for side in ("seen", "held-out"):
        (folder / side).mkdir(parents=True, exist_ok=True)
    for module in Path(asyncio.__file__).parent.glob("*.py"):
        side = "seen" if module.stem in SEEN else "held-out"
        (folder / side / module.name).write_bytes(module.read_bytes())
    return {side: folder / side for side in ("seen", "held-out")}


def begin(root: str, model: str, text: Path, tokens: int, seed: int, name: str) -> None:
    """One shape reads the text."""
    told: dict[str, Any] = {"data": str(text), "tokens": tokens, "batch": BATCH, "context": CONTEXT, "seed": seed}
    train(model, name=name, root=root, **told, **QUIET, **KERNELS)


def loss(root: str, name: str, tokens: Any) -> float:
    """The mean loss of a run's model over windows spread evenly over a text."""
    model = trained(name, root).model
    windows = validation_batches(tokens, context=CONTEXT, batch=BATCH, limit=LIMIT)
    return float(mean_loss(model, (next_token(rows) for rows in windows), next(model.parameters()).device))


def body(model: str) -> int:
    """Parameters but for the tables of tokens, which are wider in the wide one."""
    return int(find_model(f"{model},vocab=256").ledger.body_parameters())


if __name__ == "__main__":
    main()
