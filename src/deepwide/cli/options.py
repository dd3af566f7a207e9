"""Options that several commands share: counts such as 7B, and how a MODEL is to be read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from deepwide import units


class Count(click.ParamType[int]):
    """A whole number with an ending: 7B, 1.5T, 4k, 4096."""

    name = "count"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number; BadInput says what is wrong."""
        what = param.name if param is not None and param.name else "count"
        return units.parse_count(value, what)


def reading_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How a MODEL is read: --like, --instantiate, --online."""
    for option in (
        click.option("--online", is_flag=True, help="Allow Hub ids (owner/name): fetch their config.json."),
        click.option("--instantiate", is_flag=True, help="Build it with transformers on the meta device, not by rule."),
        click.option("--like", default="", metavar="FAMILY", help="Read an unknown config as this family."),
    ):
        command = option(command)
    return command
