"""`deepwide design`: the best shape at a parameter budget, from deep to wide."""

from __future__ import annotations

from typing import Any

import click

from deepwide import units
from deepwide.answers.design import Design, NoDesign, design
from deepwide.cli.options import AcceleratorName, Number
from deepwide.cli.output import json_option, notes, print_json

COLUMNS = (
    "layers",
    "hidden",
    "heads (KV)",
    "ffn",
    "hidden/layers",
    "params",
    "loss (95%)",
    "Δ loss",
    "decode",
    "weights",
    "KV/token",
)


@click.command()
@click.option("--parameters", type=Number(), required=True, help="The budget: 10B, 350M.")
@click.option(
    "--on", required=True, type=AcceleratorName(), metavar="ACCELERATOR", help="The accelerator that will serve it."
)
@click.option("--devices", default=1, show_default=True, help="How many of them hold the model.")
@click.option("--tokens", type=Number(), default=None, help="Tokens to train on.  [default: 20 per parameter]")
@click.option("--context", type=Number(), default=4096, show_default=True, help="Tokens in view while decoding.")
@click.option("--vocab", type=Number(), default=128_256, show_default=True, help="Vocabulary size.")
@click.option("--tied", is_flag=True, help="Tie the output head to the embedding.")
@click.option("--tolerance", default=0.02, show_default=True, help="By which share a size may miss the budget.")
@click.option("--rows", default=9, show_default=True, type=click.IntRange(2, 50), help="Rows from deep to wide.")
@json_option()
def command(as_json: bool, **question: Any) -> None:
    """The best shape of a dense decoder at a parameter budget: loss against decode time, from deep to wide.

    \b
    deepwide design --parameters 10B --on h100
    """
    try:
        answer = design(**question)
    except NoDesign as error:
        if as_json:
            print_json({"recommended": None, "front": [], "reason": str(error)})
        click.echo(f"No: {error}", err=True)
        raise click.exceptions.Exit(1) from None
    if as_json:
        print_json(answer.to_dict())
        return
    _draw(answer)


def _draw(answer: Design) -> None:
    from deepwide.cli.tables import print_table

    best = answer.recommended
    click.echo(
        f"Trained on {units.count(answer.tokens)} tokens, decoding at batch 1 on {answer.on} "
        f"with {answer.context:,} tokens in view, bf16. From deep to wide:"
    )
    marked = next((i for i, row in enumerate(answer.table) if row["model"] == best["model"]), -1)
    print_table(COLUMNS, [_cells(row) for row in answer.table], marked=marked)
    click.echo(f"{click.style('Recommended', bold=True)}  {click.style(best['model'], fg='green')}")
    click.echo(f"Because      it is {answer.reason}.")
    click.echo(
        f"Looked at    {answer.evaluated:,} shapes, priced {answer.priced:,} near the budget, "
        f"in {answer.seconds:.2f} s. Binding: {', '.join(answer.binding)}.\n"
    )
    notes(answer.notes)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        str(row["layers"]),
        f"{row['hidden']:,}",
        f"{row['heads']} ({row['kv_heads']})",
        f"{row['ffn']:,}",
        f"{row['aspect']:.1f}",
        units.count(row["parameters"]),
        f"{row['loss']:.3f} ± {(row['high'] - row['low']) / 2:.3f}",
        row["verdict"],
        units.duration(row["decode_s"]),
        units.size(row["weight_bytes"], 1),
        units.size(row["kv_cache_bytes_per_token"], 0),
    )
