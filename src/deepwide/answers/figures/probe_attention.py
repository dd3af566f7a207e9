"""Attention maps: a square for each head, one band of rows for separate and one for shared queries, keys and values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deepwide.answers.figures import theme

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from deepwide.answers.probe.attention import Attention, Head, Look

MOST_LAYERS, MOST_HEADS = 4, 8  # that are drawn of a model; the first, the last, and layers between
SIDE = 170  # pixels of a map
SCALE = ((0.0, theme.PAPER), (0.15, theme.SKY), (0.5, theme.BLUE), (1.0, "#00204d"))


def attention_squares(answer: Attention) -> Figure:
    """The latest look at each kind of model, layer below layer, head beside head."""
    theme.graph_objects()
    from plotly.subplots import make_subplots

    looks = [look for look in (answer.last(shared=False), answer.last(shared=True)) if look is not None]
    rows = [(look, layer) for look in looks for layer in drawn_layers(look.layers)]
    columns = min(MOST_HEADS, max(head.head for look in looks for head in look.heads))
    figure = make_subplots(
        rows=len(rows),
        cols=columns,
        horizontal_spacing=0.02,
        vertical_spacing=0.1 / len(rows),
        row_titles=[f"{'shared' if look.shared else 'separate'}, layer {layer}" for look, layer in rows],
        column_titles=[f"head {i + 1}" for i in range(columns)],
    )
    theme.styled(figure, "Where each head looks", height=110 + SIDE * len(rows))
    for row, (look, layer) in enumerate(rows, 1):
        for head in look.heads:
            if head.layer == layer and head.head <= columns:
                figure.add_trace(_square(answer, look, head), row=row, col=head.head)
    figure.update_xaxes(showticklabels=False, ticks="", showgrid=False, constrain="domain")
    figure.update_yaxes(showticklabels=False, ticks="", showgrid=False, autorange="reversed")
    figure.update_layout(coloraxis=_colours(), margin={"l": 14, "r": 90, "t": 72, "b": 24})
    return figure


def drawn_layers(layers: int) -> list[int]:
    """The layers that are drawn: all of few, else the first, the last, and some evenly between.

    >>> drawn_layers(24)
    [1, 9, 16, 24]
    """
    count = min(layers, MOST_LAYERS)
    return [round(1 + i * (layers - 1) / max(1, count - 1)) for i in range(count)]


def _square(answer: Attention, look: Look, head: Head) -> Any:
    places = [f"{i} {theme.label(repr(token), 12)}" for i, token in enumerate(answer.tokens)]
    title = theme.label(f"{look.label}, layer {head.layer}, head {head.head}", 80)
    return theme.graph_objects().Heatmap(
        z=[[weight or None for weight in row] for row in head.weights],
        x=places,
        y=places,
        coloraxis="coloraxis",
        hovertemplate=f"{title}<br>%{{y}} looks at %{{x}}: %{{z:.0%}}<extra></extra>",
    )


def _colours() -> dict[str, Any]:
    bar = {"title": {"text": "weight", "side": "right"}, "thickness": 12, "len": 0.6, "x": 1.06, "tickformat": ".0%"}
    return {"colorscale": [list(step) for step in SCALE], "cmin": 0.0, "cmax": 1.0, "colorbar": bar}
