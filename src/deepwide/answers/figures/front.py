"""The Pareto front: shapes that none beats in both loss and decode time, and really trained models beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from deepwide import units
from deepwide.answers.figures import theme
from deepwide.answers.figures.points import ShapePoint, described

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

SYMBOLS = ("diamond-open", "square-open", "triangle-up-open", "circle-open", "cross-open", "triangle-down-open")


def pareto_front(
    front: Sequence[ShapePoint],
    recommended: ShapePoint | None = None,
    trained: Sequence[ShapePoint] = (),
    *,
    tie: float = 0.0,
    title: str = "The front: loss against decode time",
) -> Figure:
    """Loss against decode time, coloured by bytes of weights and cache.

    `tie` nats above the lowest loss are shaded: inside, no difference of loss is certain.
    """
    ordered = sorted(front, key=lambda p: p.decode_ms)
    figure = theme.blank(title, height=480)
    if tie > 0 and (shown := [*ordered, *trained]):
        _shade(figure, min(p.loss for p in shown), tie)
    if ordered:
        figure.add_trace(_front(ordered))
    figure.add_traces([_trained(point, SYMBOLS[i % len(SYMBOLS)]) for i, point in enumerate(trained)])
    if recommended is not None:
        figure.add_trace(_recommended(recommended))
    figure.update_xaxes(**theme.axis("decode, ms per token (less is better)"))
    figure.update_yaxes(**theme.axis("loss, nats per token (less is better)"))
    figure.update_layout(margin={"t": 104 if ordered else 48, "b": 92})
    return figure


def _shade(figure: Figure, lowest: float, tie: float) -> None:
    figure.add_hrect(y0=lowest, y1=lowest + tie, fillcolor=theme.faint(theme.GREY), line_width=0, layer="below")
    figure.add_annotation(
        text=f"a tie: {tie:g} nats",
        x=0,
        xref="paper",
        y=lowest + tie,
        showarrow=False,
        xanchor="left",
        yanchor="bottom",
        font={"size": 11, "color": theme.QUIET},
    )


def _front(points: Sequence[ShapePoint]) -> Any:
    memory = [p.memory_bytes for p in points]
    marker: dict[str, Any] = {"size": 9, "color": theme.BLUE}
    if all(value is not None for value in memory):
        known = [value for value in memory if value is not None]
        marker = {"size": 9, "color": known, "colorscale": "Cividis", "colorbar": _colour_bar(known)}
    return theme.graph_objects().Scatter(
        x=[p.decode_ms for p in points],
        y=[p.loss for p in points],
        mode="lines+markers",
        name="best of all shapes",
        line={"color": theme.GREY, "width": 1},
        marker={**marker, "line": {"color": theme.PAPER, "width": 0.5}},
        hovertext=[described(p) for p in points],
        hoverinfo="text",
    )


def _colour_bar(values_bytes: Sequence[float]) -> dict[str, Any]:
    """A bar above the plot, so that a narrow screen keeps its width; sizes in words at its ends and middle."""
    low, high = min(values_bytes), max(values_bytes)
    ticks = [low, (low + high) / 2, high] if high > low else [low]
    return {
        "orientation": "h",
        "y": 1.0,
        "yanchor": "bottom",
        "thickness": 8,
        "len": 0.8,
        "outlinewidth": 0,
        "title": {"text": "weights and cache", "side": "top"},
        "tickvals": ticks,
        "ticktext": [units.size(tick, 1) for tick in ticks],
    }


def _trained(point: ShapePoint, symbol: str) -> Any:
    """One named shape; its name stands in the legend, where neighbours do not cover each other."""
    return theme.graph_objects().Scatter(
        x=[point.decode_ms],
        y=[point.loss],
        mode="markers",
        name=theme.label(point.name or point.model),
        showlegend=True,
        marker={"symbol": symbol, "size": 11, "color": theme.INK, "line": {"width": 1.5}},
        hovertext=[described(point)],
        hoverinfo="text",
    )


def _recommended(point: ShapePoint) -> Any:
    return theme.graph_objects().Scatter(
        x=[point.decode_ms],
        y=[point.loss],
        mode="markers",
        name="recommended",
        marker={"symbol": "star", "size": 17, "color": theme.MARK, "line": {"color": theme.PAPER, "width": 1}},
        hovertext=[described(point)],
        hoverinfo="text",
    )
