"""Tables for a terminal, drawn by rich. Imported only by commands that draw one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], *, words: Sequence[str] = (), marked: int = -1
) -> None:
    """A table; the first column and those of `words` are set to the left, numbers to the right.

    The `marked` row is bold and green.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 or column in words else "right", no_wrap=True)
    for i, row in enumerate(rows):
        table.add_row(*(str(cell) for cell in row), style="bold green" if i == marked else None)
    console = Console(highlight=False, markup=False, emoji=False)  # a source such as [gpt2] is text, not a style
    # A narrow terminal wraps long lines; cutting cells to its width would hide numbers.
    console.width = max(console.width, console.measure(table, options=console.options.update(max_width=400)).maximum)
    console.print(table)
