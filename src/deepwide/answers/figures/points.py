"""A shape as the figures see it: its sizes, its predicted loss and decode time, how well both are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deepwide import units
from deepwide.answers.figures.theme import lines
from deepwide.answers.shape import Shape, loss_resolution_of
from deepwide.design.counterfactual import TIME_RESOLUTION
from deepwide.quality.shape import TIE, Z

DECODE_APART_SHARE = Z * TIME_RESOLUTION["decode"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapePoint:
    """One shape. What is not known is None; `name` is shown beside the point where it has one.

    loss_low, loss_high, decode_low_s, decode_high_s    the interval of the prediction itself
    loss_apart, decode_apart_share    by how much the shape in question has to differ for the difference to be known
                                      (95%): nats, and a share of the time
    """

    model: str
    layers: int
    hidden: int
    parameters: int
    loss: float
    decode_s: float | None = None
    loss_low: float | None = None
    loss_high: float | None = None
    decode_low_s: float | None = None
    decode_high_s: float | None = None
    loss_apart: float = TIE
    decode_apart_share: float = DECODE_APART_SHARE
    memory_bytes: float | None = None
    name: str = ""

    @property
    def aspect(self) -> float:
        """Hidden size per layer: large is wide, small is deep."""
        return self.hidden / self.layers

    @property
    def decode_ms(self) -> float:
        """Milliseconds a token; not a number where the time is not known."""
        return float("nan") if self.decode_s is None else 1e3 * self.decode_s


def row_point(
    row: Mapping[str, Any], context: int, *, spread: float | None = None, loss_apart: float = TIE
) -> ShapePoint:
    """The point of a row of `design`; `spread` is the factor that a decode time is good to."""
    decode_s = float(row["decode_s"])
    return ShapePoint(
        model=str(row["model"]),
        layers=int(row["layers"]),
        hidden=int(row["hidden"]),
        parameters=int(row["parameters"]),
        loss=float(row["loss"]),
        loss_low=float(row["low"]),
        loss_high=float(row["high"]),
        decode_s=decode_s,
        decode_low_s=None if spread is None else decode_s / spread,
        decode_high_s=None if spread is None else decode_s * spread,
        loss_apart=loss_apart,
        memory_bytes=float(row["weight_bytes"]) + context * float(row["kv_cache_bytes_per_token"]),
    )


def known_points(shapes: Mapping[str, Shape], context: int, against: Shape) -> tuple[ShapePoint, ...]:
    """The points of named shapes, those without a predicted loss left out; how far each is from one of them counts."""
    return tuple(
        ShapePoint(
            model=shape.model,
            layers=shape.layers,
            hidden=shape.hidden,
            parameters=shape.parameters,
            loss=shape.loss,
            loss_low=shape.low,
            loss_high=shape.high,
            decode_s=shape.decode_s,
            decode_low_s=shape.decode_low_s,
            decode_high_s=shape.decode_high_s,
            loss_apart=loss_resolution_of(against, shape),
            memory_bytes=shape.weight_bytes + context * shape.kv_cache_bytes_per_token,
            name=name,
        )
        for name, shape in shapes.items()
        if shape.loss is not None
    )


def described(point: ShapePoint) -> str:
    """The full shape in a few lines, for whoever touches the point."""
    return lines(
        point.name or f"{point.layers} layers × {point.hidden:,} hidden",
        point.model,
        f"{point.layers} layers × {point.hidden:,} hidden, ratio {point.aspect:.1f}",
        f"{units.count(point.parameters)} parameters",
        f"loss {point.loss:.3f} nats{_between(point.loss_low, point.loss_high)}",
        "" if point.decode_s is None else f"decode {_decode(point, point.decode_s)}",
        "" if point.memory_bytes is None else f"weights and cache {units.size(point.memory_bytes, 1)}",
    )


def _decode(point: ShapePoint, decode_s: float) -> str:
    low, high = point.decode_low_s, point.decode_high_s
    between = "" if low is None or high is None else f" ({units.duration(low)} to {units.duration(high)})"
    return f"{units.duration(decode_s)}{between}"


def _between(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" ({low:.3f} to {high:.3f})"
