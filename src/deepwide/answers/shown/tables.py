"""An answer as tables: its values, its own table and short mappings in sight, the long rest folded away.

Names are those of the Python fields and of `--json`, values are spelled with their unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

from deepwide.answers.shown.frames import rows_key

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table as RichTable

    from deepwide.answers.answer import Answer

MOST_ROWS = 100
LONGEST_CELL = 200
MANY_COLUMNS = 12  # with more, and few rows, names go down and rows across
FEW_ROWS = 9
IN_SIGHT = 40  # rows; a longer table is folded


class Table(NamedTuple):
    """Cells under a caption, `open` where they are in sight; the first column names the others."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    open: bool
    left_out: int = 0


def tables(answer: Answer) -> tuple[Table, ...]:
    """The answer's single values, its own table, then everything else that it holds."""
    values, own = answer.to_dict(), rows_key(answer)
    single = {name: value for name, value in values.items() if not isinstance(value, Mapping | list | tuple)}
    deeper = {name: value for name, value in values.items() if name not in single and name != own and value}
    found = [_of_values(type(answer).__name__, single)]
    if own:
        found.append(_of_records(own, values[own])._replace(open=len(values[own]) <= IN_SIGHT))
    found += [_deeper(name, value) for name, value in deeper.items()]
    return tuple(table for table in found if table.rows)


def html(answer: Answer) -> str:
    """The tables in HTML with neither script nor style sheet, so that every notebook shows them."""
    return f"<div>{''.join(_html(table) for table in tables(answer))}</div>"


def rich_tables(answer: Answer) -> Group:
    """The tables in sight, for a terminal."""
    from rich.console import Group

    return Group(*(_rich(table) for table in tables(answer) if table.open))


def _deeper(name: str, value: Any) -> Table:
    """A mapping or a list as a table; a list of mappings is folded, being long."""
    if isinstance(value, Mapping):
        return _of_values(name, value)
    if isinstance(value[0], Mapping):
        return _of_records(name, value)
    return Table(name, (name,), tuple((_cell(name, each),) for each in value), open=True)


def _of_values(caption: str, values: Mapping[str, Any]) -> Table:
    """Names and values; those that are unknown or empty are left out."""
    known = [(name, _cell(name, value)) for name, value in values.items() if value not in (None, "", (), [], {})]
    return Table(caption, (caption, ""), tuple(known), open=len(known) <= IN_SIGHT)


def _of_records(caption: str, records: Sequence[Mapping[str, Any]]) -> Table:
    """A row for each record, or a column where there are few of them and much to say of each."""
    names = list(dict.fromkeys(name for record in records for name in record))
    cells = [tuple(_cell(name, record.get(name)) for name in names) for record in records[:MOST_ROWS]]
    if cells and len(names) > MANY_COLUMNS and len(cells) <= FEW_ROWS:
        heads = (caption, *(str(number) for number in range(len(cells))))
        down = tuple((name, *row) for name, row in zip(names, zip(*cells, strict=True), strict=True))
        return Table(caption, heads, down, open=False)
    return Table(caption, tuple(names), tuple(cells), open=False, left_out=max(0, len(records) - MOST_ROWS))


def _cell(name: str, value: Any) -> str:
    """A value in words, with its unit, of bearable length."""
    from deepwide.answers.report.parts import spelled

    if isinstance(value, Mapping):
        text = ", ".join(f"{key} {_cell(key, each)}" for key, each in value.items())
    elif isinstance(value, list | tuple):
        text = " · ".join(_cell(name, each) for each in value)
    elif isinstance(value, bool):
        text = "yes" if value else "no"
    else:
        text = value if isinstance(value, str) else spelled(name, value)
    return text if len(text) <= LONGEST_CELL else f"{text[: LONGEST_CELL - 1]}…"


def _html(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in table.columns)
    body = "".join(f"<tr>{_html_row(row)}</tr>" for row in table.rows)
    more = f"<p>and {table.left_out:,} more</p>" if table.left_out else ""
    drawn = (
        f'<div style="overflow-x: auto"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{more}'
    )
    if table.open:
        return drawn
    return (
        f"<details><summary>{escape(table.caption)} ({len(table.rows) + table.left_out:,})</summary>{drawn}</details>"
    )


def _html_row(row: Sequence[str]) -> str:
    left = ' style="text-align: left"'
    named = f'<th scope="row"{left}>{escape(row[0])}</th>'
    return named + "".join(f"<td{left if ' ' in cell else ''}>{escape(cell)}</td>" for cell in row[1:])


def _rich(table: Table) -> RichTable:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(box=SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(table.columns):
        drawn.add_column(Text(column), justify="right" if number else "left", overflow="fold")
    for row in table.rows:
        drawn.add_row(*(Text(cell) for cell in row))
    return drawn
