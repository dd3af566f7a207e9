"""Where the parameters are: one bar for each model, cut into embedding, attention, FFN and the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deepwide import units
from deepwide.answers.count import PARTS
from deepwide.answers.figures import theme
from deepwide.answers.models import Model

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

SPELLED = {"ffn": "FFN", "head": "output head"}
BAR_HEIGHT = 62  # pixels of a bar, and of its name above it
NAMED_SHARE = 0.09  # of the longest bar: a narrower piece has no room for its percentage
DARK_PARTS = ("attention", "ffn", "router")  # white text is read better on these


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelParts:
    """A model's parameters by part; a tied tensor counts once."""

    model: str
    parts: tuple[tuple[str, int], ...]

    @property
    def total(self) -> int:
        """All parameters."""
        return sum(number for _, number in self.parts)


def model_parts(model: Model, name: str = "") -> ModelParts:
    """The parameters of a model by part, summed over its ledger; parts that it lacks are left out."""
    sums = model.ledger.parameters_by(lambda weight: weight.part)
    return ModelParts(
        model=name or model.name, parts=tuple((part, int(sums[part])) for part in PARTS if sums.get(part))
    )


def parameter_parts(models: Sequence[ModelParts], title: str = "Where the parameters are") -> Figure:
    """Parameters by part, a stacked bar for each model, the first on top."""
    figure = theme.blank(title, height=150 + BAR_HEIGHT * len(models))
    longest = max((each.total for each in models), default=1)
    for part in PARTS:
        if any(part in dict(each.parts) for each in models):
            figure.add_trace(_pieces(part, models, longest))
    for row, each in enumerate(models):
        _name(figure, row, each)
    ticks = theme.round_steps(longest)
    words = [units.count(tick, 1) if tick else "0" for tick in ticks]
    figure.update_xaxes(**theme.axis("parameters", range=[0, longest * 1.01], tickvals=ticks, ticktext=words))
    figure.update_yaxes(visible=False, range=[len(models) - 0.5, -0.75])
    figure.update_layout(barmode="stack", bargap=0.55, margin={"l": 14, "b": 88})
    return figure


def _pieces(part: str, models: Sequence[ModelParts], longest: int) -> Any:
    """One part of every model."""
    numbers = [dict(each.parts).get(part, 0) for each in models]
    shares = [number / each.total if each.total else 0.0 for number, each in zip(numbers, models, strict=True)]
    spelled = SPELLED.get(part, part)
    return theme.graph_objects().Bar(
        x=numbers,
        y=list(range(len(models))),
        orientation="h",
        name=spelled,
        marker={"color": theme.PART_COLOURS[part], "line": {"color": theme.PAPER, "width": 1}},
        text=[
            f"{share:.0%}" if number >= NAMED_SHARE * longest else ""
            for number, share in zip(numbers, shares, strict=True)
        ],
        textposition="inside",
        insidetextanchor="middle",
        insidetextfont={"color": theme.PAPER if part in DARK_PARTS else theme.INK},
        textangle=0,
        hovertext=[
            theme.lines(spelled, each.model, f"{number:,} parameters, {share:.1%}")
            for number, share, each in zip(numbers, shares, models, strict=True)
        ],
        hoverinfo="text",
    )


def _name(figure: Figure, row: int, each: ModelParts) -> None:
    """The name stands above its bar, not beside it: shorthand is longer than a phone is wide."""
    figure.add_annotation(
        text=f"<b>{units.count(each.total)}</b>  {theme.label(each.model)}",
        x=0,
        xanchor="left",
        y=row - 0.25,
        yanchor="bottom",
        showarrow=False,
    )
