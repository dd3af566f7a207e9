"""Every law of the loss by name: what it computes of a trained model, on which data, and how far a model lies outside.

The published ones are rows of facts/loss_laws.toml, each joined here to its formula; "shape" is this project's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from deepwide.errors import BadInput, did_you_mean
from deepwide.facts.loss_laws import LossLaw, loss_laws
from deepwide.quality import data, experts, published_shapes, size, vocabulary
from deepwide.quality.shape import factors_outside
from deepwide.quality.trained import FLOPS_PER_PARAMETER, Trained
from deepwide.units import Real

SHAPE = "shape"
NATS, RELATIVE = "nats per token", "relative"


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """A law. `fact` says units, data, source and fitted range; `loss` is its formula."""

    name: str
    fact: LossLaw
    loss: Callable[[Trained], Real]

    def outside(self, of: Trained) -> dict[str, Real]:
        """How many factors of e each size lies outside the fitted range; 0 inside."""
        return {key: factors_outside(getattr(of, key), limits) for key, limits in self.fact.fitted.items()}


# Form -> the letters of its formula, and the formula applied to a trained model.
FORMS: Mapping[str, tuple[type[Any], Callable[[Trained, str, Any], Real]]] = {
    "kaplan": (size.Kaplan, lambda t, n, c: size.kaplan(getattr(t, n), t.tokens, c)),
    "power of size": (size.Power, lambda t, n, c: size.power_law(getattr(t, n), c)),
    "power of data": (size.Power, lambda t, n, c: size.power_law(t.tokens, c)),
    "coupled": (size.Coupled, lambda t, n, c: size.coupled(getattr(t, n), t.tokens, c)),
    "over-training": (
        size.OverTraining,
        lambda t, n, c: size.over_trained(FLOPS_PER_PARAMETER * getattr(t, n) * t.tokens, t.tokens / getattr(t, n), c),
    ),
    "data-constrained": (
        data.DataConstrained,
        lambda t, n, c: data.data_constrained(getattr(t, n), t.tokens, t.unique_tokens, c),
    ),
    "width and depth": (
        published_shapes.WidthDepth,
        lambda t, n, c: published_shapes.width_and_depth(t.hidden, t.layers, getattr(t, n), t.tokens, c),
    ),
    "inverse depth": (
        published_shapes.InverseDepth,
        lambda t, n, c: published_shapes.inverse_depth(t.hidden, t.layers, t.tokens, c),
    ),
    "aspect": (
        published_shapes.Aspect,
        lambda t, n, c: published_shapes.by_aspect(getattr(t, n), t.tokens, t.aspect, c),
    ),
    "conditional": (
        published_shapes.Conditional,
        lambda t, n, c: published_shapes.conditional(t.relative_width, t.mlp_ratio, c),
    ),
    "granular": (
        experts.Granular,
        lambda t, n, c: experts.granular(getattr(t, n), t.tokens, t.granularity, c),
    ),
    "joint experts": (
        experts.JointExperts,
        lambda t, n, c: experts.joint(getattr(t, n), t.expansion, t.tokens, c),
    ),
    "vocabulary": (
        vocabulary.Vocabulary,
        lambda t, n, c: vocabulary.below_unigram(getattr(t, n), t.hidden, t.vocab, t.tokens, c),
    ),
}


@cache
def laws() -> dict[str, Law]:
    """Every law that gives a loss, by name, the project's own first."""
    published = {name: _published(fact) for name, fact in loss_laws().items() if fact.form in FORMS}
    return {SHAPE: _shape(), **published}


def law(name: str) -> Law:
    """The law of that name, or of a file with one's own; an error suggests the nearest."""
    from deepwide.quality.law_file import is_law_file, law_of  # which knows this module

    if is_law_file(name):
        return law_of(name)
    known = laws()
    if name not in known:
        raise BadInput(f"law={name!r} is no law of the loss{did_you_mean(name, known)}; known are {', '.join(known)}")
    return known[name]


def _published(fact: LossLaw) -> Law:
    kind, formula = FORMS[fact.form]
    letters = kind(**fact.constants)
    return Law(name=fact.name, fact=fact, loss=lambda of: formula(of, fact.counts, letters))


def _shape() -> Law:
    """The project's own law, fitted on dense models: at the parameters that a token meets, plus what experts gain."""
    from deepwide.facts.shape_law import shape_laws
    from deepwide.quality import shape

    def loss(of: Trained) -> Real:
        dense = shape.expected_loss(of.active, of.head, of.layers, of.hidden, of.tokens)
        if isinstance(of.expansion, float) and of.expansion == 1.0:
            return dense
        return dense + experts.experts_effect(of.active_with_embeddings, of.expansion, of.tokens)

    box = {"aspect": shape.ASPECT_RANGE, "active": shape.BODY_RANGE, "tokens": shape.TOKENS_RANGE}
    row = shape_laws()[0]
    fact = LossLaw(
        name=SHAPE,
        form=SHAPE,
        counts="active",
        units=NATS,
        constants={},
        fitted=box,
        data="Gemstones: Dolma 1.7, GPT-NeoX tokenizer, constant learning rate",
        source=row.source,
        checked=row.checked,
    )
    return Law(name=SHAPE, fact=fact, loss=loss)
