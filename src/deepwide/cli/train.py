"""`deepwide train`: builds the model that is counted, trains it on text, and says whether the prediction held."""

from __future__ import annotations

import sys
from textwrap import indent
from typing import TYPE_CHECKING, Any

import click

from deepwide import units
from deepwide.answers.train import Moment, Started, Training, resume, train
from deepwide.answers.train.setting import DEFAULT_MODEL, DEFAULT_TOKENS
from deepwide.cli.options import ModelName, Number
from deepwide.cli.output import json_option, measures, notes, print_json, title

if TYPE_CHECKING:
    from collections.abc import Callable

INTERRUPTED = 130
QUIET_S = 5.0  # between two lines of progress where nobody looks at a terminal


@click.command()
@click.argument("model", type=ModelName(), default=DEFAULT_MODEL, metavar="[MODEL]")
@click.option("--data", default="", help="Text files, a folder, copy or reverse; default: Python's standard library.")
@click.option("--tokenizer", default="bytes", show_default=True, help="bytes, bpe:4096, or a tokenizer.json.")
@click.option("--tokens", type=Number(), help=f"Tokens to train on.  [default: {units.count(DEFAULT_TOKENS)}]")
@click.option("--steps", type=Number(), help="Or steps to take.")
@click.option("--batch", type=int, help="Sequences of a step.  [default: 16]")
@click.option("--context", type=Number(), help="Tokens of a sequence.  [default: 128]")
@click.option("--accumulate", type=int, help="Pieces that a batch is cut into, one after the other.")
@click.option("--objective", help="next, masked or sequence; default: what the model's stacks are for.")
@click.option("--learning-rate", type=float, help="At the reference shape; default: the optimiser's own.")
@click.option("--optimizer", help="muon or adamw.  [default: muon]")
@click.option("--schedule", help="cosine or wsd.  [default: cosine]")
@click.option("--weight-decay", type=float, help="Of matrices.  [default: 0.1]")
@click.option("--clip", type=float, help="The largest gradient norm.  [default: 1]")
@click.option("--seed", type=int, help="Of the first weights and of the order of the data.  [default: 0]")
@click.option("--evaluate-every", type=int, help="Steps between validations.  [default: 250]")
@click.option("--checkpoint-every-s", type=float, help="Seconds between checkpoints.  [default: 60]")
@click.option("--dtype", help="fp32 or bf16; this and the next five: the quickest in a short trial.")
@click.option("--matmul", help="default or onednn.")
@click.option("--attention", help="sdpa or bmm.")
@click.option("--threads", type=int, help="That share an operation.")
@click.option("--lanes", type=int, help="Parts of a batch computed side by side, each by so many threads.")
@click.option(
    "--compile/--no-compile", "compile_", default=None, help="Compile the loss: pays for runs of many minutes."
)
@click.option("--layout", default="", help="With torchrun: how processes share the model, e.g. fsdp=2, tp=2, pp=2.")
@click.option("--name", default="", help="Of the run; default: one that is free.")
@click.option("--root", default=None, help="The folder of runs.  [default: runs, or DEEPWIDE_RUNS]")
@click.option("--resume", "resumed", default="", metavar="RUN", help="Go on with this run, where it stopped.")
@json_option()
@click.pass_context
def command(
    ctx: click.Context, /, as_json: bool, resumed: str, root: str | None, compile_: bool | None, **question: Any
) -> None:
    """Trains MODEL, and measures what was predicted. Ctrl-C saves; --resume goes on to the same losses.

    \b
    deepwide train
    deepwide train like=gpt2,layers=6,hidden=192,heads=6,context=128 --data notes/ --tokens 5M
    deepwide train like=bert,layers=2,hidden=128,heads=4 --tokens 1M
    deepwide train like=t5,layers=2,hidden=128,heads=4 --data reverse --steps 1500
    """
    screen = Screen()
    if resumed:
        _refuse_beside_resume(ctx)
        answer = resume(resumed, root=root, layout=question["layout"], watch=screen)
    else:
        given = {name: value for name, value in {**question, "compile": compile_}.items() if value is not None}
        answer = train(root=root, watch=screen, **given)
    screen.close()
    if not answer.folder:  # one of several processes: the first of them speaks
        return
    if as_json:
        print_json(answer.to_dict())
    else:
        _draw(answer)
    if answer.status != "done":
        raise click.exceptions.Exit(INTERRUPTED)


def _refuse_beside_resume(ctx: click.Context) -> None:
    """A resumed run goes on as it began; options that would change it are refused."""
    from deepwide.errors import BadInput

    kept = ("resumed", "root", "as_json", "layout")
    for name in ctx.params:
        if name not in kept and ctx.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE:
            raise BadInput(f"{name.rstrip('_')} cannot change where a run is resumed: leave it out, or begin a new run")


class Screen:
    """What is seen while a model trains: how it began, then one line that moves, or a line every few seconds."""

    def __init__(self) -> None:
        self.moving = sys.stderr.isatty()
        self.shown_s = 0.0

    def __call__(self, moment: Started | Moment) -> None:
        """Shows the start, or a row if the last one is old enough."""
        if isinstance(moment, Started):
            self._begin(moment)
        elif "validation_loss" in moment.row:
            self._line(f"  validation loss {moment.row['validation_loss']:.4f} after {moment.row['tokens']:,} tokens")
        elif moment.row["seconds"] - self.shown_s >= (0.2 if self.moving else QUIET_S):
            self.shown_s = moment.row["seconds"]
            self._line(_progress(moment), stays=not self.moving)

    def close(self) -> None:
        """Leaves the terminal on a fresh line."""
        if self.moving:
            click.echo("\r\x1b[K", nl=False, err=True)

    def _begin(self, started: Started) -> None:
        recipe, hoped, kernels = started.setting.recipe, started.expected, started.kernels
        ways = f"{kernels.dtype}, {kernels.attention} attention, {kernels.lanes} × {kernels.threads} threads"
        predicted = f"{hoped.tokens_per_s:,.0f} tokens/s, {units.duration(hoped.seconds)}"
        click.echo(f"{started.name}  {started.parameters:,} parameters, {recipe.total_steps:,} steps", err=True)
        click.echo(f"  {ways}; predicted {predicted}", err=True)

    def _line(self, text: str, stays: bool = True) -> None:
        start = "\r\x1b[K" if self.moving else ""
        click.echo(f"{start}{text}", nl=stays, err=True)


def _progress(moment: Moment) -> str:
    row, recipe = moment.row, moment.started.setting.recipe
    left = f" · {units.duration(moment.left_s)} left (predicted {units.duration(moment.predicted_left_s)})"
    speed = f"{row['tokens_per_s']:,.0f} tokens/s · MFU {row['mfu']:.0%}"
    return f"  step {row['step']:,} of {recipe.total_steps:,} · loss {row['loss']:.3f} · {speed}{left}"


def _draw(answer: Training) -> None:
    title(answer.name, f"{answer.model} · {answer.parameters:,} parameters · {answer.tokens:,} tokens")
    lines = []
    if answer.validation_loss is not None:
        per_byte = f"{answer.nats_per_byte:.4f} nats a byte" if answer.nats_per_byte is not None else ""
        lines.append(("validation loss", f"{answer.validation_loss:.4f}", per_byte))
    for name, label, show in SHOWN:
        said = answer.predicted[name]
        expected = f"predicted {show(said['value'])}, between {show(said['low'])} and {show(said['high'])}"
        lines.append((label, show(answer.measured[name]), expected))
    measures(lines, 18, 14)
    if answer.sample:
        click.echo("\n  it writes:\n")
        click.echo(indent(answer.sample.rstrip(), "    "))
    if answer.status != "done":
        click.echo(f"\n  interrupted after {answer.step:,} steps: deepwide train --resume {answer.name}")
    notes(answer.notes)


def _share(value: float) -> str:
    return f"{value:.0%}"


def _speed(value: float) -> str:
    return f"{value:,.0f}"


SHOWN: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("tokens_per_s", "tokens/s", _speed),
    ("seconds", "time", units.duration),
    ("mfu", "share of peak", _share),
)
