"""`deepwide predict training`: the time of a step and what it is spent on, the plan, and what a whole run costs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from deepwide import units
from deepwide.answers.models import find_model
from deepwide.answers.training import Training, predict_training
from deepwide.answers.training.plan_verdict import PARTS
from deepwide.cli.options import AcceleratorName, ModelName, Number, reading_options
from deepwide.cli.output import bar, json_option, measures, notes, print_fitting, title, wrapped

SHOWN_SHARE = 0.0005  # parts that round to 0.0% are left out
BAR = 24
MEASURE, MIDDLE = 14, 16  # widths of columns


@click.command()
@click.argument("model", type=ModelName())
@click.option("--on", required=True, type=AcceleratorName(), metavar="ACCELERATOR", help="The accelerator.")
@click.option("--devices", required=True, type=Number(), help="How many of them.")
@click.option("--tokens", type=Number(), default=None, help="Tokens of the whole run (15T): for days, money, carbon.")
@click.option("--sequence", type=Number(), default=None, help="Of a sequence.  [default: the model's, up to 8192]")
@click.option("--global-batch", type=Number(), default=None, help="Sequences of a step.  [default: 4M tokens or more]")
@click.option("--plan", default="auto", show_default=True, help="auto: the fastest that fits; or tp=8,pp=4, ...")
@click.option("--runtime", default="", help="megatron-bridge, torchtitan, ...  [default: the accelerator's usual one]")
@click.option(
    "--precision", default="", help="Of matrix products: fp8, mxfp8, nvfp4, ...  [default: bf16, if it has it]"
)
@click.option("--trainable", default="all", show_default=True, help="all, or lora: adapters alone.")
@click.option("--rank", default=16, show_default=True, help="Of the adapters.")
@click.option("--node-devices", type=int, default=None, help="That share the fast link.  [default: the usual node]")
@click.option("--network", default=None, help="Of each device, one direction: 400 Gb/s.  [default: the usual one]")
@click.option("--usd-per-hour", type=float, default=None, help="Of a device.  [default: list prices]")
@click.option("--grid", default="world", show_default=True, help="A place, or g CO2e per kWh.")
@click.option("--pue", type=float, default=None, help="Energy of the building over that of its servers.")
@reading_options
@json_option()
def command(model: str, as_json: bool, like: str, instantiate: bool, online: bool, **question: Any) -> None:
    """What does training MODEL take: step time, days, money, energy, carbon? Exit 1 where no plan fits.

    \b
    deepwide predict training llama-3-8b --on h100 --devices 64 --tokens 1T
    deepwide predict training llama-3-70b --on h100 --devices 512 --plan tp=4,pp=4,interleave=5
    """
    answer = predict_training(find_model(model, like, instantiate, online), **question)
    print_fitting(answer, as_json, _draw)


def _draw(answer: Training) -> None:
    run = answer.run
    what = "LoRA adapters" if run.trainable == "lora" else "training"
    each = f"{answer.devices:,} × {answer.on}"
    title(answer.model, f"{what} on {each} · {answer.runtime} · {run.precision}")
    _verdict(answer)
    measures(_measures(answer), MEASURE, MIDDLE)
    click.echo()
    _spent(answer)
    _runners_up(answer)
    _basis(answer)
    notes(wrapped(note, len("note: ")) for note in answer.notes)


def _say(text: str, indent: int = 2, **style: Any) -> None:
    """A paragraph under the headline."""
    click.echo(" " * indent + click.style(wrapped(text, indent), **style))


def _verdict(answer: Training) -> None:
    used, there = units.size(answer.memory_bytes, 1), units.size(answer.capacity_bytes, 1)
    where = f" on the {answer.fullest_stage} stage" if answer.plan["pp"] > 1 else " on each device"
    short = answer.memory_bytes - answer.capacity_bytes
    lacking = "" if answer.fits else f", {units.size(short, 1)} short"
    share = answer.memory_bytes / answer.capacity_bytes
    colour, words = ("green", "It fits") if answer.fits else ("red", "It does not fit")
    click.echo(f"  {click.style(words, fg=colour, bold=True)}: {used} of {there} ({share:.0%}){where}{lacking}")
    held = (f"{name.removesuffix('_bytes')} {size / 2**30:.1f}" for name, size in answer.memory.items() if size)
    _say(", ".join(held), dim=True)
    _say(answer.plan_words, bold=True)
    if answer.valid > 1:
        counted = f"{answer.valid:,} plans can run, {answer.fitting:,} fit with room to spare"
        _say(f"{counted} (searched in {units.duration(answer.seconds)})", dim=True)
    for remedy in answer.remedies:
        click.echo(f"  would fit:  {wrapped(remedy, 14)}")
    click.echo()


def _measures(answer: Training) -> Iterator[tuple[str, str, str]]:
    """Name, value and range of everything that is predicted."""

    def span(field: str, shown: Any) -> str:
        return f"{shown(answer.low[field])} to {shown(answer.high[field])}"

    load = f"{answer.run.global_batch:,} × {answer.run.sequence:,} tokens"
    yield "step", units.duration(answer.step_s), f"{span('step_s', units.duration)}, {load}"
    yield "tokens/s", f"{answer.tokens_per_s:,.0f}", f"{answer.tokens_per_s_per_device:,.0f} on each device"
    yield "MFU", f"{answer.mfu:.1%}", f"{span('mfu', '{:.0%}'.format)}, of 6ND and causal attention"
    if answer.hfu > answer.mfu:
        yield "HFU", f"{answer.hfu:.1%}", "with what is computed again"
    if answer.bubble:
        yield "bubble", f"{answer.bubble:.1%}", "of the step"
    if answer.days is None:
        return
    yield "time", f"{answer.days:,.1f} days", span("days", "{:,.1f}".format)
    if answer.usd is not None:
        yield "money", f"${_short(answer.usd)}", span("usd", _dollars)
    if answer.kwh is not None and answer.kg_co2e is not None:
        yield "energy", f"{_short(answer.kwh)} kWh", span("kwh", _short)
        yield "carbon", f"{_short(answer.kg_co2e)} kg CO2e", span("kg_co2e", _short)
    if answer.embodied_kg_co2e is not None:
        made = f"{span('embodied_kg_co2e', _short)}, for making it"
        yield "hardware", f"{_short(answer.embodied_kg_co2e)} kg CO2e", made


def _short(value: float) -> str:
    return f"{value:,.0f}" if value < 10_000 else units.count(value)


def _dollars(value: float) -> str:
    return f"${_short(value)}"


def _spent(answer: Training) -> None:
    """What a step is spent on."""
    from deepwide.cli.tables import print_table

    rows = []
    for part, name in PARTS.items():
        share = answer.breakdown[part] / answer.step_s
        if share >= SHOWN_SHARE:
            rows.append((name, units.duration(answer.breakdown[part]), f"{share:.1%}", bar(share, BAR)))
    print_table(("a step is spent on", "seconds", "share", " "), rows, words=(" ",))


def _runners_up(answer: Training) -> None:
    """The plans that lost, each with its reason under it."""
    if answer.runners_up:
        click.echo("  other plans")
    for each in answer.runners_up:
        click.echo(f"  {units.duration(each.step_s):>10}   {wrapped(each.words, 15)}")
        _say(each.why, 15, fg="cyan" if each.fits else "red")
    if answer.runners_up:
        click.echo()


def _basis(answer: Training) -> None:
    basis = answer.basis
    _say(f"by {basis['rows']} measured steps of {basis['profile']}, {basis['error_share']:.0%} off on unseen ones")
    network = (
        f"nodes of {basis['node_devices']} devices, {basis['network_bytes_per_s'] / 1e9:.3g} GB/s each between them"
    )
    _say(f"ranges hold nine of ten; {network}")
    click.echo()
