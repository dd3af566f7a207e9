"""Why to believe a predicted loss, and why not: in words, one reason a line."""

from __future__ import annotations

import math
from collections.abc import Iterator

from deepwide.answers.loss.laws import LEVEL_SD, applies, as_read, fit_sd, outside
from deepwide.facts.loss_laws import constants, loss_law
from deepwide.quality.data import effective
from deepwide.quality.experts import experts_effect
from deepwide.quality.laws import NATS, SHAPE, Law, law, laws
from deepwide.quality.published_shapes import Conditional, OptimalWidth, optimal_aspect, ratio_factor
from deepwide.quality.shape import TIE, best_aspect, expected_loss, shape_loss
from deepwide.quality.trained import Trained
from deepwide.quality.vocabulary import optimal_vocab, published_vocab
from deepwide.units import count

ASPECTS = (0.5, 5000.0)  # of hidden / layers: wider than any model
STEPS = 2001
WORDS = {
    "aspect": "hidden/layers",
    "active": "the body that a token meets",
    "active_with_embeddings": "active parameters with embeddings",
    "body": "the body",
    "total": "parameters",
    "tokens_per_parameter": "tokens per parameter",
    "mlp_ratio": "FFN over attention parameters",
    "vocab": "vocabulary",
}
FFN_LAW, VOCABULARY_LAW = "bian-yu-2025", "tao-2024"


def of_shape_law(of: Trained, parts: frozenset[str]) -> tuple[str, ...]:
    """The reasons beside a loss by the shape law; `parts` are those of the model's weights."""
    worth = effective(of)
    said = [*_range(law(SHAPE), of), *_guessing(law(SHAPE), of), *_shape(worth), *_repeats(of), *_experts(worth)]
    said += _vocabulary(of)
    if "recurrent" in parts:
        said.append("recurrent layers: the law was fitted on attention; the interval is wider")
    said.append(
        f"the level is that of {law(SHAPE).fact.data}: differences hold elsewhere, an absolute loss on another "
        "corpus or tokenizer needs three runs of your own"
    )
    return tuple(said)


def of_published(chosen: Law, of: Trained) -> tuple[str, ...]:
    """The reasons beside a loss by a published law."""
    said = [*_range(chosen, of), *_guessing(chosen, of), *_repeats(of)]
    if chosen.fact.units == NATS:
        sd = fit_sd(chosen.fact)
        own = f"{sd:.3f} nats of its own fit" if sd else "no error of its own fit is known"
        said.append(
            f"interval: {own}, and {LEVEL_SD} nats (standard deviation) that corpora and tokenizers move a level; "
            f"the law's is {chosen.fact.data}"
        )
    else:
        said.append(f"units are {chosen.fact.units}: no loss in nats per token, and no interval is known")
    if chosen.fact.note:
        said.append(f"{chosen.name}: {chosen.fact.note}")
    return tuple(said)


def wrong_kind(chosen: Law, model: str, of: Trained) -> str:
    """The error for a law that does not speak of such a model, with the laws that do."""
    fit = ", ".join(name for name, each in laws().items() if applies(each, of))
    kind = "has experts" if of.expansion > 1 else "is dense" if of.attention > 0 else "has no attention"
    about = "mixtures of experts" if chosen.fact.models == "experts" else "dense models with attention"
    return f"law={chosen.name} is of {about}, and {model} {kind}; give one of {fit}"


def best_aspects(of: Trained) -> tuple[float, tuple[float, float]]:
    """The best hidden / layers at this size, and the range in which the loss is a tie with it."""
    import numpy as np

    aspects = np.geomspace(*ASPECTS, STEPS)
    losses = np.asarray(expected_loss(of.active, of.head, 1, aspects, of.tokens))
    tied = aspects[losses - losses.min() < TIE]
    return float(best_aspect(of.active, of.head)), (float(tied[0]), float(tied[-1]))


def _range(chosen: Law, of: Trained) -> Iterator[str]:
    worth = effective(of)
    for key, far in outside(chosen, of).items():
        low, high = chosen.fact.fitted[key]
        repeated = float(chosen.outside(of)[key]) < far  # what the tokens are worth lies farther out
        value = float(getattr(worth if repeated else of, key))
        name = f"{WORDS.get(key, key)}{', what they are worth,' if repeated else ''}"
        fitted = f"{'above' if value > high else 'below'} the fitted {_said(low)} to {_said(high)}"
        yield f"extrapolates: {name} {_said(value)} is {far:.1f} factors of e {fitted}"


def _guessing(chosen: Law, of: Trained) -> Iterator[str]:
    """A loss that is no loss: more than a model has that knows nothing."""
    guess, loss = math.log(max(1.0, float(of.vocab))), float(chosen.loss(as_read(chosen, of)))
    if chosen.fact.units == NATS and loss > guess:
        yield (
            f"no model is this bad: {loss:.3g} nats are more than the {guess:.3g} that guessing among "
            f"{int(of.vocab):,} tokens costs; the law does not hold here"
        )


def _shape(of: Trained) -> Iterator[str]:
    """What the shape costs, and whether that is a difference at all."""
    effect = float(shape_loss(of.active, of.head, of.layers, of.hidden, of.tokens).shape_effect)
    best, (low, high) = best_aspects(of)
    cost = f"shape: hidden/layers {of.aspect:.0f} against the best {best:.0f} costs {effect:.3f} nats"
    if effect < TIE:
        yield f"{cost}, below the {TIE} that another recipe moves it: a tie, as anywhere from {low:.0f} to {high:.0f}"
    else:
        better = "deeper and narrower" if of.aspect > best else "wider and shallower"
        moved = f"more than the {TIE} that another recipe moves it"
        yield f"{cost}, {moved}: {better} is better, {low:.0f} to {high:.0f} ties"
    levine = float(optimal_aspect(of.active, constants("levine-2020", OptimalWidth)))
    yield f"where the best lies depends on the recipe: Levine et al. 2020 put it at {levine:.0f} for this size"
    if of.attention > 0 and of.expansion == 1:
        worse = float(ratio_factor(of.mlp_ratio, constants(FFN_LAW, Conditional))) - 1
        yield (
            f"the law is silent about the FFN ratio; the conditional law, on one group's word, puts {of.mlp_ratio:.1f} "
            f"FFN parameters per attention parameter {worse:.1%} above the best"
        )


def _vocabulary(of: Trained) -> Iterator[str]:
    usual, here = published_vocab(of.active, of.hidden), optimal_vocab(of.active, of.hidden, of.flops)
    low, high = loss_law(VOCABULARY_LAW).fitted["body"]
    yield (
        f"vocabulary: the law sees its parameters alone; Tao et al. 2024, fitted on bodies of {count(low)} to "
        f"{count(high)}, put the best at {count(float(usual))} tokens where training is compute-optimal, at "
        f"{count(float(here))} for this compute"
    )


def _repeats(of: Trained) -> Iterator[str]:
    if of.epochs > 1:
        worth = count(float(effective(of).tokens))
        yield (
            f"repeated data: {of.epochs:.1f} epochs of {count(float(of.unique_tokens))} tokens are worth {worth} fresh "
            "ones (Muennighoff et al. 2023)"
        )


def _experts(of: Trained) -> Iterator[str]:
    if of.expansion > 1:
        gained = -float(experts_effect(of.active_with_embeddings, of.expansion, of.tokens))
        yield (
            f"experts: the law was fitted on dense models; it is taken at the {count(float(of.active))} body "
            f"parameters that a token meets, less {gained:.3f} nats for {of.expansion:.3g} times as many in its FFN "
            "(Ludziejewski et al. 2025, fitted up to 32 times and 2.7B active); the interval is wider"
        )


def _said(value: float) -> str:
    return count(value) if value >= 10_000 else f"{value:.3g}"
