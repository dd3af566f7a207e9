"""`deepwide compare`: shapes side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import click

from deepwide import units
from deepwide.answers.compare import Comparison, Verdict, compare
from deepwide.answers.shape import Shape
from deepwide.cli.options import AcceleratorName, ModelName, Number, reading_options
from deepwide.cli.output import json_option, notes, print_json, wrapped
from deepwide.cli.report import report_options, write_files

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@click.command()
@click.argument("models", nargs=-1, required=True, type=ModelName(), metavar="MODEL MODEL...")
@click.option("--on", default="", type=AcceleratorName(), metavar="ACCELERATOR", help="Adds times on this accelerator.")
@click.option("--tokens", type=Number(), default=None, help="Tokens to train on.  [default: 20 per parameter]")
@click.option("--context", type=Number(), default=4096, show_default=True, help="Tokens in view, and of a prompt.")
@click.option("--devices", type=Number(), default=None, help="Devices of a training step.  [default: one node of 8]")
@reading_options
@report_options
@json_option()
def command(models: tuple[str, ...], as_json: bool, html: str | None, plots: str | None, **question: Any) -> None:
    """Shapes side by side: loss with its interval, work, memory, launches, times; a verdict for each.

    \b
    deepwide compare llama-3-8b llama-3-8b,layers=64,hidden=2880 --on h100
    """
    answer = compare(models, **question)
    if html or plots:
        from deepwide.answers.report.compare import compare_report

        reading = {name: question[name] for name in ("like", "instantiate", "online")}
        write_files(partial(compare_report, answer, **reading), html, plots)
    if as_json:
        print_json(answer.to_dict())
        return
    _draw(answer)


def _draw(answer: Comparison) -> None:
    from deepwide.cli.tables import print_table

    names = dict.fromkeys(m.model for m in answer.models)
    letters = dict(zip(names, LETTERS, strict=False))
    for name, letter in letters.items():
        click.echo(f"  {click.style(letter, bold=True)}  {name}")
    verdicts = {v.criterion: v for v in answer.verdict}
    rows = [_row(*row, answer.models, verdicts, letters) for row in ROWS]
    heads = ("", *(letters[m.model] for m in answer.models), "better")
    print_table(heads, [row for row in rows if any(value != "-" for value in row[1:-1])], words=("better",))
    click.echo(f"{wrapped(_asked(answer), 0)}\n")
    _overall(answer, letters)
    notes(wrapped(note, len("note: ")) for note in _lettered(answer.notes, letters))


def _row(
    name: str,
    criterion: str,
    cell: Callable[[Shape], str],
    models: Sequence[Shape],
    verdicts: dict[str, Verdict],
    letters: dict[str, str],
) -> tuple[str, ...]:
    return (name, *(cell(m) for m in models), _better(verdicts.get(criterion), letters))


def _better(v: Verdict | None, letters: dict[str, str]) -> str:
    if v is None:
        return ""
    if v.winner is None or v.loser is None:
        return "tie" if v.difference else "="
    alike = "".join(f", {letters[name]}" for name in v.tied)
    return f"{letters[v.winner]}{alike}  by {v.text.rpartition('by ')[2]}"


def _asked(answer: Comparison) -> str:
    said = f"Trained on {units.count(answer.tokens)} tokens, {answer.context:,} in view, bf16"
    shared = f"; tiles, FLOP/byte and all-reduces for layers over {answer.tp} devices"
    if not answer.on:
        return f"{said}{shared}."
    step = f"a training step of 4M tokens or more on {answer.devices}, by the fastest plan that fits"
    return f"{said}; on {answer.on}: batch 1 on one device, {step}{shared}."


def _overall(answer: Comparison, letters: dict[str, str]) -> None:
    """Who wins where, a line each."""
    kinds = {answer.overall.deep: "deep", answer.overall.wide: "wide"}
    lines = {f"{letters[name]} {kinds.get(name, '')}".strip(): won for name, won in answer.overall.wins.items()}
    lines |= {"tie": answer.overall.ties} if answer.overall.ties else {}
    for who, won in lines.items():
        click.echo(f"  {click.style(f'{who:<8}', bold=True)}{wrapped(', '.join(won) or 'nothing', 10)}")
    click.echo()


def _lettered(said: Sequence[str], letters: dict[str, str]) -> list[str]:
    """Notes with the long names of models replaced by their letters; what is said of several is said once."""
    about: dict[str, list[str]] = {}
    for note in said:
        name, _, rest = note.partition(": ")
        about.setdefault(rest if name in letters else note, []).extend([letters[name]] if name in letters else [])
    return [f"{', '.join(of)}: {rest}" if of else rest for rest, of in about.items()]


def _loss(s: Shape) -> str:
    return "-" if s.loss is None or s.high is None else f"{s.loss:.3f} ± {s.high - s.loss:.3f}"


def _seconds(field: str) -> Callable[[Shape], str]:
    return lambda s: "-" if getattr(s, field) is None else units.duration(getattr(s, field))


def _range(field: str) -> Callable[[Shape], str]:
    """The range that holds nine of ten."""
    low, high = f"{field}_low_s", f"{field}_high_s"

    def cell(s: Shape) -> str:
        if getattr(s, low) is None:
            return "-"
        return f"{_short(getattr(s, low))} to {_short(getattr(s, high))}"

    return cell


def _short(value_s: float) -> str:
    return units.duration(value_s).replace(" ", "")


def _plan(words: str | None) -> str:
    """A plan without the axes that are not cut."""
    parts = [part for part in (words or "-").split(" · ") if part not in ("tp 1", "pp 1", "dp 1")]
    return ", ".join(parts).replace("micro-batch", "mb")


def _bytes(field: str, digits: int = 1) -> Callable[[Shape], str]:
    return lambda s: units.size(getattr(s, field), digits)


# What stands in front of a row, the criterion that judges it, and how its cells are spelled.
ROWS: tuple[tuple[str, str, Callable[[Shape], str]], ...] = (
    ("parameters", "", lambda s: f"{s.parameters:,}"),
    ("layers × hidden", "", lambda s: f"{s.layers} × {s.hidden:,}"),
    ("heads (KV) of", "", lambda s: "-" if s.heads is None else f"{s.heads} ({s.kv_heads}) of {s.head_dim}"),
    ("ffn", "", lambda s: "-" if s.ffn is None else f"{s.ffn:,}"),
    ("hidden / layers", "", lambda s: f"{s.aspect:.1f}"),
    ("loss, nats (95%)", "loss", _loss),
    ("  of it by shape", "", lambda s: "-" if s.shape_effect is None else f"{s.shape_effect:.3f}"),
    ("parameters a token", "overfitting", lambda s: f"{s.parameters_per_token:.3g}"),
    ("gradient path", "gradient path", lambda s: f"{s.gradient_path} branches"),
    ("FLOPs a token", "", lambda s: units.flops(s.forward_flops_per_token)),
    ("  with training", "FLOPs", lambda s: units.flops(s.training_flops_per_token)),
    ("FLOP/byte of a prompt", "intensity", lambda s: f"{s.intensity:,.0f}"),
    (
        "matrix tiles filled",
        "tile fill",
        lambda s: f"{s.fill:.1%}{f', {s.slower - 1:.0%} slower' if s.slower > 1.005 else ''}",
    ),
    ("weights", "weights", _bytes("weight_bytes", 2)),
    ("largest layer", "largest layer", _bytes("layer_bytes")),
    ("KV cache a token", "KV cache", _bytes("kv_cache_bytes_per_token", 0)),
    ("peak memory, inference", "inference memory", _bytes("inference_bytes")),
    ("peak memory, training", "training memory", _bytes("training_bytes")),
    ("kernels a pass", "launches", lambda s: f"{s.kernels:,}"),
    ("  time to launch them", "launch time", _seconds("launch_s")),
    ("all-reduces a pass", "all-reduces", lambda s: f"{s.sums:,}" if s.sums else "-"),
    ("  their time, a token", "all-reduce time", _seconds("decode_sums_s")),
    ("  their time, a prompt", "", _seconds("prefill_sums_s")),
    ("prompt", "prefill time", _seconds("prefill_s")),
    ("  nine of ten", "", _range("prefill")),
    ("decode a token", "decode time", _seconds("decode_s")),
    ("  nine of ten", "", _range("decode")),
    ("training step", "training step", _seconds("step_s")),
    ("  nine of ten", "", _range("step")),
    ("  plan", "", lambda s: _plan(s.plan)),
)
