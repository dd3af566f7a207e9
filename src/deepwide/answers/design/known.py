"""The models that people trained nearest to a shape, under the same law, tokens and hardware; and why they differ."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from deepwide.answers.catalogue import ListedModel, models
from deepwide.answers.design.question import Question
from deepwide.answers.loss import predicted
from deepwide.answers.models import Model, find_model
from deepwide.architecture.sizes import Sizes, int_or_none, sizes
from deepwide.cost.memory import cached_elements_per_token
from deepwide.design.pricing import decode_s
from deepwide.quality.shape import TIE

SHOWN = 3
FARTHEST = math.log(2)  # a model more than twice as large or small says nothing of this one
ALL_MET = 0.9  # of the parameters: a token of a dense model meets all but rows of the embedding
ASPECT_WEIGHT = 0.3  # of ln(hidden / layers) beside ln(size), when models are ranked by how near they are
SAME = 0.01  # shares closer than this are not worth a word


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownModel:
    """A published model beside the recommended shape.

    loss_less, decode_less    what the recommended shape saves: nats, and a share of the time of a token
    why                       what they differ in, and what that does
    """

    model: str
    parameters: int
    layers: int
    hidden: int
    heads: int | None
    kv_heads: int | None
    ffn: int | None
    loss: float | None
    decode_s: float
    loss_less: float | None
    decode_less: float
    why: str

    def to_dict(self) -> dict[str, Any]:
        """The row as plain values."""
        return asdict(self)


def known_models(asked: Question, best: dict[str, Any]) -> tuple[KnownModel, ...]:
    """The nearest of the catalogue, and first of all the model to be like."""
    found = [asked.like] if asked.like else []
    shapes: set[Any] = {(model.described().main.layers, model.described().main.hidden) for model in found}
    for row in sorted(_decoders(), key=lambda row: _distance(row, best)):
        if len(found) < SHOWN and (row.layers, row.hidden) not in shapes and _distance(row, best) < FARTHEST:
            found.append(find_model(row.name))
            shapes.add((row.layers, row.hidden))
    return tuple(_beside(asked, best, model) for model in found)


@cache
def _decoders() -> tuple[ListedModel, ...]:
    """Published decoders whose shape is public."""
    return tuple(row for row in models() if row.parameters and row.layers and row.hidden and _decodes(row.name))


def _decodes(name: str) -> bool:
    architecture = find_model(name).described()
    return architecture.lone_decoder and sizes(architecture).heads is not None


def _distance(row: ListedModel, best: dict[str, Any]) -> float:
    """How far a published model is from a shape, in factors of e; infinite for what has other parameters idle."""
    size, aspect = (row.parameters or 1) / best["parameters"], (row.hidden or 1) / (row.layers or 1) / best["aspect"]
    idle = (row.active or 0) < ALL_MET * (row.parameters or 1)
    if idle != (best["active"] < ALL_MET * best["parameters"]):
        return math.inf
    return abs(math.log(size)) + ASPECT_WEIGHT * abs(math.log(aspect))


def _beside(asked: Question, best: dict[str, Any], model: Model) -> KnownModel:
    purpose = asked.purpose
    own, serving = sizes(model.described()), purpose.serving
    token_s = float(decode_s(model.ledger, serving, model.described().main.name))
    quality, _ = predicted(model, best["tokens"], purpose.unique_tokens)
    loss = float(quality.loss) if quality else None
    return KnownModel(
        model=model.name,
        parameters=int(model.ledger.parameters()),
        layers=int(own.layers),
        hidden=int(own.hidden),
        heads=int_or_none(own.heads),
        kv_heads=int_or_none(own.kv_heads),
        ffn=int_or_none(own.ffn),
        loss=loss,
        decode_s=token_s,
        loss_less=None if loss is None else loss - best["loss"],
        decode_less=1 - best["decode_s"] / token_s,
        why=_why(best, model, loss, asked),
    )


def _why(best: dict[str, Any], model: Model, loss: float | None, asked: Question) -> str:
    """What the recommended shape has more or less of, each with what it acts on."""
    own = sizes(model.described())
    said = []
    if own.vocab != best["vocab"]:
        said.append(f"vocabulary {best['vocab']:,} for {int(own.vocab):,}")
    aspect = int(own.hidden) / int(own.layers)
    if abs(best["aspect"] / aspect - 1) > SAME:
        way = "deeper" if best["aspect"] < aspect else "wider"
        said.append(f"{way} (hidden/layers {best['aspect']:.0f} for {aspect:.0f}), which moves the loss")
    cached = int(cached_elements_per_token(model.ledger)) * asked.purpose.serving.engine.cache_bytes
    if cached and abs(best["kv_cache_bytes_per_token"] / cached - 1) > SAME:
        way = "less" if best["kv_cache_bytes_per_token"] < cached else "more"
        share = abs(1 - best["kv_cache_bytes_per_token"] / cached)
        said.append(f"{share:.0%} {way} KV cache, which moves the time of a token")
    parameters = int(model.ledger.parameters())
    if abs(best["parameters"] / parameters - 1) > SAME:
        way = "fewer" if best["parameters"] < parameters else "more"
        said.append(f"{abs(best['parameters'] / parameters - 1):.0%} {way} parameters")
    said = (
        said or [f"{name} {best[name]:,} for {size:,}" for name, size in _other_sizes(best, own)] or ["the same shape"]
    )
    if own.vocab != best["vocab"]:
        said.append("per token of another vocabulary, so the losses hardly compare")
    elif loss is not None and abs(loss - best["loss"]) < TIE:
        said.append("the losses are a tie")
    return "; ".join(said)


def _other_sizes(best: dict[str, Any], own: Sizes) -> list[tuple[str, int]]:
    """The sizes in which a model is not the recommended shape."""
    told = (
        (name, int_or_none(getattr(own, name))) for name in ("layers", "hidden", "heads", "head_dim", "kv_heads", "ffn")
    )
    return [(name, size) for name, size in told if size is not None and size != best[name]]
