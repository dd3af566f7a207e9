"""Two or more shapes side by side: what each is better at, and where the difference is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from deepwide.answers.models import find_model
from deepwide.answers.shape import TOKENS_PER_PARAMETER, Shape, shape_of
from deepwide.cost.kernels import machine
from deepwide.errors import BadInput
from deepwide.quality.laws import TIE

SAME_SHARE = 0.01  # exact quantities closer than this are called the same
# Criterion, its field, what better means in words.
CRITERIA = (
    ("loss", "loss", "lower predicted loss"),
    ("decode time", "decode_s", "less time per generated token"),
    ("weights", "weight_bytes", "fewer bytes of weights"),
    ("KV cache", "kv_cache_bytes_per_token", "fewer cached bytes per token"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Shapes, and a verdict in words for each criterion."""

    models: tuple[Shape, ...]
    verdict: tuple[str, ...]
    tokens: int
    context: int
    on: str
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain values."""
        return {
            "models": [m.to_dict() for m in self.models],
            "verdict": list(self.verdict),
            "tokens": self.tokens,
            "context": self.context,
            "on": self.on,
            "notes": list(self.notes),
        }


def compare(
    models: Sequence[str], *, on: str = "", tokens: int | None = None, context: int = 4096, like: str = ""
) -> Comparison:
    """Models side by side, trained on the same tokens (20 per parameter of the first when not given)."""
    from deepwide.facts.accelerators import accelerator

    if len(models) < 2:
        raise BadInput("compare needs two models or more, for instance: llama-3-8b llama-3-8b,layers=64,hidden=2880")
    found = [find_model(model, like) for model in models]
    used = machine(accelerator(on)) if on else None
    trained = tokens or TOKENS_PER_PARAMETER * found[0].ledger.parameters()
    shapes = tuple(shape_of(model, used, tokens=trained, context=context) for model in found)
    return Comparison(
        models=shapes,
        verdict=tuple(v for name, field, better in CRITERIA if (v := _verdict(shapes, name, field, better))),
        tokens=trained,
        context=context,
        on=used.name if used else "",
        notes=_notes(found, shapes),
    )


def _notes(found: Sequence[Any], shapes: Sequence[Shape]) -> tuple[str, ...]:
    said = [f"{model.name}: {note}" for model in found for note in model.notes]
    said += [f"{shape.model}: {reason}" for shape in shapes for reason in shape.reasons]
    largest, smallest = max(s.parameters for s in shapes), min(s.parameters for s in shapes)
    if largest > smallest * (1 + 2 * SAME_SHARE):
        said.append(f"sizes differ by {largest / smallest - 1:.1%}: not an equal-parameter comparison")
    return tuple(said)


def _verdict(shapes: Sequence[Shape], name: str, field: str, better: str) -> str:
    """Who wins a criterion, by how much; "tie" where the difference is inside its uncertainty."""
    values = [(getattr(s, field), s.model) for s in shapes]
    if any(value is None for value, _ in values):
        return ""
    ranked = sorted(values, key=lambda pair: pair[0])
    (best, winner), (worst, loser) = ranked[0], ranked[-1]
    if field == "loss":
        gap = worst - best
        return (
            f"{name}: tie (largest difference {gap:.3f} nats, below {TIE})"
            if gap < TIE
            else f"{name}: {winner} has {better}, {gap:.3f} nats below {loser}"
        )
    if worst <= best * (1 + SAME_SHARE):
        return f"{name}: the same within {SAME_SHARE:.0%}"
    return f"{name}: {winner} has {better}, {1 - best / worst:.0%} below {loser}"
