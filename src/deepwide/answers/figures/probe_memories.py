"""How often the value of a key promotes what follows the key's strongest trigger, by layer, beside chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepwide.answers.figures import theme

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from deepwide.answers.probe.memories import Memories


def memory_agreement(answer: Memories) -> Figure:
    """A bar for each layer, and a mark where chance would put it."""
    go = theme.graph_objects()
    figure = theme.blank("Values that promote what follows their key's trigger", height=380)
    names = [f"{each.layer}" for each in answer.layers]
    said = [f"{each.agreement:.1%}" for each in answer.layers]
    figure.add_trace(
        go.Bar(
            x=names,
            y=[each.agreement for each in answer.layers],
            name="share of the layer's keys",
            marker={"color": theme.GREEN},
            text=said,
            textposition="outside",
            hovertext=[theme.lines(f"layer {x.layer}", f"{x.agreement:.1%} of {x.keys:,} keys") for x in answer.layers],
            hoverinfo="text",
            width=0.5,
        )
    )
    figure.add_trace(
        go.Scatter(
            x=names,
            y=[each.chance for each in answer.layers],
            name="by chance",
            mode="markers",
            marker={"symbol": "line-ew-open", "size": 44, "color": theme.INK, "line": {"width": 2}},
            hovertext=[f"by chance {each.chance:.1%}" for each in answer.layers],
            hoverinfo="text",
        )
    )
    top = max(each.agreement for each in answer.layers)
    figure.update_xaxes(**theme.axis("layer", type="category"))
    figure.update_yaxes(**theme.axis("share of keys", tickformat=".0%", range=[0, max(0.05, 1.15 * top)]))
    figure.update_layout(margin={"b": 92})
    return figure
