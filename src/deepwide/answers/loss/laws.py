"""What other laws say of the same training: their levels, which do not compare, and their differences, which do."""

from __future__ import annotations

import math
from dataclasses import dataclass

from deepwide.facts.loss_laws import LossLaw
from deepwide.quality.budget import best_for_compute, doubled_body, doubled_tokens
from deepwide.quality.data import REPEATS, effective
from deepwide.quality.laws import NATS, Law, laws
from deepwide.quality.trained import Trained

# How far the mean losses of public runs lie apart at equal size and tokens: the standard deviation over nine sets
# (Chinchilla's, Gemstones read on Dolma, FineWeb-Edu and DCLM, Morph, Gadre's three, the OLMo ladder), each held
# against the law of Besiroglu et al. 2024. They differ in corpus, tokenizer and recipe.
LEVEL_SD = 0.2
MAE_TO_SD = math.sqrt(math.pi / 2)  # of errors that are normal


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherLaw:
    """One law's view: its loss, what one doubling changes, and the body and tokens it thinks best for the FLOPs."""

    law: str
    loss: float
    units: str
    extrapolates: bool
    outside: float
    doubled_tokens: float | None
    doubled_body: float | None
    best_body: float | None
    best_tokens: float | None
    data: str
    source: str
    note: str


def other_laws(of: Trained, besides: str) -> tuple[OtherLaw, ...]:
    """Every law that speaks of such a model, but one."""
    return tuple(_view(each, of) for each in laws().values() if each.name != besides and applies(each, of))


def as_read(law: Law, of: Trained) -> Trained:
    """The training as a law takes it: repeated tokens as the fresh ones they are worth, but where it knows better."""
    return of if law.name == REPEATS else effective(of)


def outside(law: Law, of: Trained) -> dict[str, float]:
    """The sizes that lie outside a law's range, by how many factors of e: as trained or as worth, whichever is farther.

    Repeated tokens may be many and yet worth fewer than the law has seen.
    """
    trained, worth = law.outside(of), law.outside(effective(of))
    farther = {key: max(float(trained[key]), float(worth[key])) for key in trained}
    return {key: far for key, far in farther.items() if far > 0}


def applies(law: Law, of: Trained) -> bool:
    """Whether a law is about such a model: dense or with experts, and all that it asks for there."""
    kind = "experts" if of.expansion > 1 else "dense"
    asked = of.attention > 0 or "mlp_ratio" not in law.fact.fitted
    return law.name == "shape" or (law.fact.models in (kind, "any") and bool(asked))


def fit_sd(fact: LossLaw) -> float | None:
    """The standard deviation of a law's own fit, where one is known."""
    if fact.rmse is not None:
        return fact.rmse
    return None if fact.mae is None else fact.mae * MAE_TO_SD


def _view(law: Law, of: Trained) -> OtherLaw:
    beyond = sum(outside(law, of).values())
    in_nats, worth = law.fact.units == NATS, as_read(law, of)
    best = best_for_compute(law.loss, of) if in_nats else None
    return OtherLaw(
        law=law.name,
        loss=float(law.loss(worth)),
        units=law.fact.units,
        extrapolates=beyond > 0,
        outside=float(beyond),
        doubled_tokens=float(doubled_tokens(law.loss, worth)) if in_nats else None,
        doubled_body=float(doubled_body(law.loss, worth)) if in_nats else None,
        best_body=best.body if best else None,
        best_tokens=best.tokens if best else None,
        data=law.fact.data,
        source=law.fact.source,
        note=law.fact.note,
    )
