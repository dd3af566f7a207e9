"""How every figure looks: colours that all eyes tell apart, sizes that a phone and a desk can read, axes with units.

A figure states its height and takes the width of the place it is put in. Titles stay short enough for 375 pixels;
what needs a sentence stands below the figure, in the report.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from html import escape
from typing import TYPE_CHECKING, Any

from deepwide.errors import BadInput

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

INK, QUIET, GRID, PAPER = "#1f2328", "#57606a", "#e4e7eb", "#ffffff"
# Okabe and Ito 2008, "Color Universal Design": told apart with any kind of colour vision.
BLUE, GREEN, ORANGE, SKY = "#0072B2", "#009E73", "#E69F00", "#56B4E9"
VERMILION, PURPLE, YELLOW, GREY = "#D55E00", "#CC79A7", "#F0E442", "#8b949e"
MARK = VERMILION  # the shape that a figure is about, and nothing else
PART_COLOURS = {
    "embedding": ORANGE,
    "position": YELLOW,
    "attention": BLUE,
    "ffn": GREEN,
    "router": INK,
    "norm": GREY,
    "head": PURPLE,
    "recurrent": SKY,
    "other": "#d0d7de",
}
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
LONGEST_LABEL = 40
SHORTEST_AXIS = 0.34  # decades: holds two of the ticks 1, 1.5, 2, 3, 4, 5, 7 wherever it begins
HALF_STEPS_UP_TO = 1.3  # decades: a shorter logarithmic axis gets more ticks than 1, 2, 5


def graph_objects() -> Any:
    """Plotly's figures, or an error that says how to install them."""
    try:
        import plotly.graph_objects
    except ImportError:
        raise BadInput("figures need plotly: pip install 'deepwide[plots]'") from None
    return plotly.graph_objects


def blank(title: str, *, height: int = 440) -> Figure:
    """A figure with nothing in it but the theme and a title."""
    figure = graph_objects().Figure()
    styled(figure, title, height=height)
    return figure


def styled(figure: Figure, title: str, *, height: int) -> None:
    """Puts the theme on a figure."""
    figure.update_layout(
        template="none",
        title={"text": title, "font": {"size": 16}, "x": 0, "xref": "paper"},
        height=height,
        autosize=True,
        font={"family": FONT, "size": 12, "color": INK},
        paper_bgcolor=PAPER,
        plot_bgcolor=PAPER,
        margin={"l": 56, "r": 14, "t": 48, "b": 48},
        legend={"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0, "traceorder": "normal"},
        hoverlabel={"align": "left", "bgcolor": PAPER, "bordercolor": GRID, "font": {"color": INK}},
        hovermode="closest",
        dragmode=False,  # on a phone a finger scrolls the page; the buttons still zoom
    )


def axis(title: str, **more: Any) -> dict[str, Any]:
    """A linear axis; its title says the unit."""
    return {
        "title": {"text": title, "standoff": 8},
        "gridcolor": GRID,
        "zeroline": False,
        "ticks": "outside",
        "tickcolor": GRID,
        "ticklen": 4,
        "automargin": True,
        **more,
    }


def log_axis(title: str, values: Iterable[float], spell: Callable[[float], str], **more: Any) -> dict[str, Any]:
    """A logarithmic axis around positive values, with round ticks in words such as 7B."""
    low, high = _logs(values)
    ticks = _round_ticks(low, high)
    return axis(
        title,
        type="log",
        range=[low, high],
        tickvals=ticks,
        ticktext=[spell(tick) for tick in ticks],
        **more,
    )


def _logs(values: Iterable[float]) -> tuple[float, float]:
    """The decades of the values, with a margin of a twentieth at each end, and room for two ticks."""
    logs = [math.log10(value) for value in values]
    span = max(logs) - min(logs)
    margin = max(0.03, span / 20, (SHORTEST_AXIS - span) / 2)
    return min(logs) - margin, max(logs) + margin


def _round_ticks(low: float, high: float) -> list[float]:
    """1, 2, 5 in each decade; on a short axis more, on a long one powers of ten, on a very long one every third."""
    decades = high - low
    steps = (1, 1.5, 2, 3, 4, 5, 7) if decades < HALF_STEPS_UP_TO else (1, 2, 5) if decades < 2.5 else (1,)
    every = 1 if decades < 7 else 2 if decades < 12 else 3
    tens = range(math.floor(low), math.ceil(high) + 1)
    ticks = [step * 10.0**ten for ten in tens if ten % every == 0 for step in steps]
    return [tick for tick in ticks if low <= math.log10(tick) <= high]


def round_steps(longest: float, most: int = 5) -> list[float]:
    """At most so many round numbers from zero up to `longest`: ticks of an axis that begins at zero.

    >>> round_steps(46.7)
    [0.0, 10.0, 20.0, 30.0, 40.0]
    """
    ten = 10.0 ** math.floor(math.log10(longest / most))
    step = next(step * ten for step in (1, 2, 5, 10, 20) if longest / (step * ten) < most)
    return [step * number for number in range(math.floor(longest / step) + 1)]


def label(text: str, most: int = LONGEST_LABEL) -> str:
    """A name as plotly shows it literally, whatever is in it: shortened, and no markup."""
    line = " ".join(text.split())
    return escape(line if len(line) <= most else f"{line[: most - 1]}…", quote=False)


def lines(title: str, *rest: str) -> str:
    """What stands beside a point when it is touched: a bold title and a line for each fact."""
    return "<br>".join([f"<b>{label(title, 80)}</b>", *(label(line, 120) for line in rest if line)])


def faint(colour: str, opacity: float = 0.16) -> str:
    """A colour as the filling of a band."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"
