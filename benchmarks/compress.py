"""What compressing costs: INT8, INT4 and NF4 of trained runs, and depth against width at equal parameters.

    deepwide train --tokens 1M --threads 1 --lanes 1 --seed 0 --root runs --name base-0    (and so on for each seed)
    python benchmarks/compress.py --root runs base-0 base-1

Prints the tables of docs/lab/compress.md as Markdown. What it makes are runs in the same folder.
"""

from __future__ import annotations

import argparse

from deepwide.answers.finetune import finetune
from deepwide.answers.prune import Pruned, prune
from deepwide.answers.quantize import Quantized, quantize

WAYS: tuple[tuple[str, int | None], ...] = (("int8", None), ("int4", 32), ("int4", 64), ("int4", 128), ("nf4", 64))
LAYERS = (3, 2)  # depths whose parameter counts the width is cut to


def main() -> None:
    """Both tables, for each run that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--root", required=True)
    parser.add_argument("--recover", type=int, default=100_000)
    given = parser.parse_args()
    print("| run | way | loss | cost in nats | predicted bytes | bytes | prompt ms | token ms |")
    print("|---|---|---|---|---|---|---|---|")
    for run in given.runs:
        for to, group in WAYS:
            print(quantised_line(run, quantize(run, to=to, group=group, root=given.root)), flush=True)
    print("\n| run | cut | parameters | loss | cut | recovered | token ms before | token ms |")
    print("|---|---|---|---|---|---|---|---|")
    for run in given.runs:
        print(whole_line(run, given.root, given.recover), flush=True)
        for layers in LAYERS:
            deep = prune(run, layers=layers, recover=given.recover, root=given.root)
            print(pruned_line(run, deep), flush=True)
            most = deep.measured["parameters"]
            print(
                pruned_line(run, prune(run, parameters=most, by="width", recover=given.recover, root=given.root)),
                flush=True,
            )


def quantised_line(run: str, a: Quantized) -> str:
    """A row of the first table."""
    way = f"{a.to} {a.group or ''}".strip()
    times = f"{1e3 * a.after.prefill_s:.2f} | {1e3 * (a.after.decode_s or 0):.2f}"
    was = f"{1e3 * a.before.prefill_s:.2f} | {1e3 * (a.before.decode_s or 0):.2f}"
    first = (
        f"| {run} | fp32 | {a.before.loss:.4f} | | | {a.before.stored_bytes:,} | {was} |\n" if a.to == "int8" else ""
    )
    sizes = f"{a.predicted_bytes:,} | {a.tensor_bytes:,}"
    return f"{first}| {run} | {way} | {a.after.loss:.4f} | {a.cost:+.4f} | {sizes} | {times} |"


def whole_line(run: str, root: str, tokens: int) -> str:
    """The model that nothing is cut from, trained as much further as those are that recover."""
    done = finetune(run, tokens=tokens, root=root, sample=False)
    return f"| {run} | nothing | {done.parameters:,} | | | {done.validation_loss:.4f} | | |"


def pruned_line(run: str, a: Pruned) -> str:
    """A row of the second table."""
    cut = ", ".join(f"{name} {value}" for name, value in a.changes.items())
    losses = f"{a.before.loss:.4f} | {a.after.loss:.4f} | {a.recovered_loss:.4f}"
    times = f"{1e3 * (a.before.decode_s or 0):.2f} | {1e3 * (a.after.decode_s or 0):.2f}"
    return f"| {run} | {cut} | {a.measured['parameters']:,} | {losses} | {times} |"


if __name__ == "__main__":
    main()
