"""What all commands that train have in common: their options, the moving line, the closing table, and --resume."""

from __future__ import annotations

import sys
from collections.abc import Callable
from textwrap import indent
from typing import Any

import click

from deepwide import units
from deepwide.answers.train import Moment, Started, Training, resume
from deepwide.answers.train.setting import DEFAULT_TOKENS
from deepwide.cli.options import Number
from deepwide.cli.output import json_option, measures, notes, print_json, title
from deepwide.errors import BadInput

INTERRUPTED = 130
QUIET_S = 5.0  # between two lines of progress where nobody looks at a terminal
KEPT = ("resumed", "root", "as_json", "layout")  # what may be given beside --resume

RECIPE = (
    click.option("--data", default="", help="Text files, a folder, copy or reverse; default: Python's library."),
    click.option("--tokens", type=Number(), help=f"Tokens to train on.  [default: {units.count(DEFAULT_TOKENS)}]"),
    click.option("--steps", type=Number(), help="Or steps to take."),
    click.option("--batch", type=int, help="Sequences of a step.  [default: 16]"),
    click.option("--context", type=Number(), help="Tokens of a sequence.  [default: 128]"),
    click.option("--accumulate", type=int, help="Pieces that a batch is cut into, one after the other."),
    click.option("--objective", help="next, masked or sequence; default: what the model's stacks are for."),
    click.option("--learning-rate", type=float, help="At the reference shape; default: the optimiser's own."),
    click.option("--optimizer", help="muon or adamw.  [default: muon; adamw to finetune]"),
    click.option("--schedule", help="cosine or wsd.  [default: cosine]"),
    click.option("--weight-decay", type=float, help="Of matrices.  [default: 0.1]"),
    click.option("--clip", type=float, help="The largest gradient norm.  [default: 1]"),
    click.option("--seed", type=int, help="Of the first weights and of the order of the data.  [default: 0]"),
    click.option("--evaluate-every", type=int, help="Steps between validations.  [default: 250]"),
    click.option("--checkpoint-every-s", type=float, help="Seconds between checkpoints.  [default: 60]"),
)
KERNELS = (
    click.option("--dtype", help="fp32 or bf16; this and the next four: the quickest in a short trial."),
    click.option("--matmul", help="default or onednn."),
    click.option("--attention", help="sdpa or bmm."),
    click.option("--threads", type=int, help="That share an operation."),
    click.option("--lanes", type=int, help="Parts of a batch computed side by side, each by so many threads."),
)
RUN = (
    click.option("--name", default="", help="Of the run; default: one that is free."),
    click.option("--root", default=None, help="The folder of runs.  [default: runs, or DEEPWIDE_RUNS]"),
    click.option("--resume", "resumed", default="", metavar="RUN", help="Go on with this run, where it stopped."),
    json_option(),
)


def training_options(*own: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The options of a command that trains; its `own` ones stand between those of the kernels and of the run."""

    def decorated(command: Any) -> Any:
        for option in reversed((*RECIPE, *KERNELS, *own, *RUN)):
            command = option(command)
        return command

    return decorated


def carry_out(
    ctx: click.Context,
    ask: Callable[..., Training],
    *,
    resumed: str,
    as_json: bool,
    root: str | None,
    question: dict[str, Any],
) -> None:
    """Asks, or goes on with a run; shows how far it is, and what came of it. Exit 130 where it was interrupted."""
    screen = Screen()
    if resumed:
        _refuse_beside_resume(ctx)
        answer = resume(resumed, root=root, layout=question.get("layout", ""), watch=screen)
    else:
        given = {name: value for name, value in question.items() if value is not None}
        answer = ask(root=root, watch=screen, **given)
    screen.close()
    if not answer.folder:  # one of several processes: the first of them speaks
        return
    if as_json:
        print_json(answer.to_dict())
    else:
        _draw(answer, ctx.command.name or "train")
    if answer.status != "done":
        raise click.exceptions.Exit(INTERRUPTED)


def needed(resumed: str, **given: str | None) -> None:
    """Refuses a question without what it is about; a run that is resumed knows it."""
    for name, value in given.items():
        if not value and not resumed:
            raise BadInput(f"{name} is missing; give a run's name or a model's folder, or --resume RUN")


def _refuse_beside_resume(ctx: click.Context) -> None:
    """A resumed run goes on as it began; options that would change it are refused."""
    for name in ctx.params:
        if name not in KEPT and ctx.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE:
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
        trained = started.predicted.get("trainable_parameters", started.parameters)
        some = f", {trained:,} trained" if trained != started.parameters else ""
        ways = f"{kernels.dtype}, {kernels.attention} attention, {kernels.lanes} × {kernels.threads} threads"
        predicted = f"{hoped.tokens_per_s:,.0f} tokens/s, {units.duration(hoped.seconds)}"
        click.echo(f"{started.name}  {started.parameters:,} parameters{some}, {recipe.total_steps:,} steps", err=True)
        click.echo(f"  {ways}; predicted {predicted}", err=True)

    def _line(self, text: str, stays: bool = True) -> None:
        start = "\r\x1b[K" if self.moving else ""
        click.echo(f"{start}{text}", nl=stays, err=True)


def _progress(moment: Moment) -> str:
    row, recipe = moment.row, moment.started.setting.recipe
    left = f" · {units.duration(moment.left_s)} left (predicted {units.duration(moment.predicted_left_s)})"
    speed = f"{row['tokens_per_s']:,.0f} tokens/s · MFU {row['mfu']:.0%}"
    return f"  step {row['step']:,} of {recipe.total_steps:,} · loss {row['loss']:.3f} · {speed}{left}"


def _draw(answer: Training, command: str) -> None:
    title(answer.name, f"{answer.model} · {answer.parameters:,} parameters · {answer.tokens:,} tokens")
    lines = []
    if answer.validation_loss is not None:
        per_byte = f"{answer.nats_per_byte:.4f} nats a byte" if answer.nats_per_byte is not None else ""
        before = answer.start_validation_loss
        began = f"{before:.4f} before; " if before is not None else ""
        lines.append(("validation loss", f"{answer.validation_loss:.4f}", began + per_byte))
    lines += [
        _line(answer, *shown) for shown in SHOWN if {shown[0]} <= answer.measured.keys() & answer.predicted.keys()
    ]
    if answer.adapter_bytes is not None:
        lines.append(("adapter file", units.size(answer.adapter_bytes), f"{answer.folder}/adapter, in peft's format"))
    measures(lines, 18, 14)
    if answer.sample:
        click.echo("\n  it writes:\n")
        click.echo(indent(answer.sample.rstrip(), "    "))
    if answer.status != "done":
        click.echo(f"\n  interrupted after {answer.step:,} steps: deepwide {command} --resume {answer.name}")
    notes(answer.notes)


def _line(answer: Training, name: str, label: str, show: Callable[[float], str]) -> tuple[str, str, str]:
    """What was measured, and what was predicted: with a range, or counted."""
    said = answer.predicted[name]
    if isinstance(said, dict):
        expected = f"predicted {show(said['value'])}, between {show(said['low'])} and {show(said['high'])}"
    else:
        expected = f"counted {show(said)}"
    return label, show(answer.measured[name]), expected


def _share(value: float) -> str:
    return f"{value:.0%}"


def _whole(value: float) -> str:
    return f"{value:,.0f}"


SHOWN: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("tokens_per_s", "tokens/s", _whole),
    ("seconds", "time", units.duration),
    ("mfu", "share of peak", _share),
    ("trainable_parameters", "trained", _whole),
    ("weights_bytes", "weights", units.size),
    ("gradients_bytes", "gradients", units.size),
    ("optimizer_bytes", "optimiser", units.size),
    ("activations_bytes", "activations", units.size),
    ("flops_per_token", "FLOPs a token", _whole),
)
