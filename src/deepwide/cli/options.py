"""Option types that several commands share: counts such as 7B, names of accelerators."""

from __future__ import annotations

from typing import Any

import click

from deepwide import units


class Count(click.ParamType):
    """A whole number with an ending: 7B, 1.5T, 4k, 4096."""

    name = "count"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number; BadInput says what is wrong."""
        what = param.name if param is not None and param.name else "count"
        return units.parse_count(value, what)
