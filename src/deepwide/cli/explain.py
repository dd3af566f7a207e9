"""`deepwide explain`: what hidden size buys and costs in a model, and what another shape would change."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import click

from deepwide import units
from deepwide.answers.explain import Explanation, explain
from deepwide.answers.explain.heads import Heads
from deepwide.answers.explain.shapes import Counterfactual, Sensitivity
from deepwide.answers.models import find_model
from deepwide.answers.shape import Shape
from deepwide.cli.count import headline
from deepwide.cli.options import AcceleratorName, ModelName, Number, reading_options
from deepwide.cli.output import json_option, notes, print_json, title, wrapped
from deepwide.cli.report import report_options, write_files

# Row of the table of other shapes -> the quantity, and how the model's own is spelled.
ROWS: dict[str, tuple[str, Callable[[Shape], str]]] = {
    "decode a token": ("decode", lambda s: _duration(s.decode_s)),
    "prompt": ("prefill", lambda s: _duration(s.prefill_s)),
    "training step": ("step", lambda s: _duration(s.step_s)),
    "KV cache a token": ("kv_cache", lambda s: units.size(s.kv_cache_bytes_per_token, 0)),
    "memory to run": ("memory", lambda s: units.size(s.inference_bytes, 1)),
    "memory to train": ("training_memory", lambda s: units.size(s.training_bytes, 0)),
    "kernels a pass": ("kernels", lambda s: f"{s.kernels:,}"),
    "all-reduces a pass": ("sums", lambda s: f"{s.sums:,}"),
}
TENTHS = ("weights", "decode", "prefill", "kv_cache", "memory", "training_memory")


@click.command()
@click.argument("model", type=ModelName())
@click.option("--on", default="", type=AcceleratorName(), metavar="ACCELERATOR", help="Adds times on this accelerator.")
@click.option("--tokens", type=Number(), default=None, help="Tokens to train on.  [default: 20 per parameter]")
@click.option("--context", type=Number(), default=4096, show_default=True, help="Tokens in view, and of a prompt.")
@click.option("--devices", type=Number(), default=None, help="Devices of a training step.  [default: one node of 8]")
@click.option("--tp", type=Number(), default=None, help="Devices that share each layer.  [default: up to 8, by heads]")
@reading_options
@report_options
@json_option()
def command(model: str, as_json: bool, html: str | None, plots: str | None, **question: Any) -> None:
    """Why is hidden so large? What width buys and costs in MODEL, and what another shape would change.

    \b
    deepwide explain llama-3-8b --on h100
    """
    answer = explain(model, **question)
    reading = {name: question[name] for name in ("like", "instantiate", "online")}
    if html or plots:
        from deepwide.answers.report.explain import explain_report

        write_files(partial(explain_report, answer, **reading), html, plots)
    if as_json:
        print_json(answer.to_dict())
        return
    title(answer.model, headline(find_model(model, **reading)))
    _growth(answer)
    _others(answer)
    _tenths(answer.sensitivities)
    if answer.heads:
        _heads(answer.heads)
    _alignment(answer)
    for sentence in answer.verdict:
        click.echo(f"  {click.style(wrapped(sentence, 2), bold=True)}")
    click.echo()
    notes(wrapped(note, len("note: ")) for note in answer.notes)


def _growth(answer: Explanation) -> None:
    g = answer.growth
    grown = f"{g['hidden_squared']:.0%} of the parameters grow with hidden², {g['hidden']:.0%} with hidden"
    doubled = f"twice the hidden size makes it {g['if_hidden_doubles']:.2f} times as large"
    layers = f"{g['layers']:.0%} grow with the layers: twice as many make it {g['if_layers_double']:.2f} times as large"
    click.echo(f"  {wrapped(f'{grown}: {doubled}; {layers}.', 2)}")


def _others(answer: Explanation) -> None:
    """Shapes at equal parameters: the model's own numbers first, then by how much each other shape is more or less."""
    from deepwide.cli.tables import print_table

    own, others = answer.shape, answer.counterfactuals
    heads = ("at equal parameters", "as it is", *(c.label.replace(" ", "") for c in others))
    shapes = (own, *(c.shape for c in others))
    rows = [
        ("parameters", units.count(own.parameters), *(f"{c.parameters_off:+.1%}" for c in others)),
        ("layers × hidden", *(f"{s.layers}×{s.hidden}" for s in shapes)),
        ("ffn", *("-" if s.ffn is None else f"{s.ffn:,}" for s in shapes)),
        ("loss, nats", _loss(own), *map(_change, others)),
        (
            "  known to",
            _known(own),
            *("-" if c.loss_resolution is None else f"{c.loss_resolution:.3f}" for c in others),
        ),
    ]
    for name, (quantity, spelled) in ROWS.items():
        rows.append((name, spelled(own), *(_percent(c.changes.get(quantity)) for c in others)))
    print_table(heads, [row for row in rows if row[1] not in ("-", "0", "0 B")])


def _loss(s: Shape) -> str:
    return "-" if s.loss is None else f"{s.loss:.3f}"


def _known(s: Shape) -> str:
    return "-" if s.loss is None or s.high is None else f"{s.high - s.loss:.3f}"


def _change(c: Counterfactual) -> str:
    return "-" if c.loss_change is None else f"{'= ' if c.tie else ''}{c.loss_change:+.3f}"


def _percent(share: float | None, digits: int = 0) -> str:
    return "-" if share is None else f"{share:+.{digits}%}"


def _duration(value_s: float | None) -> str:
    return "-" if value_s is None else units.duration(value_s)


def _tenths(sensitivities: tuple[Sensitivity, ...]) -> None:
    """What a tenth more of each size changes."""
    from deepwide.cli.tables import print_table

    names = [n for n in TENTHS if any(n in s.changes for s in sensitivities)]
    heads = ("+10% of", "by a step", "loss", *(n.replace("_", " ") for n in names))
    rows = [
        (
            s.size,
            f"{s.before:,} → {s.after:,}",
            "-" if s.loss is None else f"{s.loss:+.4f}",
            *(_percent(s.changes.get(n), 1) for n in names),
        )
        for s in sensitivities
    ]
    print_table(heads, rows)


def _heads(h: Heads) -> None:
    shared = f", {h.group} of them to a KV head" if h.group and h.group > 1 else ""
    said = [f"{s.change}: {s.warning if s.head_dim is None else _width(s.head_dim, s.warning)}" for s in h.splits]
    said = said or [f"their width, {h.width:,} in all, does not follow from the hidden size"]
    line = f"{h.heads} heads of {h.head_dim}{shared}; {', '.join(said)}."
    click.echo(f"  {click.style('heads', bold=True)}  {wrapped(line, 9)}")


def _width(head_dim: int, warning: str) -> str:
    return f"{head_dim} each{f' ({warning})' if warning else ''}"


def _alignment(answer: Explanation) -> None:
    a = answer.alignment
    said = [f"{m['why']}{_slower(m)}{_nearest(m)}" for m in a.misfits]
    fits = f"whole tiles on up to {a.fits_up_to} devices" if a.fits_up_to else "no number of devices gets whole tiles"
    line = f"tp {a.tp}: {'; '.join(said) or 'every size fills whole tiles'}. Heads, hidden and FFN: {fits}."
    click.echo(f"  {click.style('tiles', bold=True)}  {wrapped(line, 9)}")
    if a.better:
        click.echo(f"  {'':7}{wrapped(f'at equal parameters: {a.better}', 9)}")
    click.echo()


def _slower(m: dict[str, Any]) -> str:
    what = "attention without a fused kernel takes" if m["name"] == "head_dim" else "products take"
    if m["name"] == "vocab" or m["slower"] <= 1:
        return ""
    return f" ({what} {m['slower']:.2g} times as long)"


def _nearest(m: dict[str, Any]) -> str:
    return "" if m["name"] == "vocab" or not m["better"] else f"; better {' or '.join(f'{n:,}' for n in m['better'])}"
