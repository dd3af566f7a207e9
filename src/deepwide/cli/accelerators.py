"""`deepwide accelerators`: the catalogue of accelerators."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from deepwide import units
from deepwide.answers.catalogue import listed_accelerators
from deepwide.cli.output import json_option, print_json
from deepwide.facts.device import Accelerator


@click.command()
@click.argument("search", default="")
@json_option()
def command(search: str, as_json: bool) -> None:
    """The accelerators whose id, vendor or architecture contains SEARCH; all when it is left out.

    Rates are dense. `sure` says whether a row was checked against a second source, derived or recalled.
    """
    found = listed_accelerators(search)
    if as_json:
        print_json({"accelerators": [_plain(a) for a in found]})
        return
    from deepwide.cli.tables import print_table

    heads = ("accelerator", "year", "memory", "bandwidth", "16-bit", "8-bit", "link", "watts", "sure")
    print_table(heads, [_cells(a) for a in found], words=("link", "sure"))
    click.echo(f"{len(found)} accelerators.")


def _plain(a: Accelerator) -> dict[str, Any]:
    values = asdict(a)
    return {**values, "checked": None if a.checked is None else str(a.checked)}


def _cells(a: Accelerator) -> tuple[Any, ...]:
    peaks = a.peak_flops_per_s
    half, byte = peaks.get("bf16") or peaks.get("fp16"), peaks.get("fp8") or peaks.get("int8")
    return (
        a.name,
        a.year or "",
        units.size(a.memory_bytes, 0),
        units.rate(a.bandwidth_bytes_per_s, "B/s"),
        units.rate(half, "FLOP/s") if half else "",
        units.rate(byte, "FLOP/s") if byte else "",
        f"{a.link.kind} {units.rate(a.link.bytes_per_s, 'B/s')}" if a.link else "",
        f"{a.tdp_w:.0f}" if a.tdp_w else "",
        a.confidence,
    )
