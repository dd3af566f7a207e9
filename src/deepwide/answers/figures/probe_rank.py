"""How alike tokens become by layer: distance to rank one above, mean cosine below, with and without skips and FFNs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deepwide.answers.figures import theme
from deepwide.answers.figures.probe_gradients import power

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from deepwide.answers.probe.rank import Rank, Way

PANELS = (("distance", "distance to rank one"), ("cosine", "mean cosine"), ("effective_rank", "effective rank"))


def rank_collapse(answer: Rank) -> Figure:
    """Three panels over the layers; a line for each way through the weights."""
    theme.graph_objects()
    from plotly.subplots import make_subplots

    figure = make_subplots(rows=3, cols=1, shared_xaxes=True, vertical_spacing=0.05, row_heights=[0.5, 0.25, 0.25])
    theme.styled(figure, "Likeness of the tokens by layer", height=640)
    for row, (name, title) in enumerate(PANELS, 1):
        for way in answer.ways:
            figure.add_trace(_line(way, name, row == 1), row=row, col=1)
        known = [v for way in answer.ways for x in way.layers if (v := getattr(x, name)) is not None and v > 0]
        axis = theme.log_axis(title, known or [1.0], power) if name == "distance" else theme.axis(title)
        figure.update_yaxes(**axis, row=row, col=1)
        figure.update_xaxes(**theme.axis("layer" if row == len(PANELS) else ""), row=row, col=1)
    figure.update_layout(margin={"b": 110})
    return figure


def _line(way: Way, name: str, first: bool) -> Any:
    colour = theme.BLUE if way.attention_only else theme.VERMILION
    values = [getattr(x, name) for x in way.layers]
    return theme.graph_objects().Scatter(
        x=[x.layer for x in way.layers],
        y=[v if name != "distance" or v else None for v in values],
        mode="lines+markers",
        name=theme.label(way.label),
        legendgroup=way.label,
        showlegend=first,
        marker={"size": 5},
        line={"color": colour, "width": 2, "dash": "solid" if way.residual else "dot"},
    )
