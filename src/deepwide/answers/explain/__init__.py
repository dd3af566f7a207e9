"""Why is hidden so large, and what would another shape bring? What width and depth buy and cost in one model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from deepwide.answers.answer import Answer
from deepwide.answers.count import count
from deepwide.answers.explain.heads import Advice, Heads, advice, heads_of
from deepwide.answers.explain.shapes import Counterfactual, Question, Sensitivity, counterfactuals, sensitivities
from deepwide.answers.explain.words import verdict
from deepwide.answers.inference import MOST_TOGETHER
from deepwide.answers.limits import LONGEST_CONTEXT, MOST_TOKENS, whole
from deepwide.answers.models import Model, find_model
from deepwide.answers.shape import TOKENS_PER_PARAMETER, Shape
from deepwide.answers.shape.costs import Runs, shared_devices, together
from deepwide.cost.inference.engine import driven
from deepwide.errors import BadInput

FFN_IS_BLIND = (
    "the loss law sees parameters and hidden / layers alone; what the FFN's ratio does beyond that is one group's word "
    "(Bian et al. 2025, arXiv:2510.18245), and of KV heads nobody says"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation(Answer):
    """What hidden size buys and costs.

    growth            shares of the parameters that grow with hidden², with hidden, with the layers; and by what factor
                      all of them grow if hidden, or the layers, double
    counterfactuals   other shapes at equal parameters: narrower, wider, another FFN
    sensitivities     what +10% of one size changes
    heads, alignment  how attention is parted, and which sizes `tp` devices cut into whole tiles
    verdict           in plain words
    """

    model: str
    shape: Shape
    growth: dict[str, float]
    counterfactuals: tuple[Counterfactual, ...]
    sensitivities: tuple[Sensitivity, ...]
    heads: Heads | None
    alignment: Advice
    verdict: tuple[str, ...]
    tokens: int
    context: int
    on: str
    devices: int
    tp: int
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain values."""
        return {
            "model": self.model,
            "shape": self.shape.to_dict(),
            "growth": self.growth,
            "counterfactuals": [c.to_dict() for c in self.counterfactuals],
            "sensitivities": [asdict(s) for s in self.sensitivities],
            "heads": asdict(self.heads) if self.heads else None,
            "alignment": asdict(self.alignment),
            "verdict": list(self.verdict),
            **{name: getattr(self, name) for name in ("tokens", "context", "on", "devices", "tp")},
            "notes": list(self.notes),
        }


def explain(
    model: str,
    *,
    on: str = "",
    tokens: int | None = None,
    context: int = 4096,
    devices: int | None = None,
    tp: int | None = None,
    **reading: Any,
) -> Explanation:
    """What the shape of a model buys and costs, beside other shapes with the same parameters.

    With an accelerator also times: batch 1 on one device, a training step on `devices` (one node of 8 when not given).
    Alignment is for `tp` devices that share each layer, as many of a node as the heads allow when not given.
    The other keywords are those of `find_model`.
    """
    found = find_model(model, **reading)
    _check(found, tokens, context, tp)
    asked = _question(found, on, tokens, context, devices, tp)
    own = asked.shape(found)
    others, left_out = counterfactuals(model, found, own, asked, reading)
    return Explanation(
        model=found.name,
        shape=own,
        growth=_growth(found),
        counterfactuals=others,
        sensitivities=sensitivities(model, found, own, asked, reading),
        heads=heads_of(found),
        alignment=advice(model, found, asked.tp, reading),
        verdict=verdict(own, others),
        tokens=int(asked.tokens),
        context=context,
        on=asked.on.name if asked.on else "",
        devices=asked.runs.devices if asked.runs else 0,
        tp=asked.tp,
        notes=(*found.notes, *_doubts(own), *left_out, *([FFN_IS_BLIND] if own.loss is not None else [])),
    )


def _doubts(own: Shape) -> tuple[str, ...]:
    """What the shape does to the loss, and why to doubt it."""
    return (*(reason for reason in own.reasons if reason.startswith("shape")), *own.telling)


def _question(found: Model, on: str, tokens: int | None, context: int, devices: int | None, tp: int | None) -> Question:
    """The question with its defaults filled in."""
    from deepwide.facts.accelerators import accelerator

    device = accelerator(on) if on else None
    asked = together(devices, on)
    cut = shared_devices([found]) if tp is None else tp
    trained = TOKENS_PER_PARAMETER * int(found.ledger.parameters()) if tokens is None else tokens
    return Question(
        tokens=max(1, trained),
        context=context,
        tp=cut,
        on=driven(device, devices=cut) if device else None,
        runs=Runs(device=device, devices=asked, sequence=context) if device else None,
    )


def _check(found: Model, tokens: int | None, context: int, tp: int | None) -> None:
    whole("context", context, 1, LONGEST_CONTEXT)
    for name, value, most in (("tokens", tokens, MOST_TOKENS), ("tp", tp, MOST_TOGETHER)):
        if value is not None:
            whole(name, value, 1, most)
    if not found.described().main.layers:
        raise BadInput(f"{found.name} has no layers whose number or width could be another; give a whole model")


def _growth(found: Model) -> dict[str, float]:
    """How the parameters grow: shares by what they grow with, and the factor that doubling brings."""
    rows = count(found, explain=True).rows
    total = sum(row.parameters for row in rows) or 1

    def share(word: str) -> float:
        return sum(row.parameters for row in rows if word in row.grows.split(" · ")) / total

    squared, linear, layers = share("hidden²"), share("hidden"), share("layers")
    return {
        "hidden_squared": squared,
        "hidden": linear,
        "layers": layers,
        "if_hidden_doubles": 1 + 3 * squared + linear,
        "if_layers_double": 1 + layers,
    }
