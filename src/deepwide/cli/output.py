"""What every command prints the same way: one JSON object, or lines with bars and aligned numbers.

This is the fast path: it needs neither rich nor numpy. Larger tables are drawn by rich, in `tables.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class Fitting(Protocol):
    """An answer whose point is whether something fits."""

    @property
    def fits(self) -> bool:
        """Yes or no."""

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain values."""


Answer = TypeVar("Answer", bound=Fitting)
WIDEST = 110  # columns; longer lines are hard to read


def json_option() -> Decorator:
    """The `--json` flag."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout and nothing else.")


def print_json(answer: dict[str, Any]) -> None:
    """One JSON object, whole numbers exact; in ASCII, which every terminal and locale can take."""
    click.echo(json.dumps(answer, allow_nan=False))


def print_fitting(answer: Answer, as_json: bool, draw: Callable[[Answer], None]) -> None:
    """The answer as one JSON object or drawn; exit code 1 where it does not fit."""
    if as_json:
        print_json(answer.to_dict())
    else:
        draw(answer)
    if not answer.fits:
        raise click.exceptions.Exit(1)


def bar(share: float, width: int = 32) -> str:
    """A bar of eighths of a character, `width` characters for a share of 1."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    full, rest = divmod(eighths, 8)
    return "█" * full + (" ▏▎▍▌▋▊▉"[rest] if rest else "")


def wrapped(text: str, indent: int) -> str:
    """The text in lines that the terminal holds; all but the first are indented."""
    import shutil
    import textwrap

    width = min(shutil.get_terminal_size().columns, WIDEST) - indent
    lines = textwrap.wrap(text, max(width, 20), break_long_words=False, break_on_hyphens=False)
    return f"\n{' ' * indent}".join(lines)


def measures(lines: Iterable[tuple[str, str, str]], name_width: int, value_width: int) -> None:
    """Lines of a name, a value set to the right, and what there is to say of it."""
    for name, value, rest in lines:
        click.echo(f"  {name:<{name_width}}{value:>{value_width}}   {click.style(rest, dim=True)}".rstrip())


def kept_in(out: str, option: str) -> None:
    """Where a calibration was written and which option takes it; or how to keep it."""
    where = f"written to {out}: predict with {option} {out}" if out else "nothing was written: --out mine.toml keeps it"
    click.echo(f"  {where}")


def title(name: str, rest: str) -> None:
    """The headline of an answer: the model in bold, then what it is."""
    click.echo(f"{click.style(name, bold=True)}  {rest}\n")


def notes(lines: Iterable[str]) -> None:
    """What had to be assumed, one line each."""
    for line in lines:
        click.secho(f"note: {line}", fg="yellow")
