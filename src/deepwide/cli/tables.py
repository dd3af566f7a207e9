"""Tables for a terminal, drawn by rich. Imported only by commands that draw one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, marked: int = -1, caption: str = "") -> None:
    """A table; the first column is to the left, numbers to the right. The `marked` row is set in bold green."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, caption=caption or None, caption_justify="left", pad_edge=False)
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 else "right", no_wrap=True)
    for i, row in enumerate(rows):
        table.add_row(*(str(cell) for cell in row), style="bold green" if i == marked else None)
    Console(highlight=False, soft_wrap=False).print(table)
