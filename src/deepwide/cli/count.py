"""`deepwide count`: where the parameters are."""

from __future__ import annotations

from typing import Any

import click

from deepwide import units
from deepwide.answers.count import GROUPINGS, Count, Row, count
from deepwide.answers.models import Model, find_model
from deepwide.cli.options import ModelName, Number, reading_options
from deepwide.cli.output import bar, json_option, notes, print_json, title

COLOURS = {"embedding": "cyan", "attention": "blue", "ffn": "green", "head": "magenta", "recurrent": "yellow"}


@click.command()
@click.argument("model", type=ModelName())
@click.option("--explain", is_flag=True, help="Every row's formula, in symbols and with the model's numbers.")
@click.option("--by", type=click.Choice(GROUPINGS), default="part", help="What the sums are grouped by.")
@click.option("--context", type=Number(), default=None, help="Adds the FLOPs of a pass over so many tokens.")
@reading_options
@json_option()
def command(model: str, explain: bool, by: str, context: int | None, as_json: bool, **reading: Any) -> None:
    """How many parameters MODEL has, where they are, and what a token costs.

    \b
    deepwide count llama-3-8b --explain
    deepwide count like=llama,layers=32,hidden=4096 --json
    """
    found = find_model(model, **reading)
    answer = count(found, by=by, explain=explain, context=context)
    if as_json:
        print_json(answer.to_dict())
        return
    title(answer.model, headline(found))
    _totals(answer)
    if explain:
        _formulae(answer)
    else:
        _groups(answer)
    _work(answer)
    notes(answer.notes)


def headline(model: Model) -> str:
    """The shape in one line: layers, hidden, heads, ffn, vocab."""
    if model.architecture is None:
        return f"{len(model.ledger.weights)} tensors"
    from deepwide.architecture.sizes import sizes

    s = sizes(model.architecture)
    if not s.layers:
        return "one layer, by itself"
    words = [model.architecture.family, f"{s.layers} layers", f"hidden {s.hidden:,}"]
    if s.heads is not None:
        shared = f" ({s.kv_heads} KV)" if s.kv_heads is not None and s.kv_heads != s.heads else ""
        words.append(f"{s.heads} heads{shared} of {s.head_dim}")
    if s.experts is not None:
        words.append(f"{s.experts} experts, {s.active_experts} active")
    if s.ffn is not None:
        words.append(f"ffn {s.ffn:,}")
    return " · ".join([*words, f"vocab {s.vocab:,}"])


def _totals(answer: Count) -> None:
    click.echo(f"  {'total':<12}{answer.total:>20,}  {click.style(units.count(answer.total), bold=True)}")
    if answer.active != answer.total:
        click.echo(f"  {'active':<12}{answer.active:>20,}  {units.count(answer.active)} that one token uses")
    click.echo()


def _groups(answer: Count) -> None:
    wide = max((len(name) for name in answer.groups), default=0)
    for name, parameters in answer.groups.items():
        share = parameters / answer.total if answer.total else 0.0
        drawn = click.style(bar(share), fg=COLOURS.get(name, "white"))
        click.echo(f"  {name:<{max(12, wide + 1)}}{parameters:>20,} {share:>7.1%}  {drawn}")
    click.echo()


def _formulae(answer: Count) -> None:
    wide = max((len(row.name) for row in answer.rows), default=0)
    for row in answer.rows:
        click.echo(f"  {row.name:<{wide}}  {row.parameters:>18,}  {_formula(row)}")
    total = sum(row.parameters for row in answer.rows)
    click.echo(f"  {'':<{wide}}  {'─' * 18}\n  {'sum of the rows':<{wide}}  {total:>18,}\n")
    _growth(answer)


def _formula(row: Row) -> str:
    if row.tied:
        return click.style(f"tied to {row.tied}", dim=True)
    if not row.formula:
        return click.style(" × ".join(f"{n:,}" for n in row.shape), dim=True)
    return f"{row.formula} = {click.style(row.numbers, dim=True)}  {click.style(f'[{row.grows}]', fg='cyan')}"


def _growth(answer: Count) -> None:
    """How much of the model grows with the square of the width, with the width, with the layers."""
    for what, test in (("hidden²", "hidden²"), ("hidden, not squared", "hidden"), ("the number of layers", "layers")):
        grown = sum(r.parameters for r in answer.rows if test in r.grows.split(" · "))
        if grown and answer.total:
            click.echo(f"  {grown / answer.total:>6.1%} grow with {what}")
    click.echo()


def _work(answer: Count) -> None:
    forward, both = answer.forward_flops, answer.forward_flops + answer.backward_flops
    scores = answer.attention_flops_per_context_token
    seen = f"; attention adds {units.flops(scores)} for each token before it" if scores else ""
    if forward:
        click.echo(f"  a token     {units.flops(forward)} forward, {units.flops(both)} with backward{seen}")
    for convention, passed in answer.passes.items():
        words = ", ".join(f"{name.replace('_', ' and ')} {units.flops(n)}" for name, n in passed.items())
        click.echo(f"  {convention:<12}{words}")
    click.echo(f"  weights     {units.size(2 * answer.total)} in bf16, {units.size(4 * answer.total)} in fp32\n")
