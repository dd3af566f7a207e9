"""`deepwide models`: the catalogue of published models."""

from __future__ import annotations

from typing import Any

import click

from deepwide import units
from deepwide.answers.catalogue import ListedModel, models
from deepwide.cli.output import json_option, print_json


@click.command()
@click.argument("search", default="")
@json_option()
def command(search: str, as_json: bool) -> None:
    """The published models whose id, maker or family contains SEARCH; all when it is left out."""
    found = models(search)
    if as_json:
        print_json({"models": [m.to_dict() for m in found]})
        return
    from deepwide.cli.tables import print_table

    heads = ("model", "maker", "year", "params", "layers", "hidden", "source")
    print_table(heads, [_cells(m) for m in found], words=("maker", "source"))
    click.echo(f"{len(found)} models.")


def _cells(m: ListedModel) -> tuple[Any, ...]:
    source = m.source if len(m.source) <= 48 else f"{m.source[:45]}..."
    if m.parameters is None:
        return m.name, m.maker, m.year, "undisclosed", "", "", source
    return m.name, m.maker, m.year, units.count(m.parameters), m.layers, f"{m.hidden:,}", source
