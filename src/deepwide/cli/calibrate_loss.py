"""`deepwide calibrate loss`: a law of the loss fitted to a user's own training runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from deepwide import units
from deepwide.cli.output import json_option, kept_in, measures, notes, print_json, title

if TYPE_CHECKING:
    from deepwide.answers.calibrate.loss import Freedom, LossCalibration, RunLoss
    from deepwide.quality.held_out import Errors

MOST_LINES = 24  # runs that are shown; --json has them all
LAWS = ("shape", "chinchilla", "chinchilla-body", "coupled", "gemstones", "inverse-depth", "aspect-ratio")


@click.command()
@click.argument("runs", metavar="RUNS.csv")
@click.option("--law", type=click.Choice(LAWS), default="shape", show_default=True, help="The form that is fitted.")
@click.option(
    "--refit",
    type=click.Choice(["auto", "level", "all"]),
    default="auto",
    show_default=True,
    help="Of the shape law: its level alone, which three runs tell, or every constant; auto: by the number of runs.",
)
@click.option("--out", "--write", default=None, metavar="FILE.toml", help="Where to keep the law.  [default: nowhere]")
@json_option()
def loss(runs: str, law: str, refit: Freedom, out: str | None, as_json: bool) -> None:
    """Fits a law of the loss to measured training runs.

    \b
    RUNS.csv has a line for each run, under a header with these names:
      model,tokens,loss                   MODEL as everywhere: llama-3-8b, layers=12,hidden=768
      layers,hidden,vocab,tokens,loss     the same in columns; heads, kv_heads, ffn, body as far as known
    The headings of published tables (d_model, n_layers, params_nonemb, ...) do as well. Where rows are checkpoints of
    one run, a column `run` says of which. Losses are in nats per token, all by one recipe.

    \b
    deepwide calibrate loss runs.csv --out mine.toml
    deepwide predict loss llama-3-8b --tokens 1T --law mine.toml
    """
    from deepwide.answers.calibrate.loss import calibrate_loss

    answer = calibrate_loss(runs, law=law, refit=refit, out=out)
    if as_json:
        print_json(answer.to_dict())
    else:
        _draw(answer)


def _draw(answer: LossCalibration) -> None:
    title(f"{answer.law} law", f"its {answer.fitted} fitted to {answer.rows} losses of {answer.shapes} shapes")
    _runs(answer)
    measures(_measures(answer), 28, 16)
    for member, constants in answer.constants.items():
        click.echo(f"\n  {member}")
        for name, number in constants.items():
            click.echo(f"    {name:<22}{number:>12.5g}")
    click.echo()
    kept_in(answer.out, "--law")
    click.echo()
    notes(answer.notes)


def _measures(answer: LossCalibration) -> Iterator[tuple[str, str, str]]:
    if answer.before:
        yield "error before", _nats(answer.before), "of the shipped constants: of another corpus and tokenizer"
    yield "error after", _nats(answer.own), "on the runs that the fit has seen"
    if answer.left_out:
        off = answer.left_out
        yield (
            "shapes left out",
            _nats(off),
            f"each shape predicted by a fit without it; nine of ten within {off.p90:.4f}",
        )
        if off.order is not None:
            yield "order", f"{off.order:.0%} of {off.pairs}", "pairs of like size, shape left out"
    yield "range", f"± {2 * answer.held_out_sd:.4f} nats", "19 of 20 further runs by this recipe, within their sizes"


def _nats(errors: Errors) -> str:
    return f"{errors.mean:.4f} nats"


def _runs(answer: LossCalibration) -> None:
    """Each run: its loss, and what is predicted of it before, after, and without its shape."""
    from deepwide.cli.tables import print_table

    rows = [
        (point.where.rpartition(":")[2], point.run, units.count(point.tokens), f"{point.measured:.4f}", *_said(point))
        for point in answer.points[:MOST_LINES]
    ]
    print_table(("line", "run", "tokens", "measured", "before", "after", "left out"), rows, words=("run",))
    if len(answer.points) > MOST_LINES:
        click.echo(f"  and {len(answer.points) - MOST_LINES} more; --json has them all\n")


def _said(point: RunLoss) -> Iterator[str]:
    for value in (point.before, point.after, point.left_out):
        yield "" if value is None else f"{value:.4f} ({value - point.measured:+.4f})"
