"""Options that several commands share: counts such as 7B, and how a MODEL is to be read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
from click.shell_completion import CompletionItem

from deepwide import units


class Number(click.ParamType[int]):
    """A whole number with an ending: 7B, 1.5T, 4k, 4096."""

    name = "count"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number; BadInput says what is wrong."""
        what = param.name if param is not None and param.name else "count"
        return units.parse_count(value, what)


class ModelName(click.ParamType[str]):
    """A MODEL; a shell completes the names of the catalogue."""

    name = "model"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text as it is: `find_model` says what is wrong with it."""
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The catalogue's ids that begin so."""
        from deepwide.facts.models import model_names

        return [CompletionItem(name) for name in model_names() if name.startswith(incomplete.lower())]


class AcceleratorName(ModelName):
    """An ACCELERATOR; a shell completes the names of the catalogue."""

    name = "accelerator"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The catalogue's ids that begin so."""
        from deepwide.facts.accelerators import accelerators

        return [CompletionItem(a.name) for a in accelerators() if a.name.startswith(incomplete.lower())]


def reading_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How a MODEL is read: --like, --instantiate, --online."""
    for option in (
        click.option("--online", is_flag=True, help="Allow Hub ids (owner/name): fetch their config.json."),
        click.option("--instantiate", is_flag=True, help="Build it with transformers on the meta device, not by rule."),
        click.option("--like", default="", metavar="FAMILY", help="Read an unknown config as this family."),
    ):
        command = option(command)
    return command
