"""Two or more shapes side by side: what each is better at, and where the difference is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from deepwide.answers.limits import LONGEST_CONTEXT, MOST_TOKENS, whole
from deepwide.answers.models import find_model
from deepwide.answers.shape import TOKENS_PER_PARAMETER, Shape, shape_of
from deepwide.cost.inference.engine import driven
from deepwide.errors import BadInput
from deepwide.quality.shape import TIE

MOST_MODELS = 26  # one letter each
SAME_SHARE = 0.01  # exact quantities closer than this are called the same
# Criterion, its field, what better means in words.
CRITERIA = (
    ("loss", "loss", "lower predicted loss"),
    ("decode time", "decode_s", "less time per generated token"),
    ("weights", "weight_bytes", "fewer bytes of weights"),
    ("KV cache", "kv_cache_bytes_per_token", "fewer cached bytes per token"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One criterion: who is ahead of whom, by how much; no winner where the difference is inside its uncertainty."""

    criterion: str
    winner: str | None
    loser: str | None
    difference: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Shapes, and a verdict for each criterion."""

    models: tuple[Shape, ...]
    verdict: tuple[Verdict, ...]
    tokens: int
    context: int
    on: str
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain values."""
        return {
            "models": [m.to_dict() for m in self.models],
            "verdict": [asdict(v) for v in self.verdict],
            "tokens": self.tokens,
            "context": self.context,
            "on": self.on,
            "notes": list(self.notes),
        }


def compare(
    models: Sequence[str], *, on: str = "", tokens: int | None = None, context: int = 4096, **reading: Any
) -> Comparison:
    """Models side by side, trained on the same tokens (20 per parameter of the first when not given).

    The other keywords are those of `find_model`.
    """
    from deepwide.facts.accelerators import accelerator, memory_for_use_bytes

    _check(models, tokens, context)
    found = [find_model(model, **reading) for model in models]
    device = accelerator(on) if on else None
    used = driven(device) if device else None
    trained = TOKENS_PER_PARAMETER * int(found[0].ledger.parameters()) if tokens is None else tokens
    shapes = tuple(shape_of(model, used, tokens=trained, context=context) for model in found)
    return Comparison(
        models=shapes,
        verdict=tuple(v for criterion in CRITERIA if (v := _verdict(shapes, *criterion))),
        tokens=trained,
        context=context,
        on=used.name if used else "",
        notes=_notes(found, shapes, memory_for_use_bytes(device) if device else None),
    )


def _check(models: Sequence[str], tokens: int | None, context: int) -> None:
    if isinstance(models, str) or len(models) < 2:
        raise BadInput("compare needs two models or more, for instance: llama-3-8b llama-3-8b,layers=64,hidden=2880")
    whole("the number of models", len(models), 2, MOST_MODELS)
    whole("context", context, 1, LONGEST_CONTEXT)
    if tokens is not None:
        whole("tokens", tokens, 1, MOST_TOKENS)


def _notes(found: Sequence[Any], shapes: Sequence[Shape], capacity_bytes: int | None) -> tuple[str, ...]:
    said = [f"{model.name}: {note}" for model in found for note in model.notes]
    said += [f"{shape.model}: {reason}" for shape in shapes for reason in shape.reasons]
    if capacity_bytes is not None:
        unheld = "its weights do not fit one device: the time is that of a device large enough"
        said += [f"{shape.model}: {unheld}" for shape in shapes if shape.weight_bytes > capacity_bytes]
    largest, smallest = max(s.parameters for s in shapes), min(s.parameters for s in shapes)
    if largest > smallest * (1 + 2 * SAME_SHARE):
        said.append(f"sizes differ by {largest / smallest - 1:.1%}: not an equal-parameter comparison")
    return tuple(dict.fromkeys(said))


def _verdict(shapes: Sequence[Shape], name: str, field: str, better: str) -> Verdict | None:
    """The verdict on one criterion, or nothing where a model has no such number."""
    values = [(getattr(s, field), s.model) for s in shapes]
    if any(value is None for value, _ in values):
        return None
    (best, winner), (worst, loser) = min(values), max(values)
    gap = worst - best
    tied = gap < TIE if field == "loss" else worst <= best * (1 + SAME_SHARE)
    if tied:
        text = f"tie: {gap:.3f} nats apart, below {TIE}" if field == "loss" else f"the same within {SAME_SHARE:.0%}"
        return Verdict(criterion=name, winner=None, loser=None, difference=gap, text=text)
    amount = f"{gap:.3f} nats" if field == "loss" else f"{1 - best / worst:.0%}"
    return Verdict(criterion=name, winner=winner, loser=loser, difference=gap, text=f"{better}, by {amount}")
