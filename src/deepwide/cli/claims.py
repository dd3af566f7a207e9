"""`deepwide claims`: the claims book, one line a claim; one claim in full; the pages of the documentation."""

from __future__ import annotations

import inspect
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deepwide.claims.book import Entry, answered, claims, listed
from deepwide.claims.words import COLOURS, DOCUMENTS, LANGUAGES, MARKS, SHORT, SOURCES, VERDICTS, spelled
from deepwide.cli.output import json_option, print_json

if TYPE_CHECKING:
    from rich.console import Console

WIDEST = 120  # columns; a statement ends sooner
PAGES = ("claims", "deep-or-wide")


def _language(command: Any) -> Any:
    return click.option(
        "--language", type=click.Choice(LANGUAGES), default="en", show_default=True, help="Of the texts."
    )(command)


@click.group(invoke_without_command=True)
@click.option("--document", "of", default="", metavar="N", help="Only those of a document: 000 to 004.")
@click.option("--verdict", type=click.Choice(list(SHORT)), default=None, help="Only those with this verdict.")
@click.option(
    "--write", metavar="FOLDER", default="", help="Writes the pages of the documentation there, in both languages."
)
@_language
@json_option()
@click.pass_context
def command(ctx: click.Context, of: str, verdict: str | None, write: str, language: str, as_json: bool) -> None:
    """What five documents about the shape of models state, computed anew: holds, holds when, wrong, undecided.

    \b
    deepwide claims --verdict wrong
    deepwide claims show 004-13
    """
    if ctx.invoked_subcommand:
        return
    if write:
        _write(Path(write))
        return
    entries = _computed(of, verdict or "")
    if as_json:
        print_json({"claims": [entry.to_dict() for entry in entries]})
        return
    _draw(entries, language)


@command.command()
@click.argument("id")
@_language
@json_option()
def show(id: str, language: str, as_json: bool) -> None:
    """One claim in full: the statement, the verdict, every number, and the code that judges it."""
    entry = answered(id)
    if as_json:
        print_json(entry.to_dict())
        return
    _show(entry, language)


def _computed(of: str, verdict: str) -> tuple[Entry, ...]:
    """The entries, with a line on a terminal that says which one is being computed."""
    from rich.console import Console

    with Console(stderr=True).status("") as status:
        return claims(of, verdict, lambda id: status.update(f"{id}, one of {len(listed())} claims"))


def _draw(entries: tuple[Entry, ...], language: str) -> None:
    """One line a claim, under the titles of the documents."""
    from rich.text import Text as Styled

    console = _console()
    for name, title in DOCUMENTS.items():
        own = [entry for entry in entries if entry.claim.document == name]
        if own:
            console.print(Styled.assemble((f"{name}  {title.told(language)}", "bold")))
        for entry in own:
            mark = MARKS[entry.verdict] if entry.explained else "!"
            own_id, says = (f"{entry.claim.id}  ", "dim"), entry.claim.says.told(language)
            line = Styled.assemble((f"{mark} ", f"bold {COLOURS[entry.verdict]}"), own_id, says)
            console.print(line, no_wrap=True, overflow="ellipsis")
        if own:
            console.print()
    console.print(_legend(entries, language))


def _legend(entries: tuple[Entry, ...], language: str) -> Any:
    """What the marks mean, with how many claims have each."""
    from rich.text import Text as Styled

    line = Styled()
    for verdict, word in VERDICTS.items():
        count = sum(entry.verdict is verdict for entry in entries)
        line.append(f"{MARKS[verdict]} {count} ", style=f"bold {COLOURS[verdict]}").append(f"{word.told(language)}  ")
    return line


def _show(entry: Entry, language: str) -> None:
    from rich.padding import Padding
    from rich.syntax import Syntax
    from rich.table import Table
    from rich.text import Text as Styled

    console, claim = _console(), entry.claim
    verdict = Styled(
        f"{MARKS[entry.verdict]} {VERDICTS[entry.verdict].told(language)}", f"bold {COLOURS[entry.verdict]}"
    )
    console.print(Styled.assemble((f"{claim.id}  ", "bold"), claim.says.told(language)), "")
    console.print(Padding(verdict, (0, 2)))
    console.print(Padding(entry.why.told(language), (0, 2)), "")
    table = Table.grid(padding=(0, 2))
    for name, value in entry.numbers.items():
        table.add_row(Styled(name, style="dim"), spelled(name, value, language))
    console.print(Padding(table, (0, 2)), "")
    console.print(Padding(Styled(SOURCES[claim.source].told(language), style="dim"), (0, 2)), "")
    code = textwrap.dedent(inspect.getsource(claim.judge))
    code = code[code.index("def ") :]  # without the texts above it
    console.print(Padding(Syntax(code.rstrip(), "python", word_wrap=True, background_color="default"), (0, 2)))


def _console() -> Console:
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False)
    console.width = min(console.width, WIDEST)
    return console


def _write(folder: Path) -> None:
    """The book and the page on deep and wide, in both languages."""
    from deepwide.claims.deep_or_wide import deep_or_wide_page
    from deepwide.claims.page import book_page

    for name, page in zip(PAGES, (book_page, deep_or_wide_page), strict=True):
        for language in LANGUAGES:
            path = folder / (f"{name}.md" if language == "en" else f"{name}.{language}.md")
            path.write_text(page(language), "utf-8")
            click.echo(f"wrote {path}")
