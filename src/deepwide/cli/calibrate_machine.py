"""What `deepwide calibrate` shows: what this machine reaches, and how well unseen models are predicted."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from deepwide import units
from deepwide.answers.calibrate.machine_answer import PHASES
from deepwide.cli.output import measures, notes, print_json, title

if TYPE_CHECKING:
    from deepwide.answers.calibrate.machine_answer import MachineCalibration

WIDTH = 36


def calibrate_this(out: str | None, threads: int | None, as_json: bool) -> None:
    """Measures, writes, and shows; progress goes to stderr."""
    from deepwide.answers.calibrate.machine import calibrate_machine

    answer = calibrate_machine(out=out, threads=threads, told=_told)
    if sys.stderr.isatty():
        click.echo(f"\r{'':<{WIDTH}}\r", nl=False, err=True)
    if as_json:
        print_json(answer.to_dict())
    else:
        _draw(answer)


def _told(what: str, share: float) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{f'measuring {what} {share:.0%}':<{WIDTH}}", nl=False, err=True)
    elif not share:
        click.echo(f"measuring {what}", err=True)


def _draw(answer: MachineCalibration) -> None:
    title("this", f"{answer.machine}, measured in {units.duration(answer.seconds)}")
    _reached(answer)
    _checks(answer)
    lines = [
        (
            name,
            f"{answer.median_error(what, roofline=True):.0%} → {answer.median_error(what):.1%}",
            _range(answer, what),
        )
        for what, name in PHASES.items()
    ]
    click.echo("  median error on these models, by the roofline → calibrated")
    measures(lines, 28, 16)
    measures([("inside the interval", f"{answer.coverage:.0%}", "of them; nine of ten are expected")], 28, 16)
    click.echo(f"\n  written to {answer.out}: predict with --on {answer.name}\n")
    notes(answer.notes)


def _range(answer: MachineCalibration, what: str) -> str:
    spread = (answer.training if what == "step" else answer.inference)["spread"]
    return f"nine of ten within ×÷ {spread:.2f}"


def _reached(answer: MachineCalibration) -> None:
    for name, rate in answer.accelerator["peak_flops_per_s"].items():
        click.echo(f"  {'products in ' + name:<28}{rate / 1e9:>12,.0f} GFLOP/s")
    near = answer.accelerator["near_bytes_per_s"]
    for size, rate in near:
        click.echo(f"  {'weights of ' + units.size(int(size)):<28}{rate / 1e9:>12,.1f} GB/s")
    click.echo(f"  {'an operation':<28}{units.duration(answer.accelerator['call_s']):>12}")
    k = answer.kernels
    way = f"{k['dtype']}, {k['attention']} attention, {k['lanes']} × {k['threads']} threads"
    click.echo(f"  {'the lab trains in':<28}{way:>12}\n")


def _checks(answer: MachineCalibration) -> None:
    from deepwide.cli.tables import print_table

    rows = [
        (
            f"{PHASES[c.what]} {c.setting}",
            c.model.replace("context=2048,", ""),
            units.duration(c.measured_s),
            units.duration(c.predicted_s),
            f"{c.error:+.0%}",
            f"{c.roofline_error:+.0%}",
        )
        for c in answer.checks
    ]
    print_table(
        ("time of", "a model not fitted on", "measured", "predicted", "error", "roofline"),
        rows,
        words=("time of", "a model not fitted on"),
    )
