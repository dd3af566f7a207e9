"""The roofline: how much each operation computes per byte it moves, under the roof of an accelerator.

A point on the slope waits for memory, one below the flat part computes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deepwide import units
from deepwide.answers.figures import theme

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

PHASES = {"prefill": "circle", "decode": "diamond"}
SMALLEST_POINT, LARGEST_POINT = 6, 20  # pixels
COLOURS = {
    "attention projections": theme.SKY,
    "attention scores": theme.BLUE,
    "FFN": theme.GREEN,
    "router": theme.INK,
    "recurrence": theme.ORANGE,
    "output head": theme.PURPLE,
    "other": theme.GREY,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """Operations of one kind in one phase, over all layers."""

    name: str
    phase: str
    work_flops: float
    moved_bytes: float
    time_s: float

    @property
    def intensity(self) -> float:
        """Operations per byte moved."""
        return self.work_flops / self.moved_bytes

    @property
    def flops_per_s(self) -> float:
        """What it reaches."""
        return self.work_flops / self.time_s


@dataclass(frozen=True, slots=True, kw_only=True)
class RoofLine:
    """One roof: what a device computes and moves per second."""

    name: str
    flops_per_s: float
    bytes_per_s: float

    @property
    def corner(self) -> float:
        """The operations per byte at which computing takes as long as moving."""
        return self.flops_per_s / self.bytes_per_s


def roofline(kernels: Sequence[Kernel], roofs: Sequence[RoofLine], title: str = "Operations under the roof") -> Figure:
    """Kernels under roofs, both axes logarithmic. The first roof is drawn in full, the others dashed.

    The area of a point is its share of the time of its phase.
    """
    figure = theme.blank(title, height=540)
    intensities = [k.intensity for k in kernels] + [roof.corner for roof in roofs]
    low, high = min(intensities, default=1.0) / 2, max(intensities, default=1.0) * 3
    for number, roof in enumerate(roofs):
        figure.add_trace(_roof(roof, low, high, dash="solid" if number == 0 else "dash"))
    for phase in PHASES:
        figure.add_traces(_phase(phase, [k for k in kernels if k.phase == phase]))
    figure.add_traces([_key(name) for name in dict.fromkeys(k.name for k in kernels)])
    rates = [k.flops_per_s for k in kernels] + [roof.flops_per_s for roof in roofs]
    reached = [*rates, *(low * roof.bytes_per_s for roof in roofs)] or [1.0]
    figure.update_xaxes(**theme.log_axis("FLOP per byte moved", (low, high), lambda tick: f"{tick:g}"))
    figure.update_yaxes(**theme.log_axis("FLOP/s", reached, lambda tick: units.rate(tick, "").rstrip()))
    figure.update_layout(margin={"b": 150})
    return figure


def _roof(roof: RoofLine, low: float, high: float, dash: str) -> Any:
    spelled = f"{units.rate(roof.flops_per_s, 'FLOP/s')}, {units.rate(roof.bytes_per_s, 'B/s')}"
    return theme.graph_objects().Scatter(
        x=[low, roof.corner, high],
        y=[low * roof.bytes_per_s, roof.flops_per_s, roof.flops_per_s],
        mode="lines",
        name=theme.label(roof.name),
        line={"color": theme.INK if dash == "solid" else theme.QUIET, "width": 1.5, "dash": dash},
        hovertext=[theme.lines(roof.name, spelled)] * 3,
        hoverinfo="text",
    )


def _phase(phase: str, kernels: Sequence[Kernel]) -> list[Any]:
    """The points of a phase, the longest first so that a short one on the same spot lies on top."""
    if not kernels:
        return []
    ordered = sorted(kernels, key=lambda k: -k.time_s)
    whole = sum(k.time_s for k in ordered)
    points = theme.graph_objects().Scatter(
        x=[k.intensity for k in ordered],
        y=[k.flops_per_s for k in ordered],
        mode="markers",
        name=phase,
        showlegend=False,
        marker={
            "symbol": PHASES[phase],
            "size": [SMALLEST_POINT + LARGEST_POINT * math.sqrt(k.time_s / whole) for k in ordered],
            "color": [COLOURS.get(k.name, theme.GREY) for k in ordered],
            "opacity": 0.9,
            "line": {"color": theme.PAPER, "width": 1},
        },
        hovertext=[_said(k, k.time_s / whole) for k in ordered],
        hoverinfo="text",
    )
    return [points, _key(phase, PHASES[phase], theme.PAPER)]


def _key(name: str, symbol: str = "square", colour: str = "") -> Any:
    """An entry of the legend alone: colours say which operation, outlines which phase."""
    return theme.graph_objects().Scatter(
        x=[None],
        y=[None],
        mode="markers",
        name=theme.label(name),
        marker={
            "symbol": symbol,
            "size": 11,
            "color": colour or COLOURS.get(name, theme.GREY),
            "line": {"color": theme.QUIET, "width": 1 if colour else 0},
        },
    )


def _said(kernel: Kernel, share: float) -> str:
    return theme.lines(
        f"{kernel.name}, {kernel.phase}",
        f"{units.flops(kernel.work_flops)} of work, {units.size(kernel.moved_bytes)} moved",
        f"{kernel.intensity:.3g} FLOP per byte, reaches {units.rate(kernel.flops_per_s, 'FLOP/s')}",
        f"{units.duration(kernel.time_s)} over all layers, {share:.0%} of the {kernel.phase}",
    )
