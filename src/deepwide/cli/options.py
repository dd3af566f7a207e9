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


class Range(click.ParamType[tuple[int, int]]):
    """Whole numbers from one to another: 8-64, or 32 alone."""

    name = "range"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """The least and the most; BadInput says what is wrong."""
        what = param.name if param is not None and param.name else "range"
        low, _, high = str(value).partition("-")
        return units.parse_count(low, what), units.parse_count(high or low, what)


class Several(click.ParamType[tuple[Any, ...]]):
    """Values parted by commas, each read alike: 64,128."""

    name = "list"

    def __init__(self, read: Callable[[str, str], Any]) -> None:
        self.read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Any, ...]:
        """The values; BadInput says which is wrong."""
        if isinstance(value, tuple):
            return value
        what = param.name if param is not None and param.name else "list"
        return tuple(self.read(word.strip(), what) for word in str(value).split(",") if word.strip())


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
