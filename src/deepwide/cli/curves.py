"""Curves for a terminal, in braille: eight dots a character, a colour a curve."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence

import click

WIDE, HIGH = 72, 12  # characters; each has 2 x 4 dots
LABEL = 9  # characters before the axis
# A first fall, in that share of the way, is cut off where it takes more than that share of the height.
STEEP, TALL = 0.03, 0.25
BLANK = 0x2800
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # the bit of a dot, by its row and column
Points = Sequence[tuple[float, float]]
Curve = tuple[str, Points, str]  # its name, what it goes through from left to right, its colour
Cells = dict[tuple[int, int], tuple[int, str]]  # row and column of a character -> its dots, their colour


def print_curves(curves: Sequence[Curve], x_label: Callable[[float], str], y_label: Callable[[float], str]) -> None:
    """The curves over one axis, later ones on top; nothing where there are no two points to connect."""
    curves = [each for each in curves if len(each[1]) > 1]
    xs = [x for _, points, _ in curves for x, _ in points]
    ys = [y for _, points, _ in curves for _, y in points]
    if not curves or min(xs) == max(xs):
        return
    left, right, low = min(xs), max(xs), min(ys)
    later = max(_highest(points, left + STEEP * (right - left)) for _, points, _ in curves)
    high = later if max(ys) - later > TALL * (max(ys) - low) else max(ys)
    cells: Cells = {}
    for _, points, colour in curves:
        for column, row in _dots(points, left, right, low, high):
            _set(cells, column, row, colour)
    labels = {0: y_label(high), HIGH // 2: y_label((low + high) / 2), HIGH - 1: y_label(low)}
    for row in range(HIGH):
        axis = f"{labels.get(row, ''):>{LABEL}} {'┤' if row in labels else '│'}"
        click.echo(f"{click.style(axis, dim=True)}{_line(cells, row)}")
    ends = f"{x_label(left)}{x_label(right):>{WIDE - len(x_label(left))}}"
    indent = " " * (LABEL + 1)
    click.echo(click.style(f"{indent}└{'─' * WIDE}\n{indent} {ends}", dim=True))
    named = (f"{click.style('━━', fg=colour)} {name}" for name, _, colour in curves)
    click.echo(f"{indent} {'   '.join(named)}\n")


def _dots(points: Points, left: float, right: float, low: float, high: float) -> Iterator[tuple[int, int]]:
    """The dots of a curve: in each column all from the height of the one before to its own."""
    columns, rows = 2 * WIDE, 4 * HIGH
    step, last = (right - left) / (columns - 1), None
    for column in range(columns):
        value = _value(points, left + (column - 0.5) * step, left + (column + 0.5) * step)
        if value is None:
            last = None
            continue
        if value > high:
            last = 0
            continue
        row = round((high - value) / (high - low) * (rows - 1)) if high > low else rows // 2
        begin = row if last is None else last + (row > last) - (row < last)
        for each in range(min(begin, row), max(begin, row) + 1):
            yield column, each
        last = row


def _highest(points: Points, begin: float) -> float:
    """The highest point from some x on; of a curve that ends before, its lowest."""
    there = _value(points, begin, begin)
    heights = [y for x, y in points if x >= begin] + ([] if there is None else [there])
    return max(heights) if heights else min(y for _, y in points)


def _value(points: Points, begin: float, end: float) -> float | None:
    """The mean of the points from one x to another, or else the straight line between their neighbours."""
    first, after = (bisect_right(points, (x, float("inf"))) for x in (begin, end))
    if first < after:
        return sum(y for _, y in points[first:after]) / (after - first)
    if first == 0 or first == len(points):
        return None
    (x0, y0), (x1, y1) = points[first - 1], points[first]
    return y0 + (y1 - y0) * ((begin + end) / 2 - x0) / (x1 - x0)


def _set(cells: Cells, column: int, row: int, colour: str) -> None:
    """Sets a dot; a character has one colour, that of the last curve through it."""
    at = row // 4, column // 2
    bits, was = cells.get(at, (0, colour))
    cells[at] = (bits if was == colour else 0) | DOTS[row % 4][column % 2], colour


def _line(cells: Cells, row: int) -> str:
    found = (cells.get((row, column), (0, "")) for column in range(WIDE))
    return "".join(click.style(chr(BLANK + bits), fg=colour) if bits else " " for bits, colour in found).rstrip()
