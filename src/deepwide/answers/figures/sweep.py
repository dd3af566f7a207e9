"""A sweep as a picture: loss of each shape with its interval and the law's line above, speed of training below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from deepwide.answers.figures import theme
from deepwide.answers.sweep.ranking import BEST, TIED, WORSE, Ranked
from deepwide.answers.sweep.words import axis_of

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from deepwide.answers.sweep import Sweep

AXES = {"layers": "layers", "ratio": "FFN / hidden", "": "shape"}
# What is said of a shape -> its colour and symbol: filled where it may be the best, hollow where it is not.
MARKS = {
    BEST: ("the best", theme.MARK, "star", 15),
    TIED: ("not separable from the best", theme.BLUE, "circle", 10),
    WORSE: ("worse", theme.BLUE, "circle-open", 10),
    "not ranked": ("not ranked", theme.GREY, "x", 9),
}
HEIGHT, SPEED_SHARE = 620, 0.3
MARGIN = 0.1  # of the losses' range, above and below


def shapes_compared(answer: Sweep) -> Figure:
    """Loss against layers or ratio: means with 95% intervals, runs, the law moved by one constant; then the speed."""
    theme.graph_objects()
    from plotly.subplots import make_subplots

    name, places = axis_of(answer.plan.shapes)
    points = [(x, row) for x, row in sorted(zip(places, answer.shapes, strict=True), key=lambda pair: pair[0])]
    points = [(x, row) for x, row in points if row.mean is not None]
    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.05, row_heights=[1 - SPEED_SHARE, SPEED_SHARE]
    )
    theme.styled(figure, _title(answer), height=HEIGHT)
    figure.update_xaxes(**_x_axis(name, [x for x, _ in points] or [1.0], answer))
    figure.update_xaxes(title={"text": AXES[name], "standoff": 8}, row=2, col=1)
    figure.add_traces([*_law(points, answer), *_runs(points), *_means(points, answer)], rows=1, cols=1)
    figure.add_trace(_speeds(points), row=2, col=1)
    figure.update_yaxes(**theme.axis("loss, nats a byte", **_measured(points, answer)), row=1, col=1)
    figure.update_yaxes(**theme.axis("tokens / CPU-s", rangemode="tozero"), row=2, col=1)
    figure.update_layout(margin={"b": 112})
    return figure


def _title(answer: Sweep) -> str:
    equal = {"parameters": "equal parameters", "flops_per_token": "equal FLOPs per token", "": "given shapes"}
    return f"Loss at {equal[answer.equal]}, {answer.plan.seeds} seeds"


def _x_axis(name: str, places: Sequence[float], answer: Sweep) -> dict[str, Any]:
    """A logarithmic axis with a tick at every shape; of shapes as they were given, their names."""
    ticks = [f"{x:.3g}" for x in places] if name else [theme.label(shape.name) for shape in answer.plan.shapes]
    axis = theme.log_axis("", places, lambda tick: f"{tick:g}") if name else theme.axis("")
    return {**axis, "tickvals": list(places), "ticktext": ticks[: len(places)]}


def _measured(points: Sequence[tuple[float, Ranked]], answer: Sweep) -> dict[str, Any]:
    """The range of what was measured: a law that goes far beyond it is cut off, so that the shapes can be seen."""
    losses = [loss for _, row in points for loss in row.losses if loss is not None]
    if not losses:
        return {}
    reach = answer.spread.mean_reach if answer.spread else 0.0
    margin = MARGIN * (max(losses) - min(losses)) + reach
    return {"range": [min(losses) - margin, max(losses) + margin]}


def _law(points: Sequence[tuple[float, Ranked]], answer: Sweep) -> list[Any]:
    told = [(x, row.predicted) for x, row in points if row.predicted is not None]
    if answer.law is None or not told:
        return []
    return [
        theme.graph_objects().Scatter(
            x=[x for x, _ in told],
            y=[expected + answer.law.offset for _, expected in told],
            mode="lines",
            name=f"the law, moved by {answer.law.offset:+.2f}",
            line={"color": theme.ORANGE, "width": 2, "dash": "dash", "shape": "spline"},
            hoverinfo="skip",
        )
    ]


def _runs(points: Sequence[tuple[float, Ranked]]) -> list[Any]:
    """Each run by itself, small and faint."""
    single = [(x, loss) for x, row in points for loss in row.losses if loss is not None]
    return [
        theme.graph_objects().Scatter(
            x=[x for x, _ in single],
            y=[loss for _, loss in single],
            mode="markers",
            name="single runs",
            marker={"size": 4, "color": theme.GREY},
            hoverinfo="skip",
        )
    ]


def _means(points: Sequence[tuple[float, Ranked]], answer: Sweep) -> list[Any]:
    """The means, marked by what can be said of them."""
    found = []
    for verdict, (name, colour, symbol, size) in MARKS.items():
        of = [(x, row) for x, row in points if row.verdict == verdict]
        if of:
            reach = answer.spread.mean_reach if answer.spread else 0.0
            found.append(
                theme.graph_objects().Scatter(
                    x=[x for x, _ in of],
                    y=[row.mean for _, row in of],
                    mode="markers",
                    name=name,
                    error_y={"type": "constant", "value": reach, "color": theme.INK, "thickness": 1.5, "width": 12},
                    marker={"size": size, "color": colour, "symbol": symbol, "line": {"width": 2, "color": colour}},
                    hovertext=[_touched(row) for _, row in of],
                    hoverinfo="text",
                )
            )
    return found


def _speeds(points: Sequence[tuple[float, Ranked]]) -> Any:
    return theme.graph_objects().Scatter(
        x=[x for x, _ in points],
        y=[row.tokens_per_cpu_s for _, row in points],
        mode="lines+markers",
        name="speed",
        showlegend=False,
        line={"color": theme.GREEN, "width": 2},
        marker={"size": 7},
        hovertext=[_touched(row) for _, row in points],
        hoverinfo="text",
    )


def _touched(row: Ranked) -> str:
    shape, speed = row.shape, row.tokens_per_cpu_s
    return theme.lines(
        f"{shape.layers} layers × {shape.hidden}",
        f"ffn {shape.ffn}, {shape.body:,} body parameters",
        f"loss {row.mean:.4f}, {row.verdict}",
        f"{speed:,.0f} tokens per CPU-second" if speed else "",
    )
