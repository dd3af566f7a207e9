"""The drift of the tangent kernel against width, both logarithmic, with its line and the interval of the slope."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deepwide.answers.figures import theme

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from deepwide.answers.probe.ntk import Drift, Slope, TangentKernel


def kernel_drift(answer: TangentKernel) -> Figure:
    """A point for each width and seed, and the line through them."""
    figure = theme.blank("Drift of the tangent kernel against width", height=440)
    widths, drifts = [d.width for d in answer.drifts], [d.drift for d in answer.drifts]
    if answer.line is not None:
        figure.add_trace(_line(answer.widths, answer.line))
    figure.add_trace(_points(answer.drifts))
    figure.update_xaxes(**theme.log_axis("hidden", widths, lambda tick: f"{tick:g}"))
    figure.update_xaxes(tickvals=list(answer.widths), ticktext=[f"{width}" for width in answer.widths])
    figure.update_yaxes(**theme.log_axis("||K_end − K_start|| / ||K_start||", drifts, lambda tick: f"{tick:g}"))
    figure.update_layout(margin={"b": 96})
    return figure


def _line(widths: tuple[int, ...], line: Slope) -> Any:
    ends = [widths[0], widths[-1]]
    return theme.graph_objects().Scatter(
        x=ends,
        y=[line.at(width) for width in ends],
        mode="lines",
        name=f"width^{line.slope:.2f} ({line.low:.2f} to {line.high:.2f})",
        line={"color": theme.VERMILION, "width": 2},
        hoverinfo="skip",
    )


def _points(drifts: tuple[Drift, ...]) -> Any:
    return theme.graph_objects().Scatter(
        x=[d.width for d in drifts],
        y=[d.drift for d in drifts],
        mode="markers",
        name="a seed",
        marker={"size": 8, "color": theme.BLUE, "opacity": 0.8},
        hovertext=[
            theme.lines(f"width {d.width}, seed {d.seed}", f"drift {d.drift:.3f}", f"alignment {d.alignment:.4f}")
            for d in drifts
        ],
        hoverinfo="text",
    )
