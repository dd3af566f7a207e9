"""The options that put an answer in a file: `--html` as a report, `--plots` its figures one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from deepwide.answers.report import Report

WITH_VALUE = ("--html", "--plots")


def report_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--html` and `--plots`; whether they can be written is known before the answer is worked out."""
    for option in (
        click.option(
            "--plots", metavar="FOLDER", callback=_checked, help="Write each figure as a page: FOLDER/NAME.html."
        ),
        click.option(
            "--html", metavar="FILE", callback=_checked, help="Write a report with figures: one file, no network."
        ),
    ):
        command = option(command)
    return command


def write_files(made: Callable[[str], Report], html: str | None, plots: str | None) -> None:
    """Writes what was asked for; `made` makes the report from the command that repeats it."""
    from deepwide.answers.report import write_figures, write_report

    report = made(repeated(click.get_current_context().obj or ()))
    paths = [*([write_report(report, html)] if html else []), *(write_figures(report, plots) if plots else [])]
    for path in paths:
        click.echo(f"wrote {path}", err=True)


def repeated(words: Iterable[str]) -> str:
    """The command as it was typed, without the options that say where its answer goes.

    >>> repeated(["explain", "gpt2", "--html", "out.html", "--tokens", "20B", "--json"])
    'deepwide explain gpt2 --tokens 20B'
    """
    import shlex

    kept, left = ["deepwide"], iter(words)
    for word in left:
        if word in WITH_VALUE:
            next(left, "")
        elif word != "--json" and not word.startswith(tuple(f"{option}=" for option in WITH_VALUE)):
            kept.append(word)
    return shlex.join(kept)


def _checked(context: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """The path, if plotly is there and a file can be written at it."""
    if value is None:
        return None
    from deepwide.answers.figures.theme import graph_objects
    from deepwide.answers.report import writable

    writable(Path(value) / "figure.html" if param.name == "plots" else value)
    graph_objects()
    return value
