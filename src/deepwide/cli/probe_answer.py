"""What all probes take and show alike: the model and its text, progress, JSON, a page, a sentence, notes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import click

from deepwide.cli.options import ModelName, Number
from deepwide.cli.output import json_option, notes, print_json, title, wrapped

if TYPE_CHECKING:
    from deepwide.answers.report import Report

ROOT = "The folder of runs, of prepared text and of what probes keep.  [default: runs, or DEEPWIDE_RUNS]"
PROBED = "MODEL_OR_RUN"


class Found(Protocol):
    """The answer of a probe."""

    @property
    def says(self) -> str:
        """What it shows, in a sentence."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What had to be assumed."""

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain values."""


def model_argument(what: str = PROBED) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """What is looked into."""
    return click.argument("model", type=ModelName(), metavar=what)


def text_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The text that a model reads while it is looked into."""
    for option in (
        click.option("--seed", default=0, show_default=True, help="Of the first weights and of the batches."),
        click.option("--context", type=Number(), help="Tokens of a sequence.  [default: 64]"),
        click.option("--batch", type=int, help="Sequences that are read at once.  [default: 8]"),
        click.option("--tokenizer", default="", help="bytes, bpe:4096, or a tokenizer.json; a run has its own."),
        click.option("--data", default="", help="Text files or a folder; default: a run's own, or Python's library."),
    ):
        command = option(command)
    return command


def answer_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Where things lie, and how the answer is given."""
    for option in (
        json_option(),
        click.option("--html", metavar="FILE", help="Write the picture as a page."),
        click.option("--root", metavar="FOLDER", help=ROOT),
    ):
        command = option(command)
    return command


def watch(line: str) -> None:
    """A line of progress, where it disturbs no answer."""
    click.echo(f"  {line}", err=True)


def show(
    answer: Found,
    heading: str,
    rest: str,
    *,
    as_json: bool,
    html: str | None,
    page: Callable[[str], Report],
    draw: Callable[[], None],
) -> None:
    """The answer as one JSON object, or drawn with its sentence; and as a page where one was asked for."""
    if html is not None:
        from deepwide.answers.report import write_report

        write_report(page(repeated()), html)
    if as_json:
        print_json(answer.to_dict())
        return
    title(heading, rest)
    draw()
    click.echo(f"  {wrapped(answer.says, 2)}\n")
    if html is not None:
        click.echo(f"  written to {html}\n")
    notes(wrapped(note, len("note: ")) for note in answer.notes)


def refuse_unwritable(html: str | None) -> None:
    """Refuses a page that could not be written, before minutes are spent on it."""
    if html is not None:
        from deepwide.answers.report import writable

        writable(html)


def repeated() -> str:
    """The command as it was given."""
    import shlex

    words = click.get_current_context().find_root().obj or sys.argv[1:]
    return f"deepwide {shlex.join(words)}"
