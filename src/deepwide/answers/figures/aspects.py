"""How wide published models are for their size, and what the shape law finds best: hidden / layers over parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deepwide import units
from deepwide.answers.figures import theme

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

# First year of each era, its colour, its symbol. Years have an order, so the colours have one too: from light to dark.
ERAS = (
    (0, "to 2021", "#a3acb8", "circle"),
    (2022, "2022, 2023", theme.SKY, "square"),
    (2024, "2024", theme.BLUE, "diamond"),
    (2025, "2025 on", "#00204d", "triangle-up"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aspect:
    """One model: how large, how many layers, how wide, from when."""

    model: str
    parameters: int
    layers: int
    hidden: int
    year: int = 0
    experts: bool = False

    @property
    def aspect(self) -> float:
        """Hidden size per layer."""
        return self.hidden / self.layers


@dataclass(frozen=True, slots=True, kw_only=True)
class BestAspect:
    """The law's best ratio at a size, and the ratios that are as good as it; `inside` where the law was fitted."""

    parameters: float
    best: float
    low: float
    high: float
    inside: bool


def aspect_ratios(
    models: Sequence[Aspect],
    designs: Sequence[Aspect] = (),
    best: Sequence[BestAspect] = (),
    title: str = "Published shapes over size",
) -> Figure:
    """Aspect ratios of published models over their size, the law's best ratio, and the designs in question."""
    figure = theme.blank(title, height=540)
    figure.add_traces(_law(best))
    for first, (start, era, colour, symbol) in enumerate(ERAS):
        end = ERAS[first + 1][0] if first + 1 < len(ERAS) else 10_000
        if of_era := [m for m in models if start <= m.year < end]:
            figure.add_trace(_models(of_era, era, {"size": 7, "color": colour, "symbol": symbol, "opacity": 0.85}))
    if designs:
        figure.add_trace(_designs(designs))
    shown = [*models, *designs]
    sizes = [float(m.parameters) for m in shown] + [b.parameters for b in best]
    ratios = [m.aspect for m in shown] + [edge for b in best for edge in (b.low, b.high)]
    figure.update_xaxes(**theme.log_axis("parameters", sizes or [1.0], lambda tick: units.count(tick, 0)))
    figure.update_yaxes(**theme.log_axis("hidden / layers (wider is up)", ratios or [1.0], lambda tick: f"{tick:g}"))
    figure.update_layout(margin={"b": 128})
    return figure


def _law(best: Sequence[BestAspect]) -> list[Any]:
    """The band of ratios as good as the best, and the best: a line, dashed beyond what the law was fitted on."""
    if not best:
        return []
    go = theme.graph_objects()
    sizes = [b.parameters for b in best]
    edge: dict[str, Any] = {"x": sizes, "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
    line: dict[str, Any] = {"x": sizes, "mode": "lines", "hovertext": [_said(b) for b in best], "hoverinfo": "text"}
    colour = {"color": theme.GREEN, "width": 2}
    return [
        go.Scatter(y=[b.low for b in best], showlegend=False, **edge),
        go.Scatter(
            y=[b.high for b in best],
            fill="tonexty",
            fillcolor=theme.faint(theme.GREEN),
            name="as good, by the law",
            **edge,
        ),
        go.Scatter(y=[b.best for b in best], showlegend=False, **{**line, "line": {**colour, "dash": "dot"}}),
        go.Scatter(y=[b.best if b.inside else None for b in best], name="best, by the law", **{**line, "line": colour}),
    ]


def _said(best: BestAspect) -> str:
    return theme.lines(
        f"best hidden / layers at {units.count(best.parameters, 1)}: {best.best:.0f}",
        f"as good: {best.low:.0f} to {best.high:.0f}",
        "" if best.inside else "beyond the sizes that the law was fitted on",
    )


def _models(models: Sequence[Aspect], name: str, marker: dict[str, Any]) -> Any:
    return theme.graph_objects().Scatter(
        x=[m.parameters for m in models],
        y=[m.aspect for m in models],
        mode="markers",
        name=name,
        marker=marker,
        hovertext=[_named(m) for m in models],
        hoverinfo="text",
    )


def _designs(designs: Sequence[Aspect]) -> Any:
    return _models(
        designs,
        "this design" if len(designs) == 1 else "these designs",
        {"size": 17, "symbol": "star", "color": theme.MARK, "line": {"color": theme.PAPER, "width": 1}},
    )


def _named(model: Aspect) -> str:
    return theme.lines(
        model.model,
        f"{units.count(model.parameters)} parameters{', experts' if model.experts else ''}",
        f"{model.layers} layers × {model.hidden:,} hidden, ratio {model.aspect:.0f}",
        str(model.year or ""),
    )
