"""`deepwide calibrate`: this machine is measured, or a user's own runs correct the model; either becomes a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import click

from deepwide import units
from deepwide.answers.calibrate.calibrated import Calibration, Point
from deepwide.cli.calibrate_loss import loss
from deepwide.cli.calibrate_machine import calibrate_this
from deepwide.cli.options import AcceleratorName
from deepwide.cli.output import json_option, kept_in, measures, notes, print_json, title

LONGEST_RUN = 90
PHASES = {"step": "a step", "decode": "each further token", "prefill": "a prompt", "serving": "a token under load"}


@click.group(invoke_without_command=True)
@click.option("--out", metavar="FILE.toml", help="Where to keep the profile.  [default: where --on this finds it]")
@click.option("--threads", type=int, help="That the lab may use.  [default: all cores]")
@json_option()
@click.pass_context
def command(context: click.Context, out: str | None, threads: int | None, as_json: bool) -> None:
    """Measures this machine in a minute, so that --on this predicts it; or corrects the model by runs of your own.

    Alone it times kernels, and small models as the lab trains and runs them, and writes a profile to
    $DEEPWIDE_HOME/this.toml, else ~/.config/deepwide/this.toml. The commands below take measured runs in a CSV file.

    \b
    deepwide calibrate
    deepwide predict inference like=llama,layers=16,hidden=256 --on this
    """
    if context.invoked_subcommand is None:
        calibrate_this(out, threads, as_json)


command.add_command(loss)


def _shared(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that both kinds of measurements take."""
    for option in (
        json_option(),
        click.option("--out", default=None, metavar="FILE.toml", help="Where to keep the profile.  [default: nowhere]"),
        click.option(
            "--on", required=True, type=AcceleratorName(), metavar="ACCELERATOR", help="Where they were measured."
        ),
        click.argument("runs", metavar="RUNS.csv"),
    ):
        function = option(function)
    return function


@command.command()
@click.option(
    "--runtime",
    default="",
    help="The engine: megatron-bridge, torchtitan, ...; any for another.  [default: the usual one]",
)
@click.option("--precision", default="bf16", show_default=True, help="Of matrix products: bf16, fp8, mxfp8, nvfp4, ...")
@click.option(
    "--node-devices", type=int, default=None, help="Devices that share the fast link.  [default: the usual node]"
)
@click.option("--network", default=None, help="Of each device, one direction: 400 Gb/s.  [default: the usual one]")
@_shared
def training(runs: str, as_json: bool, **question: Any) -> None:
    """Corrects the time of training steps by measured ones.

    \b
    RUNS.csv has a line for each run, under a header with these names:
      model,devices,sequence,global_batch,tp,pp,micro_batch,recompute,zero,step_s
    tokens_per_s may stand for step_s, and one column `plan` ("tp=8,pp=4,micro_batch=1") for those of the plan.

    \b
    deepwide calibrate training runs.csv --on h100 --runtime megatron-bridge --out mine.toml
    deepwide predict training llama-3-8b --on h100 --devices 64 --runtime mine.toml
    """
    from deepwide.answers.calibrate import calibrate_training

    _show(calibrate_training(runs, **question), as_json)


@command.command()
@click.option("--runtime", default="", help="vllm, sglang, llama.cpp, ...; default for another.  [default: vllm]")
@click.option(
    "--weights", default="bf16", show_default=True, help="Where RUNS.csv does not say: fp8, int4, awq, q4_k_m, ..."
)
@_shared
def inference(runs: str, as_json: bool, **question: Any) -> None:
    """Corrects the time of answers by measured ones.

    \b
    RUNS.csv has a line for each run, under a header with these names:
      model,tp,pp,batch,input,output,weights,ttft_s,decode_s_per_token
    Measured is any of prefill_s, ttft_s, decode_s_per_token, tokens_per_s; a busy server has concurrency for batch.

    \b
    deepwide calibrate inference runs.csv --on h100 --runtime vllm --out mine.toml
    deepwide predict inference llama-3-8b --on h100 --runtime mine.toml
    """
    from deepwide.answers.calibrate import calibrate_inference

    _show(calibrate_inference(runs, **question), as_json)


def _show(answer: Calibration, as_json: bool) -> None:
    if as_json:
        print_json(answer.to_dict())
    else:
        _draw(answer)


def _draw(answer: Calibration) -> None:
    runs = len({point.where for point in answer.points})
    title(
        answer.runtime, f"{answer.kind} on {answer.accelerator} in {answer.format}, corrected by {runs} measured runs"
    )
    _runs(answer)
    measures(_measures(answer), 28, 16)
    click.echo()
    if answer.changed:
        click.echo("  constants that moved the times most")
    for each in answer.changed:
        name, _, values = each.partition(" ")
        click.echo(f"    {name:<22}{values.replace('->', '→')}")
    click.echo(f"\n  from {answer.start}")
    kept_in(answer.out, "--runtime")
    click.echo()
    notes(answer.notes)


def _measures(answer: Calibration) -> Iterator[tuple[str, str, str]]:
    change = f"{answer.error_before:.1%} → {answer.error_after:.1%}"
    yield "mean error", change, f"each run predicted from the others; {answer.error_own:.1%} on those the fit has seen"
    for phase, after in answer.spread_after.items():
        if phase in {point.phase for point in answer.points}:
            before = answer.spread_before[phase]
            yield f"range, {PHASES[phase]}", f"×÷ {before:.2f} → {after:.2f}", "nine of ten lie within that factor"


def _runs(answer: Calibration) -> None:
    """Each run: what was measured, and what is predicted of it before and after."""
    from deepwide.cli.tables import print_table

    together = len({point.measure for point in answer.points}) == 1
    rows = []
    for point in answer.points:
        what = "" if together else f"{point.measure} of "
        run = f"{what}{point.run}"
        shown = run if len(run) <= LONGEST_RUN else f"{run[: LONGEST_RUN - 1]}…"
        cells = [_value(point, v) for v in (point.measured, point.before, point.after)]
        errors = [f"{v / point.measured - 1:+.0%}" for v in (point.before, point.after)]
        rows.append((point.where.rpartition(":")[2], shown, cells[0], cells[1], errors[0], cells[2], errors[1]))
    print_table(("line", "run", "measured", "before", " ", "after", "  "), rows, words=("run",))


def _value(point: Point, value: float) -> str:
    return f"{value:,.0f}" if point.measure == "tokens_per_s" else units.duration(value)
