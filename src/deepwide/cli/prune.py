"""`deepwide prune`: a run with fewer layers, heads or channels, or with zeros, and what that costs and saves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from deepwide import units
from deepwide.cli.options import Number
from deepwide.cli.output import json_option, measures, notes, print_json, title
from deepwide.cli.quantize import ROOT

if TYPE_CHECKING:
    from deepwide.answers.prune import Pruned

INTERRUPTED = 130


@click.command()
@click.argument("run")
@click.option("--layers", type=int, help="Layers that are left.")
@click.option("--heads", type=int, help="Heads that are left in each layer.")
@click.option("--ffn", type=int, help="Channels that are left in each network.")
@click.option("--parameters", type=Number(), help="Parameters that are left at most, with --by.")
@click.option("--by", default="", help="depth, width or both.")
@click.option("--sparsity", type=float, help="The share of weights that become zero, in a model of the same size.")
@click.option("--recover", type=Number(), metavar="TOKENS", help="Train the smaller model further.")
@click.option("--data", default="", help="Text to cut and judge it by.  [default: that of the run]")
@click.option("--name", default="", help="Of the new run.")
@click.option("--root", default=None, help=ROOT)
@json_option()
def command(run: str, as_json: bool, **question: Any) -> None:
    """Cuts RUN (or a Hugging Face folder's model) down and measures loss, size and latency.

    \b
    deepwide prune llama-4x128-0001 --layers 3 --recover 200K
    deepwide prune llama-4x128-0001 --parameters 500K --by width
    deepwide prune llama-4x128-0001 --sparsity 0.5
    """
    from deepwide.answers.prune import prune
    from deepwide.cli.training import Screen

    screen = Screen()
    answer = prune(run, watch=screen, **question)
    screen.close()
    if as_json:
        print_json(answer.to_dict())
    else:
        _draw(answer)
    if any("interrupted" in note for note in answer.notes):
        raise click.exceptions.Exit(INTERRUPTED)


def _draw(answer: Pruned) -> None:
    before, after = answer.before, answer.after
    words = ", ".join(f"{name} {value:,}" for name, value in answer.changes.items())
    title(answer.name, f"{answer.start} with {words or f'{answer.sparsity:.0%} zeros'}")
    lines = [
        ("parameters", f"{answer.measured['parameters']:,}", f"{answer.predicted['parameters']:,} predicted"),
        ("loss", f"{after.loss:.4f}", f"{before.loss:.4f} before"),
        ("a prompt", units.duration(after.prefill_s), f"{units.duration(before.prefill_s)} before"),
    ]
    if after.decode_s is not None and before.decode_s is not None:
        lines.append(("a token", units.duration(after.decode_s), f"{units.duration(before.decode_s)} before"))
    if answer.recovered_loss is not None:
        lines.append(
            ("recovered", f"{answer.recovered_loss:.4f}", f"{answer.recovered}: {answer.recovered_tokens:,} tokens")
        )
    measures(lines, 12, 14)
    notes(answer.notes)
