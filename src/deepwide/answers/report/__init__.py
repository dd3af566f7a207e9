"""One answer as one HTML file: the question, the result in words, tables, figures, notes and sources.

The file needs nothing but itself. Plotly's program is put in once, a rule in the page's head forbids it to fetch
anything, and every text is escaped: the name of a model may contain whatever its owner liked.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from deepwide.answers.figures.theme import graph_objects
from deepwide.answers.places import printable
from deepwide.answers.report.style import report_style
from deepwide.errors import BadInput
from deepwide.facts.own_files import write_whole

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

# Of plotly's buttons, those to save, to zoom and to come back stay.
BUTTONS_LEFT_OUT = ["pan2d", "select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "autoScale2d"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of text under a sentence; the first column is set to the left, numbers to the right.

    The `marked` row is the one meant, `words` are the columns that hold text rather than numbers.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str
    marked: int = -1
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A figure, the name of its file, and the sentence that says how to read it."""

    name: str
    figure: Figure
    caption: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading, and what stands below it in order; left out where there is nothing."""

    title: str
    content: tuple[str | Table | Picture, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """An answer to be read: `question` as it was asked, `headline` the result in a sentence, `command` repeats it."""

    title: str
    question: str
    headline: str
    sections: tuple[Section, ...]
    notes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    command: str = ""

    def pictures(self) -> tuple[Picture, ...]:
        """All figures, in order."""
        return tuple(each for section in self.sections for each in section.content if isinstance(each, Picture))


def html(report: Report) -> str:
    """The report as one HTML page."""
    parts = [
        f"<h1>{escape(report.title)}</h1>",
        f'<p class="question">{escape(report.question)}</p>' if report.question else "",
        f'<p class="headline">{escape(report.headline)}</p>' if report.headline else "",
        *(_section(section) for section in report.sections if section.content),
        _listed("Notes", [escape(note) for note in report.notes]),
        _listed("Sources", [_linked(source) for source in report.sources]),
        f"<h2>To repeat it</h2>\n<pre>{escape(report.command)}</pre>" if report.command else "",
    ]
    return _page(report.title, [part for part in parts if part], figures=bool(report.pictures()))


def write_report(report: Report, path: str | Path) -> Path:
    """Writes the report: the whole file or none."""
    target = writable(path)
    write_whole(target, html(report))
    return target


def write_figures(report: Report, folder: str | Path) -> tuple[Path, ...]:
    """Each figure as a page of its own, NAME.html, from which a button saves it as SVG."""
    paths = []
    for picture in report.pictures():
        target = writable(Path(folder) / f"{picture.name}.html")
        write_whole(target, _page(report.title, [_drawn(picture)], figures=True))
        paths.append(target)
    return tuple(paths)


def writable(path: str | Path) -> Path:
    """The path, if a file can be written there; known before an answer is worked out for it."""
    target, shown = Path(path), printable(path)
    if target.exists() and not target.is_file():
        raise BadInput(f"{shown} is a folder or a device; give the name of a file")
    if not target.parent.is_dir():
        raise BadInput(f"{shown}: there is no folder {printable(target.parent)}; make it first")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise BadInput(f"{shown}: the folder {printable(target.parent)} is not yours to write in; choose another")
    return target


def _page(title: str, parts: Sequence[str], *, figures: bool) -> str:
    program = ""
    if figures:
        graph_objects()
        from plotly.offline import get_plotlyjs

        program = f"<script>{get_plotlyjs()}</script>\n<script>{PRINTING}</script>"
    return PAGE.format(
        title=escape(title), style=report_style(), program=program, body="\n".join(parts), made_by=_made_by()
    )


def _made_by() -> str:
    try:
        return f"deepwide {escape(version('deepwide'))}"
    except PackageNotFoundError:  # run from its sources
        return "deepwide"


def _section(section: Section) -> str:
    content = "\n".join(_content(each) for each in section.content)
    return f"<section>\n<h2>{escape(section.title)}</h2>\n{content}\n</section>"


def _content(each: str | Table | Picture) -> str:
    if isinstance(each, str):
        return f"<p>{escape(each)}</p>"
    return _table(each) if isinstance(each, Table) else _drawn(each)


def _table(table: Table) -> str:
    """A table in a box of its own that scrolls where the screen is narrow."""
    left = [i == 0 or column in table.words for i, column in enumerate(table.columns)]
    head = "".join(_cell("th", column, "col", left[i]) for i, column in enumerate(table.columns))
    rows = [
        f"<tr{' class=marked' if number == table.marked else ''}>"
        + "".join(_cell("td" if i else "th", cell, "" if i else "row", left[i]) for i, cell in enumerate(row))
        + "</tr>"
        for number, row in enumerate(table.rows)
    ]
    caption = escape(table.caption or "table")
    body = "\n".join(rows)
    return (
        f'<p class="caption">{caption}</p>\n<div class="scroll" tabindex="0" role="region" aria-label="{caption}">\n'
        f"<table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>\n</div>"
    )


def _cell(tag: str, text: str, scope: str, left: bool) -> str:
    scoped = f' scope="{scope}"' if scope else ""
    return f"<{tag}{scoped}{' class=left' if left else ''}>{escape(text)}</{tag}>"


def _drawn(picture: Picture) -> str:
    """A figure; its title goes to the caption, where a narrow screen can wrap it."""
    config = {
        "responsive": True,
        "displaylogo": False,
        "showSendToCloud": False,  # a button that would put the figure on a server
        "modeBarButtonsToRemove": BUTTONS_LEFT_OUT,
        "toImageButtonOptions": {"format": "svg", "filename": picture.name},
    }
    figure = graph_objects().Figure(picture.figure)
    title = figure.layout.title.text or ""
    figure.update_layout(title=None)
    drawn = figure.to_html(
        full_html=False, include_plotlyjs=False, config=config, default_width="100%", div_id=f"figure-{picture.name}"
    )
    return f"<figure>\n{drawn}\n<figcaption><b>{escape(title)}.</b> {escape(picture.caption)}</figcaption>\n</figure>"


def _listed(title: str, items: Sequence[str]) -> str:
    lines = "\n".join(f"<li>{item}</li>" for item in dict.fromkeys(items))
    return f"<section>\n<h2>{title}</h2>\n<ul>\n{lines}\n</ul>\n</section>" if lines else ""


def _linked(source: str) -> str:
    """A source; its web addresses become links, which a reader may follow and the page never does."""
    pieces = re.split(r"(https?://[^\s<>\"']*[\w/])", source)
    return "".join(
        f'<a href="{escape(piece)}" rel="noreferrer">{escape(piece)}</a>' if number % 2 else escape(piece)
        for number, piece in enumerate(pieces)
    )


PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'; \
style-src 'unsafe-inline'; img-src data: blob:">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{style}</style>
{program}
</head>
<body>
<main>
{body}
</main>
<footer>Made by {made_by}</footer>
</body>
</html>
"""
# On paper a figure is as wide as the sheet, whatever the screen was.
PRINTING = """
function widths(width) {
  for (const plot of document.querySelectorAll(".js-plotly-plot")) Plotly.relayout(plot, {width, autosize: !width});
}
addEventListener("beforeprint", () => widths(660));
addEventListener("afterprint", () => widths(null));
"""
