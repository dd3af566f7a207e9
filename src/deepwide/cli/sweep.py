"""`deepwide sweep`: shapes of equal size trained side by side and ranked with their noise, beside the law."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from deepwide import units
from deepwide.answers.sweep import Progress, Sweep, resume_sweep, sweep
from deepwide.cli.options import ModelName, Number, Several
from deepwide.cli.output import json_option, notes, print_json, title, wrapped

if TYPE_CHECKING:
    from deepwide.answers.sweep.ranking import Ranked

INTERRUPTED = 130
QUIET_S = 15.0  # between two lines of progress where nobody looks at a terminal
LEFT_OUT = ("size off", "sd", "in equal time")  # of the table on a terminal; --report and --json have them
KEPT = ("resumed", "root", "as_json", "engine", "workers", "address", "html", "report", "csv")


@click.command()
@click.argument("models", type=ModelName(), nargs=-1, metavar="[MODEL...]")
@click.option("--parameters", type=Number(), help="Of the body, without embedding and head: equal in all shapes.")
@click.option("--flops-per-token", type=Number(), help="Or training FLOPs per token: equal in all shapes.")
@click.option("--layers", type=Several(units.parse_count), help="A shape for each.  [default: 1,2,4,8,16,32]")
@click.option(
    "--ffn-ratios", type=Several(units.parse_real), help="Or a shape for each FFN over hidden, at one --layers."
)
@click.option("--head-dim", type=int, help="Width of a head, in all shapes.  [default: 16]")
@click.option("--family", help="Whose choices of norm, positions and gating.  [default: llama]")
@click.option("--seeds", type=int, help="Runs of each shape.  [default: 4]")
@click.option("--tokens", type=Number(), help="Of each run.  [default: 1M]")
@click.option("--bracket-tokens", type=Number(), help="Of each short run for the rate; 0: none.  [default: 150k]")
@click.option("--learning-rate", type=float, help="The middle of the rates that are tried; default: the optimiser's.")
@click.option("--optimizer", help="adamw or muon.  [default: adamw]")
@click.option("--batch", type=int, help="Sequences of a step.  [default: 16]")
@click.option("--context", type=Number(), help="Tokens of a sequence.  [default: 128]")
@click.option("--data", help="Text files or a folder; default: Python's standard library.")
@click.option("--tokenizer", help="bytes, bpe:4096, or a tokenizer.json.  [default: bytes]")
@click.option("--dtype", help="fp32 or bf16; this and the next two: the quickest in a short trial, for all alike.")
@click.option("--matmul", help="default or onednn.")
@click.option("--attention", help="sdpa or bmm.")
@click.option(
    "--compile/--no-compile",
    "compile_",
    default=None,
    help="Compile layers: ten seconds a trial, then quicker.  [default: tried for trials of minutes]",
)
@click.option("--engine", type=click.Choice(["local", "ray"]), default="local", show_default=True)
@click.option("--workers", type=int, help="Trials at once, one thread each.  [default: one for each core]")
@click.option("--address", default="", help="Of a Ray cluster; makes ray the engine.")
@click.option("--name", default="", help="Of the sweep; default: one that is free.")
@click.option("--root", default=None, help="The folder of runs.  [default: runs, or DEEPWIDE_RUNS]")
@click.option("--resume", "resumed", default="", metavar="SWEEP", help="Go on with this sweep, or show a finished one.")
@click.option("--html", default="", metavar="FILE", help="Write a page with the picture.")
@click.option("--report", default="", metavar="FILE.md", help="Write the tables in Markdown.")
@click.option("--csv", default="", metavar="FILE.csv", help="Write the losses for `deepwide calibrate loss`.")
@json_option()
@click.pass_context
def command(
    ctx: click.Context,
    /,
    as_json: bool,
    models: tuple[str, ...],
    resumed: str,
    compile_: bool | None,
    html: str,
    report: str,
    csv: str,
    **question: Any,
) -> None:
    """Trains shapes of equal size, several seeds each, and says which are best and which cannot be told apart.

    Every shape's learning rate is bracketed by short runs first. Ctrl-C saves; --resume goes on.

    \b
    deepwide sweep --parameters 0.8M --layers 1,2,4,8,16,32 --seeds 4 --tokens 1M --name depth
    deepwide sweep --parameters 0.8M --layers 4 --ffn-ratios 1,2,4,8 --head-dim 8 --name ratio
    deepwide sweep --resume depth --html depth.html
    """
    where = {name: question.pop(name) for name in ("root", "engine", "workers", "address")}
    where |= {"engine": "ray"} if where["address"] else {}
    if resumed:
        _refuse_beside_resume(ctx)
        answer = resume_sweep(resumed, watch=Screen(), **where)
    else:
        given = {name: value for name, value in {**question, "compile": compile_}.items() if value is not None}
        answer = sweep(*models, watch=Screen(), **where, **given)
    _write(answer, html, report, csv)
    if as_json:
        print_json(answer.to_dict())
    else:
        _draw(answer)
    if answer.status != "done":
        raise click.exceptions.Exit(INTERRUPTED)


def _refuse_beside_resume(ctx: click.Context) -> None:
    """A resumed sweep goes on as it began; options that would change it are refused."""
    from deepwide.errors import BadInput

    for name in ctx.params:
        if name not in KEPT and ctx.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE:
            raise BadInput(
                f"{name.rstrip('_')} cannot change in a sweep that was begun: leave it out, or begin another"
            )


def _write(answer: Sweep, html: str, report: str, csv: str) -> None:
    """The files that were asked for."""
    from deepwide.answers.sweep import written

    if csv:
        written.write_losses(answer, csv)
    if report:
        written.write_markdown(answer, report)
    if html:
        written.write_page(answer, html)


class Screen:
    """What is seen while a sweep runs: one line that moves, or a line every few seconds."""

    def __init__(self) -> None:
        self.moving, self.shown_s = sys.stderr.isatty(), float("-inf")

    def __call__(self, progress: Progress) -> None:
        """Shows how far it is, if the last line is old enough or this is the last one."""
        from time import monotonic

        ended = progress.done == progress.trials
        if not ended and monotonic() - self.shown_s < (0.2 if self.moving else QUIET_S):
            return
        self.shown_s = monotonic()
        failed = f" · {progress.failed} failed" if progress.failed else ""
        left = "" if ended else f" · {progress.running} running · {units.duration(progress.left_s)} left"
        line = f"  {progress.done} of {progress.trials} trials done{left}{failed}"
        click.echo(f"\r\x1b[K{line}" if self.moving else line, nl=ended or not self.moving, err=True)


def _draw(answer: Sweep) -> None:
    plan = answer.plan
    equal = {"parameters": " at equal body parameters", "flops_per_token": " at equal FLOPs per token", "": ""}
    runs = f"{len(plan.shapes)} shapes{equal[answer.equal]} × {plan.seeds} seeds"
    title(answer.name, f"{runs} · {units.count(plan.tokens)} tokens each · {units.duration(answer.cpu_s)} on one core")
    _table(answer)
    for line in answer.says:
        click.echo(f"  {wrapped(line, 2)}")
    notes(wrapped(line, len("note: ")) for row in answer.shapes for line in row.problems)
    if answer.status != "done":
        click.echo(f"\n  interrupted: deepwide sweep --resume {answer.name}")


def _table(answer: Sweep) -> None:
    from deepwide.answers.sweep.written import COLUMNS, cells
    from deepwide.cli.tables import print_table

    shown = [i for i, column in enumerate(COLUMNS) if column not in LEFT_OUT]
    rows = [[told[i] for i in shown] for told in (cells(answer, row) for row in answer.shapes)]
    words = ("after equal tokens", "after equal time")
    print_table([COLUMNS[i] for i in shown], rows, words=words, marked=_best(answer.shapes))


def _best(rows: tuple[Ranked, ...]) -> int:
    return next((i for i, row in enumerate(rows) if row.verdict == "best"), -1)
