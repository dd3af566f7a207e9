"""Deep or wide at equal parameters: loss above, decode time below, against the number of layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deepwide.answers.figures import theme
from deepwide.answers.figures.points import ShapePoint, described

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

BAND = "no clear difference inside"
PANEL_HEIGHT = 230  # pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One of the plots: a value for each point, its band, and how they are drawn."""

    name: str
    axis: dict[str, Any]
    values: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    colour: str


def loss_and_latency(points: Sequence[ShapePoint], recommended: str = "", *, mark: str = "recommended") -> Figure:
    """Loss and decode time of shapes of equal size, with bands: how far apart two have to be to be known apart.

    `recommended` is the model of the point to mark, as `mark` in the legend. Loss stands alone where no time is known.
    """
    theme.graph_objects()
    from plotly.subplots import make_subplots

    ordered = sorted(points, key=lambda p: (p.layers, p.decode_ms))
    chosen = next((i for i, p in enumerate(ordered) if p.model == recommended), None)
    panels = (_loss(ordered), *([_decode(ordered)] if all(p.decode_s is not None for p in ordered) else []))
    figure = make_subplots(rows=len(panels), cols=1, shared_xaxes=True, vertical_spacing=0.06)
    title = "Loss and decode time against depth" if len(panels) > 1 else "Loss against depth"
    theme.styled(figure, title, height=150 + PANEL_HEIGHT * len(panels))
    figure.update_xaxes(**theme.log_axis("", [p.layers for p in ordered] or [1], lambda tick: f"{tick:g}"))
    figure.update_xaxes(title={"text": "layers", "standoff": 8}, row=len(panels), col=1)
    for row, panel in enumerate(panels, start=1):
        figure.add_traces(_traces(ordered, panel, first=row == 1), rows=row, cols=1)
        figure.update_yaxes(**panel.axis, row=row, col=1)
        if chosen is not None:
            figure.add_trace(_mark(ordered[chosen], panel.values[chosen], mark if row == 1 else ""), row=row, col=1)
    figure.update_layout(margin={"b": 104})
    return figure


def _loss(points: Sequence[ShapePoint]) -> Panel:
    return Panel(
        name="loss",
        axis=theme.axis("loss, nats per token"),
        values=tuple(p.loss for p in points),
        low=tuple(p.loss - p.loss_apart for p in points),
        high=tuple(p.loss + p.loss_apart for p in points),
        colour=theme.BLUE,
    )


def _decode(points: Sequence[ShapePoint]) -> Panel:
    return Panel(
        name="decode time",
        axis=theme.axis("decode, ms per token", rangemode="tozero"),
        values=tuple(p.decode_ms for p in points),
        low=tuple(p.decode_ms * (1 - p.decode_apart_share) for p in points),
        high=tuple(p.decode_ms * (1 + p.decode_apart_share) for p in points),
        colour=theme.GREEN,
    )


def _traces(points: Sequence[ShapePoint], panel: Panel, first: bool) -> list[Any]:
    """The lower edge of the band, the upper one filled down to it, and the line with its points."""
    go = theme.graph_objects()
    layers = [p.layers for p in points]
    edge = {"x": layers, "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
    return [
        go.Scatter(y=panel.low, showlegend=False, **edge),
        go.Scatter(
            y=panel.high,
            fill="tonexty",
            fillcolor=theme.faint(panel.colour),
            name=BAND,
            showlegend=first,
            **edge,
        ),
        go.Scatter(
            x=layers,
            y=panel.values,
            mode="lines+markers",
            name=panel.name,
            line={"color": panel.colour, "width": 2},
            marker={"size": 7},
            hovertext=[described(p) for p in points],
            hoverinfo="text",
        ),
    ]


def _mark(point: ShapePoint, value: float, name: str) -> Any:
    """The marked shape: one star in each panel, one entry in the legend."""
    return theme.graph_objects().Scatter(
        x=[point.layers],
        y=[value],
        mode="markers",
        name=theme.label(name) or "marked",
        showlegend=bool(name),
        marker={"symbol": "star", "size": 16, "color": theme.MARK, "line": {"color": theme.PAPER, "width": 1}},
        hovertext=[described(point)],
        hoverinfo="text",
    )
