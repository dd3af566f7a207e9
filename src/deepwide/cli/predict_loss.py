"""`deepwide predict loss`: the loss of a model after so many tokens, what would lower it, and what other laws say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from deepwide import units
from deepwide.answers.loss import Loss, predict_loss
from deepwide.answers.models import find_model
from deepwide.cli.options import ModelName, Number, reading_options
from deepwide.cli.output import json_option, measures, notes, print_json, title, wrapped
from deepwide.quality.budget import Point

NAME, VALUE = 18, 12  # widths of columns


@click.command()
@click.argument("model", type=ModelName())
@click.option("--tokens", required=True, type=Number(), help="Tokens trained on (1T), repeated ones each time.")
@click.option("--unique-tokens", type=Number(), default=None, help="How many of them differ.  [default: all]")
@click.option(
    "--law",
    default="shape",
    show_default=True,
    help="shape, a published one (besiroglu-2024, ...), or a file of your own.",
)
@click.option("--serve-tokens", type=Number(), default=None, help="Tokens to serve: asks for the cheapest size.")
@reading_options
@json_option()
def command(model: str, as_json: bool, like: str, instantiate: bool, online: bool, **question: Any) -> None:
    """How good will MODEL be? Its loss in nats per token, and why to believe it. Exit 1 where no law speaks of it.

    \b
    deepwide predict loss llama-3-8b --tokens 15T
    deepwide predict loss gpt2 --tokens 100B --unique-tokens 10B --law muennighoff-2023
    """
    answer = predict_loss(find_model(model, like, instantiate, online), **question)
    if as_json:
        print_json(answer.to_dict())
    else:
        _draw(answer)
    if answer.loss is None:
        raise click.exceptions.Exit(1)


def _draw(answer: Loss) -> None:
    title(answer.model, f"{units.count(answer.parameters)} parameters after {units.count(answer.tokens)} tokens")
    if answer.loss is not None:
        _headline(answer)
        measures(_measures(answer), NAME, VALUE)
        click.echo()
        _others(answer)
    for reason in answer.reasons:
        click.echo(f"  - {wrapped(reason, 4)}")
    if answer.loss is not None:
        click.echo(f"  - {wrapped(f'by {answer.law}: {answer.source}', 4)}\n")
    notes(wrapped(note, len("note: ")) for note in answer.notes)


def _headline(answer: Loss) -> None:
    span = (
        "no interval" if answer.low is None or answer.high is None else f"{answer.low:.3f} to {answer.high:.3f} (95%)"
    )
    colour = "yellow" if answer.extrapolates else "green"
    beyond = "   outside the fitted range" if answer.extrapolates else ""
    value = click.style(f"{answer.loss:.3f} {answer.units}", fg=colour, bold=True)
    click.echo(f"  {value}   {span}{click.style(beyond, fg='yellow')}\n")


def _measures(answer: Loss) -> Iterator[tuple[str, str, str]]:
    """Name, value and remark of what stands beside the loss."""
    repeated = "" if answer.fresh_tokens is None else f"repeated: worth {units.count(answer.fresh_tokens)} fresh tokens"
    yield "tokens/parameter", f"{answer.tokens_per_parameter:,.3g}", repeated
    if answer.aspect is not None and answer.tie_aspects is not None:
        low, high = answer.tie_aspects
        best = f"best {answer.best_aspect:.0f}, a tie from {low:.0f} to {high:.0f}"
        yield "hidden/layers", f"{answer.aspect:,.0f}", f"{best}; costs {answer.shape_effect:.3f} nats"
    if answer.doubled_tokens is not None and answer.doubled_body is not None:
        yield "twice the tokens", f"{answer.doubled_tokens:+.3f}", "nats"
        yield "twice the body", f"{answer.doubled_body:+.3f}", "nats, in the same shape"
    for name, point in (("same compute", answer.compute_optimal), ("same loss", answer.serving_optimal)):
        if point is not None:
            yield name, f"{units.count(point.body)} body", _point(answer, name, point)


def _point(answer: Loss, name: str, point: Point) -> str:
    where = f"{point.layers:.0f} layers of {point.hidden:.0f}, {units.count(point.tokens)} tokens"
    if name == "same compute":
        return f"{where}: {point.loss:.3f}, {point.loss - (answer.loss or 0):+.3f} nats"
    return f"{where}: the cheapest when {units.count(answer.serve_tokens or 0)} tokens are served"


def _others(answer: Loss) -> None:
    """The other laws: a level each of its own corpus, then the differences, which do compare."""
    from deepwide.cli.tables import print_table

    rows = [
        (
            each.law,
            f"{each.loss:.3f}" if each.units == "nats per token" else f"{each.loss:.3f}*",
            _signed(each.doubled_tokens),
            _signed(each.doubled_body),
            "" if each.best_body is None else units.count(each.best_body),
            "" if each.best_tokens is None else units.count(each.best_tokens),
            f"e^{each.outside:.1f}" if each.extrapolates else "",
        )
        for each in answer.other_laws
    ]
    print_table(("other laws", "loss", "2× tokens", "2× body", "best body", "best tokens", "outside"), rows)
    starred = sorted({each.units for each in answer.other_laws} - {"nats per token"})
    said = f"; * {', '.join(starred)}" if starred else ""
    levels = f"each loss is of its law's own corpus and tokenizer: only the differences compare{said}"
    click.secho(f"  {wrapped(levels, 2)}\n", dim=True)


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.3f}"
