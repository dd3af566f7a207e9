"""`deepwide quantize`: a run's matrices in 8 or 4 bits, and what that costs and saves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from deepwide import units
from deepwide.cli.output import json_option, measures, notes, print_json, title

if TYPE_CHECKING:
    from deepwide.answers.quantize import Quantized

ROOT = "The folder of runs.  [default: runs, or DEEPWIDE_RUNS]"


@click.command()
@click.argument("run")
@click.option("--to", required=True, metavar="WAY", help="int8, int4, or nf4 (by bitsandbytes).")
@click.option("--group", type=int, help="Weights that share a scale: 32, 64 or 128.  [default: the largest that fits]")
@click.option("--keep", default="head,embedding", help="What stays in 16 bits: head, embedding, down, ..., or none.")
@click.option("--data", default="", help="Text to judge it by.  [default: that of the run]")
@click.option("--name", default="", help="Of the new run.")
@click.option("--root", default=None, help=ROOT)
@json_option()
def command(run: str, as_json: bool, **question: Any) -> None:
    """Packs the matrices of RUN (or of a Hugging Face folder) and measures loss, bytes and latency.

    \b
    deepwide quantize llama-4x128-0001 --to int8
    deepwide quantize llama-4x128-0001 --to int4 --group 32
    """
    from deepwide.answers.quantize import quantize

    answer = quantize(run, **question)
    if as_json:
        print_json(answer.to_dict())
    else:
        _draw(answer)


def _draw(answer: Quantized) -> None:
    before, after = answer.before, answer.after
    shared = f", {answer.group} weights to a scale" if answer.group else ", a scale for each output"
    title(answer.name, f"{answer.start} in {answer.to}{shared}")
    size = f"{answer.tensor_bytes:,} bytes, {answer.predicted_bytes:,} predicted; {answer.header_bytes:,} of header"
    lines = [
        ("loss", f"{after.loss:.4f}", f"{before.loss:.4f} before: {answer.cost:+.4f} nats"),
        ("on disk", f"{answer.tensor_bytes / before.stored_bytes:.0%}", size),
        ("a prompt", units.duration(after.prefill_s), f"{units.duration(before.prefill_s)} before"),
    ]
    if after.decode_s is not None and before.decode_s is not None:
        lines.append(("a token", units.duration(after.decode_s), f"{units.duration(before.decode_s)} before"))
    measures(lines, 12, 14)
    notes(answer.notes)
