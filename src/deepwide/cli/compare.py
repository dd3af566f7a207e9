"""`deepwide compare`: shapes side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from deepwide import units
from deepwide.answers.compare import Comparison, compare
from deepwide.answers.shape import Shape
from deepwide.cli.options import AcceleratorName, ModelName, Number, reading_options
from deepwide.cli.output import json_option, notes, print_json


@click.command()
@click.argument("models", nargs=-1, required=True, type=ModelName(), metavar="MODEL MODEL...")
@click.option(
    "--on", default="", type=AcceleratorName(), metavar="ACCELERATOR", help="Adds decode time on this accelerator."
)
@click.option("--tokens", type=Number(), default=None, help="Tokens to train on.  [default: 20 per parameter]")
@click.option("--context", type=Number(), default=4096, show_default=True, help="Tokens in view while decoding.")
@reading_options
@json_option()
def command(models: tuple[str, ...], as_json: bool, **question: Any) -> None:
    """Shapes side by side: sizes, predicted loss with its interval, decode time, memory; a verdict for each.

    \b
    deepwide compare llama-3-8b llama-3-8b,layers=64,hidden=2880 --on h100
    """
    answer = compare(models, **question)
    if as_json:
        print_json(answer.to_dict())
        return
    _draw(answer)


def _draw(answer: Comparison) -> None:
    from deepwide.cli.tables import print_table

    letters = {name: chr(ord("A") + i) for i, name in enumerate(dict.fromkeys(m.model for m in answer.models))}
    for name, letter in letters.items():
        click.echo(f"  {click.style(letter, bold=True)}  {name}")
    rows = [(name, *(cell(m) for m in answer.models)) for name, cell in ROWS.items()]
    heads = ("", *(letters[m.model] for m in answer.models))
    print_table(heads, [row for row in rows if any(value != "-" for value in row[1:])])
    where = f", decoding at batch 1 on {answer.on} with {answer.context:,} tokens in view" if answer.on else ""
    click.echo(f"Trained on {units.count(answer.tokens)} tokens{where}, bf16.\n")
    for v in answer.verdict:
        winner = f"{letters[v.winner]} against {letters[v.loser]}: " if v.winner and v.loser else ""
        click.echo(f"  {v.criterion:<12}{winner}{v.text}")
    click.echo()
    notes(_lettered(note, letters) for note in answer.notes)


def _lettered(note: str, letters: dict[str, str]) -> str:
    """A note with the long name of its model replaced by its letter."""
    name, sign, rest = note.partition(": ")
    return f"{letters[name]}{sign}{rest}" if name in letters else note


def _predicted(value: float | None, low: float | None, high: float | None) -> str:
    return "-" if value is None or low is None or high is None else f"{value:.3f} ± {(high - low) / 2:.3f}"


def _time(s: Shape) -> str:
    if s.decode_s is None or s.decode_low_s is None or s.decode_high_s is None:
        return "-"
    return f"{1e3 * s.decode_s:.2f} ms ({1e3 * s.decode_low_s:.2f} to {1e3 * s.decode_high_s:.2f})"


ROWS: dict[str, Callable[[Shape], str]] = {
    "parameters": lambda s: f"{s.parameters:,}",
    "layers": lambda s: str(s.layers),
    "hidden": lambda s: f"{s.hidden:,}",
    "heads (KV) of": lambda s: "-" if s.heads is None else f"{s.heads} ({s.kv_heads}) of {s.head_dim}",
    "ffn": lambda s: "-" if s.ffn is None else f"{s.ffn:,}",
    "hidden / layers": lambda s: f"{s.aspect:.1f}",
    "loss, nats (95%)": lambda s: _predicted(s.loss, s.low, s.high),
    "of it by shape": lambda s: "-" if s.shape_effect is None else f"{s.shape_effect:.3f}",
    "decode a token": _time,
    "weights": lambda s: units.size(s.weight_bytes),
    "KV cache a token": lambda s: units.size(s.kv_cache_bytes_per_token, 0),
}
