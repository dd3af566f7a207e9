"""At this size, deep against wide: a model's shapes of equal parameters, from deep to wide, and the best of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from deepwide.answers.answer import Answer
from deepwide.answers.explain.shapes import EQUAL_SHARE, Question, equalled, wider
from deepwide.answers.limits import LONGEST_CONTEXT, MOST_TOKENS, whole
from deepwide.answers.models import Model, find_model
from deepwide.answers.shape import TOKENS_PER_PARAMETER, Shape, loss_resolution_of
from deepwide.answers.shape.costs import Runs, shared_devices, together
from deepwide.architecture.sizes import sizes
from deepwide.cost.inference.engine import driven
from deepwide.cost.inference.passes import Work, forward
from deepwide.design.counterfactual import TIME_RESOLUTION
from deepwide.errors import BadInput
from deepwide.facts.accelerators import accelerator

WIDTHS = tuple(2 ** (step / 4) for step in range(-6, 7))  # a third of the width to three times of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """One shape. `loss_apart` is by how many nats it has to differ from the present one for that to be known (95%).

    sums_share    of a token's time over `tp` devices, what summing over them takes; None where they cannot share it
    """

    shape: Shape
    loss_apart: float | None
    sums_share: float | None

    def to_dict(self) -> dict[str, Any]:
        """The shape as plain values."""
        return {**self.shape.to_dict(), "loss_apart": self.loss_apart, "sums_share": self.sums_share}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepOrWide(Answer):
    """Shapes of one size from wide to deep; `present`, `best` and `lowest` are MODELs of them.

    best      the lowest predicted loss of those that decode no slower than the present one, as far as is known
    tie       whether its loss, `gain_nats` lower, is not known to be lower
    lowest    the lowest predicted loss at any speed
    """

    model: str
    present: str
    best: str
    lowest: str
    tie: bool
    gain_nats: float | None
    shapes: tuple[Depth, ...]
    tokens: int
    context: int
    on: str
    devices: int
    tp: int
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain values."""
        names = ("model", "present", "best", "lowest", "tie", "gain_nats", "tokens", "context", "on", "devices", "tp")
        shapes = [each.to_dict() for each in self.shapes]
        return {**{name: getattr(self, name) for name in names}, "shapes": shapes, "notes": list(self.notes)}


def deep_or_wide(
    model: str,
    *,
    on: str,
    tokens: int | None = None,
    context: int = 4096,
    devices: int | None = None,
    training: bool = True,
) -> DeepOrWide:
    """A model's shapes from a third of its width to three times of it, with the layers that keep its parameters.

    `training` adds the step on `devices`, for which a plan is searched for every shape.

    >>> deep_or_wide("gpt2", on="h100", training=False).present
    'gpt2'
    """
    found = find_model(model)
    _check(found, tokens, context)
    asked = _question(found, on, tokens, context, devices)
    own = asked.shape(found, trained=training)
    others = [asked.shape(other, trained=training) for other in _others(model, found, asked.tp)]
    shapes = sorted([own, *others], key=lambda shape: (shape.layers, -shape.hidden))
    best = _best(own, shapes)
    gain = None if best.loss is None or own.loss is None else own.loss - best.loss
    return DeepOrWide(
        model=found.name,
        present=own.model,
        best=best.model,
        lowest=min(shapes, key=lambda shape: shape.loss or 0.0).model,
        tie=gain is None or gain < loss_resolution_of(own, best),
        gain_nats=gain,
        shapes=tuple(_depth(shape, own, asked) for shape in shapes),
        tokens=asked.tokens,
        context=context,
        on=asked.on.name if asked.on else "",
        devices=asked.runs.devices if asked.runs else 0,
        tp=asked.tp,
        notes=(*found.notes, *own.telling),
    )


def _check(found: Model, tokens: int | None, context: int) -> None:
    whole("context", context, 1, LONGEST_CONTEXT)
    if tokens is not None:
        whole("tokens", tokens, 1, MOST_TOKENS)
    if not found.described().main.layers or not found.described().main.causal:
        raise BadInput(f"{found.name} has no layers that write one token after another; give a decoder")


def _question(found: Model, on: str, tokens: int | None, context: int, devices: int | None) -> Question:
    device, cut = accelerator(on), shared_devices([found])
    trained = TOKENS_PER_PARAMETER * int(found.ledger.parameters()) if tokens is None else tokens
    return Question(
        tokens=max(1, trained),
        context=context,
        tp=cut,
        on=driven(device, devices=cut),
        runs=Runs(device=device, devices=together(devices, on), sequence=context),
    )


def _others(text: str, found: Model, tp: int) -> Iterator[Model]:
    """Every other width that whole heads allow, with its layers; those that miss the size by far are left out."""
    wanted, seen = int(found.ledger.parameters()), {int(sizes(found.described()).hidden)}
    for ratio in WIDTHS:
        changes = wider(found, ratio, tp)
        if not changes or changes["hidden"] in seen:
            continue
        seen.add(changes["hidden"])
        try:
            other = equalled(text, found, changes, {})
        except BadInput:  # a width that this family cannot take
            continue
        if abs(int(other.ledger.parameters()) / wanted - 1) <= EQUAL_SHARE:
            yield other


def _best(own: Shape, shapes: list[Shape]) -> Shape:
    """The lowest loss among those that are not known to decode slower; the present shape where losses are unknown."""
    if own.loss is None or own.decode_s is None:
        return own
    most_s = own.decode_s * (1 + TIME_RESOLUTION["decode"])
    quick = [s for s in shapes if s.loss is not None and s.decode_s is not None and s.decode_s <= most_s]
    return min(quick, key=lambda s: float(s.loss or 0.0))


def _depth(shape: Shape, own: Shape, asked: Question) -> Depth:
    known = shape.loss is not None and own.loss is not None
    return Depth(
        shape=shape,
        loss_apart=loss_resolution_of(own, shape) if known else None,
        sums_share=_sums_share(shape, asked),
    )


def _sums_share(shape: Shape, asked: Question) -> float | None:
    """The share of a token's time that sums over `tp` devices take."""
    heads = (shape.heads, shape.kv_heads)
    if asked.on is None or asked.tp == 1 or any(count is None or count % asked.tp for count in heads):
        return None
    found = find_model(shape.model)
    spent = forward(found.ledger, Work(past=asked.context, tp=asked.tp), asked.on, str(found.described().main.name))
    return float(spent.traffic_s / spent.total_s)
