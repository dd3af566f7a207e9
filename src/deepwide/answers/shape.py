"""One model as a shape: what `compare` and `design` say of it, with the interval of what is predicted."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from deepwide.answers.models import Model
from deepwide.architecture.experts import Experts
from deepwide.architecture.sizes import bodies, int_or_none, sizes
from deepwide.cost.inference.engine import Engine
from deepwide.cost.inference.passes import Work, forward
from deepwide.cost.memory import cached_elements_per_token
from deepwide.quality.shape import LossPrediction, shape_loss

WEIGHT_BYTES = 2  # shapes are compared in 16 bits
TOKENS_PER_PARAMETER = 20  # the compute-optimal ratio of Hoffmann et al. 2022, arXiv:2203.15556


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A model's shape, its exact bytes, and its predicted loss and decode time. None where nothing can be said."""

    model: str
    parameters: int
    active: int
    layers: int
    hidden: int
    heads: int | None
    kv_heads: int | None
    head_dim: int | None
    ffn: int | None
    weight_bytes: int
    kv_cache_bytes_per_token: int
    decode_s: float | None
    decode_low_s: float | None
    decode_high_s: float | None
    loss: float | None
    low: float | None
    high: float | None
    shape_effect: float | None
    extrapolates: bool
    reasons: tuple[str, ...] = ()

    @property
    def aspect(self) -> float:
        """Hidden size per layer: large is wide, small is deep."""
        return self.hidden / self.layers

    def to_dict(self) -> dict[str, Any]:
        """The shape as plain values."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {**values, "aspect": self.aspect, "reasons": list(self.reasons)}


def shape_of(model: Model, on: Engine | None, *, tokens: float, context: int) -> Shape:
    """Everything that is said of one model's shape; decode time only of what generates, on a given accelerator."""
    architecture, ledger = model.described(), model.ledger
    own = sizes(architecture)
    quality, reasons = predicted_loss(model, tokens)
    decode_s: float | None = None
    if on and architecture.main.causal:
        stream = architecture.main.name
        decode_s = float(forward(ledger, Work(past=context), on, stream).total_s)
    spread = on.profile.spread["decode"] if on else 1.0
    return Shape(
        model=model.name,
        parameters=int(ledger.parameters()),
        active=int(ledger.active_parameters()),
        layers=int(own.layers),
        hidden=int(own.hidden),
        heads=int_or_none(own.heads),
        kv_heads=int_or_none(own.kv_heads),
        head_dim=int_or_none(own.head_dim),
        ffn=int_or_none(own.ffn),
        weight_bytes=WEIGHT_BYTES * int(ledger.parameters()),
        kv_cache_bytes_per_token=2 * int(cached_elements_per_token(ledger)),
        decode_s=decode_s,
        decode_low_s=None if decode_s is None else decode_s / spread,
        decode_high_s=None if decode_s is None else decode_s * spread,
        loss=float(quality.loss) if quality else None,
        low=float(quality.low) if quality else None,
        high=float(quality.high) if quality else None,
        shape_effect=float(quality.shape_effect) if quality else None,
        extrapolates=bool(quality.outside > 0) if quality else False,
        reasons=reasons,
    )


def predicted_loss(model: Model, tokens: float) -> tuple[LossPrediction | None, tuple[str, ...]]:
    """The loss by the shape law, or nothing and the reason: the law was fitted on dense decoders."""
    architecture = model.described()
    if len(architecture.stacks) > 1 or not architecture.main.causal:
        return None, ("no loss: the law was fitted on decoders alone",)
    if any(isinstance(body, Experts) for body in bodies(architecture)):
        return None, ("no loss: the law was fitted on dense models, this one has experts",)
    head = architecture.vocab * architecture.main.hidden
    body = model.ledger.body_parameters()
    quality = shape_loss(body, head, architecture.main.layers, architecture.main.hidden, tokens)
    if quality.outside > 0:
        return quality, (f"extrapolates: outside the fitted range ({quality.fitted_range})",)
    return quality, ()
