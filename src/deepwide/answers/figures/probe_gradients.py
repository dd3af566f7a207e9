"""Gradient norm of the weights by layer, for a model built with and without residual connections and norms."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from deepwide.answers.figures import theme

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from deepwide.answers.probe.gradients import Flow, Gradients, Moment

COLOURS = {"pre": theme.BLUE, "post": theme.GREEN, "none": theme.VERMILION, "other": theme.PURPLE}


def gradient_flow(answer: Gradients) -> Figure:
    """A panel for the initialisation and one for after training; a line for each way to build the model."""
    theme.graph_objects()
    from plotly.subplots import make_subplots

    panels = max(len(flow.moments) for flow in answer.flows)
    trained = next((f.moments[1].step for f in answer.flows if len(f.moments) > 1), None)
    titles = ["at initialisation", "trained" if trained is None else f"after {trained:,} steps"][:panels]
    figure = make_subplots(rows=1, cols=panels, shared_yaxes=True, horizontal_spacing=0.04, subplot_titles=titles)
    theme.styled(figure, "Gradient norm of each layer's weights", height=460)
    for flow in answer.flows:
        for i, moment in enumerate(flow.moments, 1):
            figure.add_trace(_line(flow, moment, first=i == 1), row=1, col=i)
    values = [layer.weights for f in answer.flows for m in f.moments for layer in m.layers if layer.weights > 0]
    figure.update_xaxes(**theme.axis("layer"))
    figure.update_yaxes(**theme.log_axis("", values or [1.0], power))
    figure.update_yaxes(title={"text": "||dL/dW||", "standoff": 8}, row=1, col=1)
    figure.update_layout(margin={"b": 128})
    return figure


def _line(flow: Flow, moment: Moment, first: bool) -> Any:
    return theme.graph_objects().Scatter(
        x=[layer.layer for layer in moment.layers],
        y=[layer.weights or None for layer in moment.layers],
        mode="lines",
        name=theme.label(f"{flow.label}{_remark(flow, moment)}"),
        legendgroup=flow.label,
        showlegend=first,
        line={"color": COLOURS[flow.norm], "width": 2, "dash": "solid" if flow.residual else "dot"},
        hovertext=[theme.lines(flow.label, f"layer {x.layer}: {x.weights:.3g}") for x in moment.layers],
        hoverinfo="text",
    )


def _remark(flow: Flow, moment: Moment) -> str:
    """Why a line is not to be seen, in one of the panels or in all."""
    if all(layer.weights == 0 for layer in moment.layers):
        return " (0 in fp32)"
    return " (diverged)" if flow.diverged else ""


def power(value: float) -> str:
    """A tick of an axis over many decades."""
    return f"10<sup>{math.log10(value):.0f}</sup>" if not 0.01 <= value < 10_000 else f"{value:g}"
