"""What is known: the published models and the accelerators, each with its source."""

from __future__ import annotations

from dataclasses import dataclass

from deepwide.answers.answer import Answer
from deepwide.answers.models import find_model
from deepwide.architecture.sizes import int_or_none, sizes
from deepwide.facts.accelerators import accelerators
from deepwide.facts.device import Accelerator
from deepwide.facts.models import ModelFact, model_facts


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedModel(Answer):
    """One row of the model catalogue; its numbers are counted, None where the shape is undisclosed."""

    name: str
    maker: str
    year: int
    family: str
    parameters: int | None
    active: int | None
    layers: int | None
    hidden: int | None
    source: str
    checked: str
    note: str


def models(search: str = "") -> tuple[ListedModel, ...]:
    """The models whose id, maker or family contains `search`."""
    word = search.lower()
    return tuple(_listed(f) for f in model_facts() if word in f"{f.name} {f.maker} {_family(f)}".lower())


def _family(fact: ModelFact) -> str:
    return str((fact.config or {}).get("model_type", "undisclosed"))


def _listed(fact: ModelFact) -> ListedModel:
    found = find_model(fact.name) if fact.config is not None else None
    shape = sizes(found.architecture) if found and found.architecture else None
    return ListedModel(
        name=fact.name,
        maker=fact.maker,
        year=fact.year,
        family=_family(fact),
        parameters=int_or_none(found.ledger.parameters()) if found else None,
        active=int_or_none(found.ledger.active_parameters()) if found else None,
        layers=int_or_none(shape.layers) if shape else None,
        hidden=int_or_none(shape.hidden) if shape else None,
        source=fact.source,
        checked=fact.checked,
        note=fact.note,
    )


def listed_accelerators(search: str = "") -> tuple[Accelerator, ...]:
    """The accelerators whose id, vendor or architecture contains `search`."""
    word = search.lower()
    return tuple(a for a in accelerators() if word in f"{a.name} {a.vendor} {a.architecture}".lower())
