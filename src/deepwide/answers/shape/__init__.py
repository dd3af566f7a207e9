"""One model as a shape: what `compare`, `explain` and `design` say of it, with the interval of what is predicted."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from deepwide.answers.loss import predicted
from deepwide.answers.models import Model
from deepwide.answers.shape.costs import Runs, Terms, decoding, structure, training
from deepwide.architecture.sizes import int_or_none, sizes
from deepwide.cost.inference.engine import Engine
from deepwide.cost.memory import cached_elements_per_token
from deepwide.design.counterfactual import loss_resolution
from deepwide.quality.shape import difference_sd
from deepwide.quality.trained import trained

WEIGHT_BYTES = 2  # shapes are compared in 16 bits
TELLING = ("no ", "extrapolates", "experts", "recurrent")
TOKENS_PER_PARAMETER = 20  # the compute-optimal ratio of Hoffmann et al. 2022, arXiv:2203.15556


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A model's shape, and what it costs and promises. None where nothing can be said.

    decode_s, prefill_s          a token and a prompt of `context` tokens, batch 1, one device
    launch_s                     of the token: starting its kernels
    decode_sums_s, prefill_sums_s    of both: sums over `tp` devices
    step_s, plan                 a training step under the fastest plan that fits; plan_bytes is what each device holds
    loss, low, high              nats per token and its 95% interval; shape_effect: what a better hidden/layers would
                                 save of it; outside: factors of e that the fitted runs are left by
    forward_flops_per_token, training_flops_per_token    matrix work, causal attention within `context` tokens included
    layer_bytes                  16-bit weights of the largest layer
    inference_bytes              all that one device holds to read and continue one sequence of `context` tokens
    training_bytes               all that one device holds to train on it, nothing shared or recomputed
    sums                         over tensor-parallel devices, in one forward pass (a backward pass has as many)
    kernels                      launched in one pass
    intensity                    FLOPs of the matrix products per byte they move, `context` tokens at once
    fill, slower                 at `tp`: the share of whole tiles that is real work; how much longer misfits make it
    gradient_path                residual branches between the loss and the first layer's input
    parameters_per_token         parameters that fit each of the `tokens` of training
    active_body, head            what the loss law reads: parameters that a token meets, and those of the output matrix
    """

    model: str
    parameters: int
    active: int
    active_body: int
    head: int
    tokens: float
    layers: int
    hidden: int
    heads: int | None
    kv_heads: int | None
    head_dim: int | None
    ffn: int | None
    weight_bytes: int
    kv_cache_bytes_per_token: int
    forward_flops_per_token: float
    training_flops_per_token: float
    layer_bytes: int
    inference_bytes: int
    training_bytes: int
    sums: int
    kernels: int
    intensity: float
    fill: float
    slower: float
    gradient_path: int
    parameters_per_token: float
    decode_s: float | None = None
    decode_low_s: float | None = None
    decode_high_s: float | None = None
    launch_s: float | None = None
    decode_sums_s: float | None = None
    prefill_s: float | None = None
    prefill_low_s: float | None = None
    prefill_high_s: float | None = None
    prefill_sums_s: float | None = None
    step_s: float | None = None
    step_low_s: float | None = None
    step_high_s: float | None = None
    plan: str | None = None
    plan_bytes: int | None = None
    loss: float | None
    low: float | None
    high: float | None
    shape_effect: float | None
    law: str | None
    outside: float
    extrapolates: bool
    reasons: tuple[str, ...] = ()

    @property
    def telling(self) -> tuple[str, ...]:
        """The reasons that stand beside every answer: why a number is missing, or less sure than usual."""
        return tuple(reason for reason in self.reasons if reason.startswith(TELLING))

    @property
    def strange(self) -> tuple[str, ...]:
        """What the loss law was not fitted on, by the first word of its reason."""
        return tuple(word for word in ("experts", "recurrent") if any(r.startswith(word) for r in self.reasons))

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """Body and head parameters that a token meets, layers, hidden: what the loss law reads of a shape."""
        return self.active_body, self.head, self.layers, self.hidden

    @property
    def aspect(self) -> float:
        """Hidden size per layer: large is wide, small is deep."""
        return self.hidden / self.layers if self.layers else float(self.hidden)

    def to_dict(self) -> dict[str, Any]:
        """The shape as plain values."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {**values, "aspect": self.aspect, "reasons": list(self.reasons)}


def shape_of(
    model: Model, on: Engine | None, *, tokens: float, context: int, tp: int = 1, runs: Runs | None = None
) -> Shape:
    """Everything that is said of one model's shape.

    Times of what generates, on a given accelerator; a training step where `runs` says on what.
    """
    ledger, own = model.ledger, sizes(model.described())
    seen = trained(model.described(), ledger, tokens)
    terms = Terms(tokens=tokens, context=context, tp=tp)
    quality, reasons = predicted(model, tokens)
    step, refusals = training(model, runs) if runs else ({}, ())
    return Shape(
        model=model.name,
        parameters=int(ledger.parameters()),
        active=int(ledger.active_parameters()),
        active_body=int(seen.active),
        head=int(seen.head),
        tokens=tokens,
        layers=int(own.layers),
        hidden=int(own.hidden),
        heads=int_or_none(own.heads),
        kv_heads=int_or_none(own.kv_heads),
        head_dim=int_or_none(own.head_dim),
        ffn=int_or_none(own.ffn),
        weight_bytes=WEIGHT_BYTES * int(ledger.parameters()),
        kv_cache_bytes_per_token=WEIGHT_BYTES * int(cached_elements_per_token(ledger)),
        **structure(model, terms),
        **(decoding(model, on, terms) if on else {}),
        **step,
        loss=float(quality.loss) if quality else None,
        low=float(quality.low) if quality else None,
        high=float(quality.high) if quality else None,
        shape_effect=float(quality.shape_effect) if quality else None,
        law=quality.law if quality else None,
        outside=float(quality.outside) if quality else 0.0,
        extrapolates=bool(quality.outside > 0) if quality else False,
        reasons=(*reasons, *refusals),
    )


def loss_resolution_of(first: Shape, second: Shape) -> float:
    """By how many nats two losses have to differ for the better one to be known (95%).

    Where one alone has experts or recurrent layers, what makes its interval the wider one is its own doubt.
    """
    sd = difference_sd(first.sizes, second.sizes, first.tokens)
    effects = (first.shape_effect or 0.0, second.shape_effect or 0.0)
    resolution = float(loss_resolution(sd, effects, (first.outside, second.outside)))
    if first.strange == second.strange:
        return resolution
    return math.sqrt(resolution**2 + abs(_reach(first) ** 2 - _reach(second) ** 2))


def _reach(of: Shape) -> float:
    """Half of the interval."""
    return 0.0 if of.high is None or of.loss is None else of.high - of.loss
