"""`deepwide design`: the best shape under limits, why, what the limits cost, and the shapes around it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import click

from deepwide import units
from deepwide.answers.design import Design, NoDesign, design
from deepwide.answers.design.known import KnownModel
from deepwide.cli.options import AcceleratorName, ModelName, Number, Range, Several
from deepwide.cli.output import json_option, notes, print_json, wrapped
from deepwide.cli.report import report_options, write_files
from deepwide.errors import BadInput

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
    "memory",
    "KV/token",
)
MS = 1e-3
LABEL = 13  # width of the words on the left


class Real(click.ParamType[float]):
    """A number above nothing: 30, 1e22, 2.5M."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number; BadInput says what is wrong."""
        return units.parse_real(value, param.name if param is not None and param.name else "number")


class Size(click.ParamType[int]):
    """Bytes: 24GB, 22 GiB."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The bytes; BadInput says what is wrong."""
        return units.parse_bytes(value, param.name if param is not None and param.name else "size")


def _mixture(word: str, what: str) -> tuple[int, int]:
    """64/8: so many experts, of which a token meets so many."""
    experts, slash, active = word.partition("/")
    if not slash:
        raise BadInput(f"{what}={word!r}: write experts/active, for instance 64/8 (1/1 is dense)")
    return units.parse_count(experts, what), units.parse_count(active, what)


# Flag, kind, metavar, what it means. What is not given is left free, or to the default that stands in the text.
WHAT = (
    ("--parameters", Number(), None, "The most parameters: 10B, 350M."),
    ("--devices", Number(), None, "How many train it: adds plans, times and the bill."),
    ("--tokens", Number(), None, "To train on.  [default: 20 per parameter, or all that limits leave]"),
    ("--serve-devices", Number(), None, "That share each layer.  [default: the fewest that hold it]"),
    ("--memory", Size(), "SIZE", "The most of a device that serves: 24GB.  [default: all of it]"),
    ("--decode-ms", Real(), None, "The most for a token.  [default: the usual shape's]"),
    ("--ttft-ms", Real(), None, "The most for a prompt of --context tokens."),
    ("--flops", Real(), None, "The most FLOPs, of training and of --serve-tokens: 1e22."),
    ("--days", Real(), None, "The most days of training, on --devices."),
    ("--usd", Real(), None, "The most money for training, on --devices."),
    ("--kg-co2e", Real(), None, "The most carbon of training, on --devices."),
    ("--unique-tokens", Number(), None, "Tokens that there are: more of them repeat."),
    ("--layers", Range(), "A-B", "How many layers.  [default: 2-160]"),
    ("--hidden", Range(), "A-B", "Which widths.  [default: 256-24576]"),
    ("--sequence", Number(), None, "Tokens of a training sequence.  [default: --context]"),
    ("--global-batch", Number(), None, "Sequences of a training step."),
    ("--usd-per-hour", Real(), None, "Of a device.  [default: list prices]"),
)
SEVERAL = (
    ("--head-dims", units.parse_count, "Widths of a head: 64,128."),
    ("--kv-heads", units.parse_count, "KV heads: 4,8,16."),
    ("--ffn-ratios", units.parse_real, "FFN over hidden: 2.5,3.5,4."),
    ("--vocab", units.parse_count, "The vocabulary, or several.  [default: 128256]"),
    ("--experts", _mixture, "Experts/active: 1/1,8/2,64/8."),
)


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    """All of them, in the order of the tables."""
    for flag, read, text in reversed(SEVERAL):
        command = click.option(flag, type=Several(read), default=(), metavar="LIST", help=text)(command)
    for flag, kind, metavar, text in reversed(WHAT):
        command = click.option(flag, type=kind, metavar=metavar, help=text)(command)
    return command


@click.command()
@click.option("--on", required=True, type=AcceleratorName(), metavar="ACCELERATOR", help="What serves and trains it.")
@click.option("--like", default="", type=ModelName(), metavar="MODEL", help="Its family; no larger and no slower.")
@_options
@click.option("--context", type=Number(), default=4096, show_default=True, help="Tokens in view while decoding.")
@click.option("--batch", type=Number(), default=1, show_default=True, help="Sequences decoded at once.")
@click.option("--serve-tokens", type=Number(), default=0, help="That it will generate: they count against --flops.")
@click.option("--any-speed", is_flag=True, help="No limit on speed: the lowest loss, however slow.")
@click.option("--tied/--untied", default=None, help="Tie the output head to the embedding, or not.")
@click.option("--runtime", default="", help="The training engine, as for `predict training`.")
@click.option("--rows", default=9, show_default=True, type=click.IntRange(2, 50), help="Rows from deep to wide.")
@click.option("--tolerance", default=0.03, show_default=True, help="How far sizes of those rows may lie apart.")
@click.option("--engine", default="local", show_default=True, help="Where to search: local, or a cluster by ray.")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1, 256), help="Threads of a local search.")
@report_options
@json_option()
def command(as_json: bool, html: str | None, plots: str | None, **question: Any) -> None:
    """The best shape of a decoder under limits: lowest predicted loss, no slower than asked or usual. Exit 1: none.

    \b
    deepwide design --parameters 10B --on h100
    deepwide design --flops 1e22 --serve-tokens 1T --on h100
    deepwide design --like llama-3-8b --on h100 --devices 512 --tokens 15T --html out.html
    """
    question["memory_bytes"] = question.pop("memory")
    for name in ("decode", "ttft"):
        asked = question.pop(f"{name}_ms")
        question[f"{name}_s"] = None if asked is None else asked * MS
    try:
        answer = _searched(question)
    except NoDesign as error:
        if as_json:
            print_json(error.to_dict())
        click.echo(f"No: {error}", err=True)
        raise click.exceptions.Exit(1) from None
    if html or plots:
        from deepwide.answers.report.design import design_report

        write_files(partial(design_report, answer), html, plots)
    if as_json:
        print_json(answer.to_dict())
    else:
        _draw(answer)


def _searched(question: dict[str, Any]) -> Design:
    """The answer, with progress where somebody looks."""
    if not sys.stderr.isatty():
        return design(**question)
    from rich.console import Console

    with Console(stderr=True).status("searching") as status:
        return design(**question, progress=lambda counted: status.update(f"looked at {counted:,} shapes"))


def _draw(answer: Design) -> None:
    from deepwide.cli.tables import print_table

    best = answer.recommended
    across = f"{answer.serve_devices} × " if answer.serve_devices > 1 else ""
    click.echo(
        f"Trained on {units.count(answer.tokens)} tokens, decoding on {across}{answer.on} "
        f"with {answer.context:,} tokens in view, bf16. Shapes of {units.count(best['parameters'])}, from deep to wide:"
    )
    marked = next((i for i, row in enumerate(answer.table) if row["model"] == best["model"]), -1)
    print_table(COLUMNS, [_cells(row) for row in answer.table], marked=marked)
    click.echo(f"{click.style('Recommended'.ljust(LABEL), bold=True)}{click.style(best['model'], fg='green')}")
    for name, text in _lines(answer):
        click.echo(f"{name:<{LABEL}}{wrapped(text, LABEL)}")
    click.echo()
    notes(wrapped(note, len("note: ")) for note in answer.notes)


def _lines(answer: Design) -> Iterator[tuple[str, str]]:
    """What is said below the table: a word on the left, a sentence on the right."""
    yield "Because", f"it has {answer.reason}."
    for limit in answer.limits:
        if limit.binding:
            yield "Limit", f"{limit.words}; a tenth more saves {limit.saves_nats:.4f} nats"
    words = {"lowest_loss": "Lowest loss", "fastest_tie": "As good"}
    for name, row in answer.alternatives.items():
        yield words[name], _against(row, answer.recommended)
    for known in answer.known:
        yield "Against", _known(known)
    for line in answer.advice:
        yield "Hardware", line
    if answer.training:
        yield "Training", _training(answer.training)
    yield (
        "Looked at",
        (f"{answer.evaluated:,} shapes in {answer.seconds:.2f} s, of which {answer.feasible:,} keep to every limit"),
    )


def _against(row: dict[str, Any], best: dict[str, Any]) -> str:
    return (
        f"{row['layers']} × {row['hidden']:,}: {row['loss'] - best['loss']:+.4f} nats, "
        f"{row['decode_s'] / best['decode_s'] - 1:+.0%} time of a token"
    )


def _known(known: KnownModel) -> str:
    loss = "" if known.loss_less is None else f"{-known.loss_less:+.4f} nats, "
    return f"{known.model} ({known.layers} × {known.hidden:,}): {loss}{-known.decode_less:+.0%} time. {known.why}"


def _training(training: dict[str, Any]) -> str:
    days = "" if training["days"] is None else f", {training['days']:,.1f} days"
    money = "" if training["usd"] is None else f", ${training['usd']:,.0f}"
    carbon = "" if training["kg_co2e"] is None else f", {training['kg_co2e'] / 1000:,.1f} t CO2e"
    return (
        f"{training['plan_words']}: {units.duration(training['step_s'])} a step, MFU {training['mfu']:.0%}"
        f"{days}{money}{carbon}"
    )


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
        units.size(row["memory_bytes"], 1),
        units.size(row["kv_cache_bytes_per_token"], 0),
    )
