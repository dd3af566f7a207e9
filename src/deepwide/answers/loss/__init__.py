"""How good will it be? The loss of a model after so many tokens, with its interval, its law and its reasons."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from math import hypot, isfinite
from typing import Any

from deepwide.answers.answer import Answer
from deepwide.answers.limits import MOST_TOKENS, whole
from deepwide.answers.loss import reasons as reasons_to_doubt
from deepwide.answers.loss.laws import LEVEL_SD, OtherLaw, applies, as_read, fit_sd, other_laws, outside
from deepwide.answers.models import Model, find_model
from deepwide.errors import BadInput
from deepwide.quality.budget import Point, best_for_compute, best_for_serving, doubled_body, doubled_tokens
from deepwide.quality.data import effective
from deepwide.quality.experts import experts_effect
from deepwide.quality.law_file import is_law_file
from deepwide.quality.laws import NATS, SHAPE, Law, law
from deepwide.quality.shape import EXTRAPOLATION_SD, LossPrediction, Z, shape_loss
from deepwide.quality.trained import Trained, trained
from deepwide.units import Real

EXPERTS_SHARE = 0.5  # of what experts gain: how sure another law's gain is on this one; a judgement, not a fit
REPEATS_SHARE = 0.5  # of what repetition costs, likewise
RECURRENT_OUTSIDE = 1.0  # layers the law never saw count as one factor of e outside its range; a judgement


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss(Answer):
    """The answer. `loss`, `low`, `high` are in `units`; None where nothing can be said, and `reasons` say why.

    extrapolates, outside    whether a size lies outside the fitted range, and which by how many factors of e
    fresh_tokens             what the tokens are worth where they repeat
    shape_effect             nats that hidden/layers costs against the best at this size; tie_aspects: where it is a tie
    doubled_tokens, doubled_body    what the loss would change by
    compute_optimal          size and tokens of the lowest loss at the same FLOPs, in the same shape
    serving_optimal          those that reach this loss with the fewest FLOPs, serving `serve_tokens` included
    other_laws               what other laws say; levels are of other corpora, so only differences compare
    """

    model: str
    tokens: int
    law: str
    units: str
    loss: float | None
    low: float | None
    high: float | None
    extrapolates: bool
    outside: dict[str, float]
    reasons: tuple[str, ...]
    source: str
    data: str
    fitted_range: dict[str, tuple[float, float]]
    parameters: int
    tokens_per_parameter: float
    flops: float | None = None
    unique_tokens: int | None = None
    fresh_tokens: float | None = None
    shape_effect: float | None = None
    aspect: float | None = None
    best_aspect: float | None = None
    tie_aspects: tuple[float, float] | None = None
    doubled_tokens: float | None = None
    doubled_body: float | None = None
    compute_optimal: Point | None = None
    serve_tokens: int | None = None
    serving_optimal: Point | None = None
    other_laws: tuple[OtherLaw, ...] = ()
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain values, under the keys that others rely on."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        for name in ("compute_optimal", "serving_optimal"):
            values[name] = asdict(values[name]) if values[name] else None
        values["other_laws"] = [asdict(each) for each in self.other_laws]
        return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}


def predict_loss(
    model: str | Model,
    tokens: int,
    law: str = SHAPE,
    unique_tokens: int | None = None,
    serve_tokens: int | None = None,
) -> Loss:
    """The loss of a model trained on `tokens`, of which `unique_tokens` differ.

    `law` is "shape", a published one or the path of one's own; `serve_tokens` asks for the cheapest size when so many
    are served.

    >>> predict_loss("gpt2", 10**11).law
    'shape'
    """
    asked = {"tokens": tokens, "unique_tokens": unique_tokens, "serve_tokens": serve_tokens}
    for name, value in asked.items():
        if value is not None or name == "tokens":
            whole(name, value, 1, MOST_TOKENS)
    found, chosen = (find_model(model) if isinstance(model, str) else model), _law(law)
    frame = _frame(found, chosen, tokens, unique_tokens, serve_tokens)
    if reasons := unsayable(found):
        return Loss(**frame, loss=None, low=None, high=None, extrapolates=False, outside={}, reasons=reasons)
    of = trained(found.described(), found.ledger, tokens, unique_tokens)
    if chosen.name != SHAPE and not applies(chosen, of):
        raise BadInput(reasons_to_doubt.wrong_kind(chosen, found.name, of))
    return _answer(frame, found, chosen, of)


def predicted(
    model: Model, tokens: float, unique_tokens: float | None = None
) -> tuple[LossPrediction | None, tuple[str, ...]]:
    """The loss of any model by the shape law, with the reasons to doubt it; None for what is no decoder.

    A mixture is a dense model of what a token meets, plus what a published law says that experts gain.
    """
    if reasons := unsayable(model):
        return None, reasons
    of = trained(model.described(), model.ledger, tokens, unique_tokens)
    return _by_shape(of, "recurrent" in _parts(model)), reasons_to_doubt.of_shape_law(of, _parts(model))


def unsayable(model: Model) -> tuple[str, ...]:
    """Why no law speaks of this model; nothing where one does."""
    architecture = model.described()
    if not architecture.lone_decoder:
        return ("no loss: the laws were fitted on decoders of text alone",)
    if not model.ledger.body_parameters() or not architecture.main.layers:
        return ("no loss: a model without layers has no shape",)
    return ()


def _parts(model: Model) -> frozenset[str]:
    return frozenset(row.part for row in model.ledger.weights)


def _law(name: str) -> Law:
    if not isinstance(name, str):
        raise BadInput(f"law={name!r} must be the name of a law, such as {SHAPE}")
    return law(name)


def _by_shape(of: Trained, recurrent: bool) -> LossPrediction:
    """The shape law with what it was not fitted on: repeated tokens, experts, recurrent layers."""
    worth = effective(of)
    dense = shape_loss(of.active, of.head, of.layers, of.hidden, worth.tokens)
    once = shape_loss(of.active, of.head, of.layers, of.hidden, of.tokens)
    gained = experts_effect(of.active_with_embeddings, of.expansion, worth.tokens)
    strange = EXTRAPOLATION_SD * (RECURRENT_OUTSIDE if recurrent else 0.0)
    doubt = Z * hypot(EXPERTS_SHARE * gained, REPEATS_SHARE * (dense.loss - once.loss), strange)
    loss = dense.loss + gained
    reach = hypot(dense.high - dense.loss, doubt)
    beyond = max(float(once.outside), float(dense.outside))
    return replace(
        dense,
        loss=loss,
        low=max(0.0, loss - reach),
        high=loss + reach,
        outside=beyond + (RECURRENT_OUTSIDE if recurrent else 0.0),
    )


def _published(chosen: Law, of: Trained) -> tuple[float, float | None, float | None]:
    """A published law's loss, or one's own; its interval is the fit's error, another corpus' level, the way outside."""
    loss = float(chosen.loss(of))
    if chosen.fact.units != NATS:
        return loss, None, None
    beyond = EXTRAPOLATION_SD * float(sum(chosen.outside(of).values()))
    level = 0.0 if is_law_file(chosen.name) else LEVEL_SD  # one's own runs have one's own level
    wide = Z * hypot(fit_sd(chosen.fact) or 0.0, level, beyond)
    return loss, max(0.0, loss - wide), loss + wide


def _frame(
    model: Model, chosen: Law, tokens: int, unique_tokens: int | None, serve_tokens: int | None
) -> dict[str, Any]:
    """What is known before any law is asked."""
    parameters = int(model.ledger.parameters())
    return {
        "model": model.name,
        "tokens": tokens,
        "law": chosen.name,
        "units": chosen.fact.units,
        "source": chosen.fact.source,
        "data": chosen.fact.data,
        "fitted_range": {key: (float(low), float(high)) for key, (low, high) in chosen.fact.fitted.items()},
        "parameters": parameters,
        "tokens_per_parameter": tokens / max(1, parameters),
        "unique_tokens": unique_tokens,
        "serve_tokens": serve_tokens,
        "notes": model.notes,
    }


def _answer(frame: dict[str, Any], model: Model, chosen: Law, of: Trained) -> Loss:
    worth = as_read(chosen, of)
    prediction = _by_shape(of, "recurrent" in _parts(model))
    own = chosen.name == SHAPE
    loss, low, high = (prediction.loss, prediction.low, prediction.high) if own else _published(chosen, worth)
    if not isfinite(loss):
        raise BadInput(f"law={chosen.name}: its constants give no finite loss for {model.name}; fit them again")
    beyond = outside(chosen, of)
    best, tie = reasons_to_doubt.best_aspects(effective(of))
    return Loss(
        **frame,
        loss=float(loss),
        low=None if low is None else float(low),
        high=None if high is None else float(high),
        extrapolates=bool(beyond) or (own and bool(prediction.outside > 0)),
        outside=beyond,
        reasons=reasons_to_doubt.of_shape_law(of, _parts(model)) if own else reasons_to_doubt.of_published(chosen, of),
        flops=float(of.flops),
        fresh_tokens=float(effective(of).tokens) if of.epochs > 1 else None,
        shape_effect=float(prediction.shape_effect),
        aspect=float(of.aspect),
        best_aspect=best,
        tie_aspects=tie,
        other_laws=other_laws(of, besides=chosen.name),
        **_bought(chosen, of, worth, frame["serve_tokens"]),
    )


def _bought(chosen: Law, of: Trained, worth: Trained, serve_tokens: int | None) -> dict[str, Any]:
    """What a doubling would buy, and the same compute or the same loss at another size; of losses in nats alone."""
    if chosen.fact.units != NATS:
        return {}
    return {
        "doubled_tokens": _finite(doubled_tokens(chosen.loss, worth)),
        "doubled_body": _finite(doubled_body(chosen.loss, worth)),
        "compute_optimal": best_for_compute(chosen.loss, of),
        "serving_optimal": best_for_serving(chosen.loss, worth, serve_tokens) if serve_tokens else None,
    }


def _finite(value: Real) -> float | None:
    """The number, where it is one."""
    return float(value) if isfinite(value) else None
