"""Other shapes of a model: at equal parameters narrower, wider or with another FFN; and one size a little larger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from deepwide.answers.loss.reasons import FFN_LAW
from deepwide.answers.models import Model, find_model
from deepwide.answers.shape import Shape, loss_resolution_of, shape_of
from deepwide.answers.shape.costs import Runs
from deepwide.architecture.experts import Experts
from deepwide.architecture.sizes import bodies, int_or_none, sizes
from deepwide.cost.inference.engine import Engine
from deepwide.design.counterfactual import layers_for, per_tenth, scaled, widened
from deepwide.errors import BadInput
from deepwide.facts.loss_laws import constants
from deepwide.quality.published_shapes import Conditional, ratio_factor
from deepwide.quality.trained import trained

WIDTHS = {"width × 1/2": 0.5, "width × 2/3": 2 / 3, "width × 3/2": 1.5, "width × 2": 2.0}
EQUAL_SHARE = 0.05  # of the parameters: what misses them by more is told so
FFNS = {"ffn × 1/2": 0.5, "ffn × 2": 2.0}
# What is told of another shape as a share of the model's own -> the field of Shape.
CHANGES = {
    "decode": "decode_s",
    "prefill": "prefill_s",
    "step": "step_s",
    "kv_cache": "kv_cache_bytes_per_token",
    "memory": "inference_bytes",
    "training_memory": "training_bytes",
    "weights": "weight_bytes",
    "sums": "sums",
    "kernels": "kernels",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What all shapes are looked at for, with the defaults filled in."""

    tokens: int
    context: int
    tp: int
    on: Engine | None
    runs: Runs | None

    def shape(self, model: Model, *, trained: bool = True) -> Shape:
        """The shape of a model; its training step, which takes a search, only if asked for."""
        runs = self.runs if trained else None
        return shape_of(model, self.on, tokens=self.tokens, context=self.context, tp=self.tp, runs=runs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counterfactual:
    """Another shape with nearly the same parameters, and what changes.

    label, ratio           what was asked for, and what whole heads or tiles made of it
    parameters_off         by what share whole layers miss the model's own parameters
    loss_change            nats; a tie where it is less than loss_resolution
    ffn_effect             nats that a published law of the FFN's ratio adds, which the loss law does not see
    changes                by name, the share by which a quantity is more than the model's own
    """

    label: str
    ratio: float
    shape: Shape
    parameters_off: float
    loss_change: float | None
    loss_resolution: float | None
    ffn_effect: float | None
    changes: dict[str, float]

    @property
    def tie(self) -> bool:
        """Whether the loss is the same as far as anybody can tell."""
        change, resolution = self.loss_change, self.loss_resolution
        return change is not None and resolution is not None and abs(change) < resolution

    def to_dict(self) -> dict[str, Any]:
        """The counterfactual as plain values."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {**values, "model": self.shape.model, "shape": self.shape.to_dict(), "tie": self.tie}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """What +10% of one size changes: nats of loss, and shares of the rest; from a step `before` to `after`."""

    size: str
    before: int
    after: int
    loss: float | None
    changes: dict[str, float]


def reshaped(text: str, changes: Mapping[str, int], reading: Mapping[str, Any]) -> Model:
    """The model that a user named, with other sizes: what `text,layers=...` means anywhere else."""
    kept = [word for word in text.split(",") if word.partition("=")[0].strip() not in changes]
    return find_model(",".join([*kept, *(f"{name}={size}" for name, size in changes.items())]), **reading)


def equalled(text: str, model: Model, changes: Mapping[str, int], reading: Mapping[str, Any]) -> Model:
    """The model with other sizes and as many layers as bring its parameters nearest to the model's own."""
    wanted, layers = int(model.ledger.parameters()), int(sizes(model.described()).layers)

    def of(count: int) -> int:
        return int(reshaped(text, {**changes, "layers": count}, reading).ledger.parameters())

    here = of(layers)
    other = max(1, round(layers * wanted / here))
    other = other if other != layers else layers + 1
    there = of(other)
    if there == here:
        raise BadInput("layers share their weights, so that no number of them makes up for another width")
    solved = int(layers_for(wanted, (layers, here), (other, there)))
    found = reshaped(text, {**changes, "layers": solved}, reading)
    for name in ("hidden", "ffn"):
        width = int_or_none(getattr(sizes(found.described()), name))
        if name in changes and width != changes[name]:
            raise BadInput(f"its {name} stays {width}, whatever is asked for")
    return found


def counterfactuals(
    text: str, model: Model, own: Shape, asked: Question, reading: Mapping[str, Any]
) -> tuple[tuple[Counterfactual, ...], tuple[str, ...]]:
    """Every other shape that the model can take, and why it cannot take the rest."""
    told: list[Counterfactual] = []
    refused: dict[str, list[str]] = {}
    for label, changes, ratio in _asked(model, asked.tp):
        try:
            found = equalled(text, model, changes, reading)
        except BadInput as error:
            refused.setdefault(str(error), []).append(label)
            continue
        told.append(_counterfactual(label, ratio, asked.shape(found), own, _ffn_effect(found, model, own)))
    left_out = [f"left out: {', '.join(labels)}: {reason}" for reason, labels in refused.items()]
    far = [c for c in told if abs(c.parameters_off) > EQUAL_SHARE]
    missed = [f"{c.label} misses the parameters by {c.parameters_off:+.0%}: its layers are few and large" for c in far]
    return tuple(told), (*left_out, *missed)


def _asked(model: Model, tp: int) -> list[tuple[str, dict[str, int], float]]:
    """Label, changed sizes, and what became of the ratio; each once, and none that is the model itself."""
    rows = []
    for label, ratio in WIDTHS.items():
        changes = wider(model, ratio, tp)
        if changes and changes["hidden"] != int(sizes(model.described()).hidden):
            rows.append((label, changes, changes["hidden"] / int(sizes(model.described()).hidden)))
    for label, ratio in FFNS.items():
        if changes := _ffns(model, ratio):
            rows.append((label, changes, ratio))
    kept = {tuple(changes.items()): (label, changes, ratio) for label, changes, ratio in reversed(rows)}
    return list(kept.values())[::-1]


def wider(model: Model, ratio: float, tp: int = 1) -> dict[str, int]:
    """The sizes of a model about `ratio` times as wide: whole heads of the same width, FFN in the same proportion."""
    own = sizes(model.described())
    if own.heads is None:
        return {}
    heads, hidden = int(own.heads), int(own.hidden)
    kv_heads = int_or_none(own.kv_heads) or heads
    sized = widened(hidden, heads, kv_heads, ratio, tp)
    changes = {"hidden": int(sized.hidden), "heads": int(sized.heads)}
    if own.kv_heads is not None:
        changes["kv_heads"] = int(sized.kv_heads)
    if own.head_dim is not None and heads * int(own.head_dim) != hidden:  # the width of heads is a choice of its own
        changes |= {"hidden": scaled(hidden, changes["heads"] / heads), "head_dim": int(own.head_dim)}
    return {**changes, **_ffns(model, changes["hidden"] / hidden)}


def _ffns(model: Model, ratio: float) -> dict[str, int]:
    """The inner widths of the network times `ratio`."""
    return {name: scaled(width, ratio) for name, width in _inner_widths(model).items()}


def _inner_widths(model: Model) -> dict[str, int]:
    """The inner width of the network, and that of its experts where they stand beside dense networks."""
    networks = [body for body in bodies(model.described()) if hasattr(body, "ffn")]
    experts = [int(body.ffn) for body in networks if isinstance(body, Experts)]
    ffn = int_or_none(sizes(model.described()).ffn)
    apart = bool(experts) and len(experts) < len(networks)
    return {**({"ffn": ffn} if ffn else {}), **({"expert_ffn": experts[0]} if apart else {})}


def _ffn_effect(found: Model, model: Model, own: Shape) -> float | None:
    """What the conditional law says of FFN parameters per attention parameter, as nats of the model's loss."""
    ratios = [trained(m.described(), m.ledger, own.tokens) for m in (found, model)]
    if own.loss is None or any(of.expansion > 1 or not of.attention for of in ratios):
        return None
    new, old = (ratio_factor(of.mlp_ratio, constants(FFN_LAW, Conditional)) for of in ratios)
    return own.loss * float(new / old - 1)


def _counterfactual(label: str, ratio: float, shape: Shape, own: Shape, ffn_effect: float | None) -> Counterfactual:
    known = shape.loss is not None and own.loss is not None
    return Counterfactual(
        label=label,
        ratio=ratio,
        shape=shape,
        parameters_off=shape.parameters / own.parameters - 1,
        loss_change=_more(shape.loss, own.loss),
        loss_resolution=loss_resolution_of(shape, own) if known else None,
        ffn_effect=ffn_effect,
        changes=_changes(shape, own),
    )


def _more(value: float | None, than: float | None) -> float | None:
    return None if value is None or than is None else value - than


def _changes(shape: Shape, own: Shape) -> dict[str, float]:
    pairs = {name: (getattr(shape, field), getattr(own, field)) for name, field in CHANGES.items()}
    return {name: float(new / old - 1) for name, (new, old) in pairs.items() if new and old}


def sensitivities(
    text: str, model: Model, own: Shape, asked: Question, reading: Mapping[str, Any]
) -> tuple[Sensitivity, ...]:
    """What +10% of layers, hidden, FFN and KV heads changes, from the smallest step near it that the shape allows."""
    told = []
    for size, changes in _steps(model).items():
        try:
            shape = asked.shape(reshaped(text, changes, reading), trained=False)
            same = reshaped(text, {"layers": own.layers}, reading) if size == "layers" else model
        except BadInput:
            continue  # a family that has no such size
        if int(same.ledger.parameters()) != own.parameters:
            continue  # the number stands for another stack too, which has another
        before, after = getattr(own, size), getattr(shape, size)
        if before is not None and after is not None and after != before:
            told.append(_sensitivity(size, before, after, shape, own))
    return tuple(told)


def _sensitivity(size: str, before: int, after: int, shape: Shape, own: Shape) -> Sensitivity:
    """The change of every quantity, brought from the step that was made to one of 10%."""
    pairs = {name: (getattr(shape, field), getattr(own, field)) for name, field in CHANGES.items()}
    known = {name: (new, old) for name, (new, old) in pairs.items() if new and old}
    loss = None
    if shape.loss is not None and own.loss is not None:
        loss = own.loss * float(per_tenth(own.loss, shape.loss, before, after))
    changes = {name: float(per_tenth(old, new, before, after)) for name, (new, old) in known.items()}
    return Sensitivity(size=size, before=before, after=after, loss=loss, changes=changes)


def _steps(model: Model) -> dict[str, dict[str, int]]:
    """For each size, a change of it alone: about 10%, or the smallest that heads allow."""
    own = sizes(model.described())
    layers, ffn = int(own.layers), int_or_none(own.ffn)
    steps = {"layers": {"layers": layers + max(1, round(layers / 10))}}
    if own.heads is not None:
        heads, kv_heads = int(own.heads), int_or_none(own.kv_heads)
        count = heads + (kv_heads if kv_heads and kv_heads < heads else 1)
        steps["hidden"] = wider(model, count / heads) | _inner_widths(model)
        if kv_heads:
            other = 2 * kv_heads if kv_heads < heads and heads % (2 * kv_heads) == 0 else kv_heads // 2
            steps["kv_heads"] = {"kv_heads": max(1, other)}
    if ffn:
        steps["ffn"] = _ffns(model, 1.1)
    return {name: steps[name] for name in ("layers", "hidden", "ffn", "kv_heads") if name in steps}
