"""Two or more shapes side by side: what each is better at, and where the difference is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from deepwide.answers.answer import Answer
from deepwide.answers.limits import LONGEST_CONTEXT, MOST_TOKENS, whole
from deepwide.answers.models import Model, find_model
from deepwide.answers.shape import TOKENS_PER_PARAMETER, Shape, loss_resolution_of, shape_of
from deepwide.answers.shape.costs import Runs, shared_devices, together
from deepwide.cost.inference.engine import driven
from deepwide.design.counterfactual import TIME_RESOLUTION, ratio_apart
from deepwide.errors import BadInput

MOST_MODELS = 26  # one letter each
SAME_SHARE = 0.01  # exact quantities closer than this are called the same


class Criterion(NamedTuple):
    """What shapes are judged by: a field of `Shape`, what better means in words.

    `resolution` is the share below which a difference is none; the loss has its own rule.
    """

    name: str
    field: str
    better: str
    resolution: float = SAME_SHARE
    higher: bool = False


CRITERIA = (
    Criterion("loss", "loss", "lower predicted loss"),
    Criterion("overfitting", "parameters_per_token", "fewer parameters per training token"),
    Criterion("gradient path", "gradient_path", "fewer residual branches from the loss to the input"),
    Criterion("FLOPs", "training_flops_per_token", "fewer FLOPs per token"),
    Criterion("intensity", "intensity", "more FLOPs per byte moved", higher=True),
    Criterion("tile fill", "fill", "fuller matrix units", higher=True),
    Criterion("weights", "weight_bytes", "fewer bytes of weights"),
    Criterion("largest layer", "layer_bytes", "a smaller largest layer"),
    Criterion("KV cache", "kv_cache_bytes_per_token", "fewer cached bytes per token"),
    Criterion("inference memory", "inference_bytes", "less memory to read and write"),
    Criterion("training memory", "training_bytes", "less memory to train on one device"),
    Criterion("launches", "kernels", "fewer kernels per pass"),
    Criterion("all-reduces", "sums", "fewer sums over tensor-parallel devices"),
    Criterion("prefill time", "prefill_s", "less time to read a prompt", TIME_RESOLUTION["prefill"]),
    Criterion("decode time", "decode_s", "less time per generated token", TIME_RESOLUTION["decode"]),
    Criterion("launch time", "launch_s", "less time starting kernels", TIME_RESOLUTION["decode"]),
    Criterion("all-reduce time", "decode_sums_s", "less time summing over devices", TIME_RESOLUTION["decode"]),
    Criterion("training step", "step_s", "less time per training step", TIME_RESOLUTION["step"]),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One criterion: who is ahead of whom, by how much; no winner where the difference is inside its uncertainty.

    `resolution` is that uncertainty: nats for the loss, a share for all else; `tied` are those as good as the winner.
    """

    criterion: str
    winner: str | None
    loser: str | None
    difference: float
    resolution: float
    text: str
    tied: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Overall:
    """Who wins where. `deep` and `wide` are set where two shapes differ in hidden / layers."""

    deep: str | None
    wide: str | None
    wins: dict[str, tuple[str, ...]]
    ties: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison(Answer):
    """Shapes, a verdict for each criterion, and all of them in one sentence.

    Sums, fill and intensity are those of `tp` devices that share each layer, a training step is that of `devices`.
    """

    models: tuple[Shape, ...]
    verdict: tuple[Verdict, ...]
    overall: Overall
    tokens: int
    context: int
    on: str
    devices: int
    tp: int
    notes: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain values."""
        return {
            "models": [m.to_dict() for m in self.models],
            "verdict": [asdict(v) for v in self.verdict],
            "overall": asdict(self.overall),
            "tokens": self.tokens,
            "context": self.context,
            "on": self.on,
            "devices": self.devices,
            "tp": self.tp,
            "notes": list(self.notes),
        }


def compare(
    models: Sequence[str],
    *,
    on: str = "",
    tokens: int | None = None,
    context: int = 4096,
    devices: int | None = None,
    **reading: Any,
) -> Comparison:
    """Models side by side, trained on the same tokens (20 per parameter of the first when not given).

    With an accelerator also times: batch 1 on one device, a training step on `devices` (one node of 8 when not given).
    The other keywords are those of `find_model`.
    """
    from deepwide.facts.accelerators import accelerator
    from deepwide.facts.device import memory_for_use_bytes

    _check(models, tokens, context)
    asked = together(devices, on)
    found = [find_model(model, **reading) for model in models]
    device = accelerator(on) if on else None
    tp = shared_devices(found)
    used = driven(device, devices=tp) if device else None
    runs = Runs(device=device, devices=asked, sequence=context) if device else None
    trained = TOKENS_PER_PARAMETER * int(found[0].ledger.parameters()) if tokens is None else tokens
    shapes = tuple(shape_of(model, used, tokens=max(1, trained), context=context, tp=tp, runs=runs) for model in found)
    verdict = tuple(v for criterion in CRITERIA if (v := _verdict(shapes, criterion)))
    return Comparison(
        models=shapes,
        verdict=verdict,
        overall=_overall(shapes, verdict),
        tokens=trained,
        context=context,
        on=used.name if used else "",
        devices=asked,
        tp=tp,
        notes=_notes(found, shapes, memory_for_use_bytes(device) if device else None),
    )


def _check(models: Sequence[str], tokens: int | None, context: int) -> None:
    if isinstance(models, str) or len(models) < 2:
        raise BadInput("compare needs two models or more, for instance: llama-3-8b llama-3-8b,layers=64,hidden=2880")
    whole("the number of models", len(models), 2, MOST_MODELS)
    whole("context", context, 1, LONGEST_CONTEXT)
    if tokens is not None:
        whole("tokens", tokens, 1, MOST_TOKENS)


def _notes(found: Sequence[Model], shapes: Sequence[Shape], capacity_bytes: int | None) -> tuple[str, ...]:
    said = [f"{model.name}: {note}" for model in found for note in model.notes]
    said += [f"{shape.model}: {reason}" for shape in shapes for reason in shape.telling]
    if capacity_bytes is not None:
        unheld = "its weights do not fit one device: the time is that of a device large enough"
        said += [f"{shape.model}: {unheld}" for shape in shapes if shape.weight_bytes > capacity_bytes]
    return tuple(dict.fromkeys((*said, *_sizes_apart(shapes), *_vocabularies_apart(found, shapes))))


def _sizes_apart(shapes: Sequence[Shape]) -> list[str]:
    """Whether this is a comparison at equal parameters, at equal FLOPs, or at neither."""
    sizes, works = [s.parameters for s in shapes], [s.training_flops_per_token for s in shapes]
    if max(sizes) <= min(sizes) * (1 + 2 * SAME_SHARE):
        return []
    apart = f"sizes differ by {max(sizes) / max(1, min(sizes)) - 1:.1%}: not an equal-parameter comparison"
    equal = max(works) <= min(works) * (1 + 2 * SAME_SHARE)
    return [f"{apart}{', but one at equal FLOPs per token' if equal else ''}"]


def _vocabularies_apart(found: Sequence[Model], shapes: Sequence[Shape]) -> list[str]:
    """Whether tokens of the models are not alike, so that neither are losses per token."""
    vocabs = [
        int(model.described().vocab) for model, shape in zip(found, shapes, strict=True) if shape.loss is not None
    ]
    if len(vocabs) < 2 or max(vocabs) <= min(vocabs) * (1 + 2 * SAME_SHARE):
        return []
    return [
        f"vocabularies differ ({min(vocabs):,} to {max(vocabs):,}): the losses are per token of one and the same "
        "tokenizer; measured per token of their own, which covers more text where there are more, they do not compare"
    ]


def _verdict(shapes: Sequence[Shape], of: Criterion) -> Verdict | None:
    """The verdict on one criterion, or nothing where a model has no such number.

    The best is held against the worst of those that are known to be worse.
    """
    values = [getattr(s, of.field) for s in shapes]
    if any(value is None for value in values) or not any(values):
        return None
    ranked = sorted(zip(values, shapes, strict=True), key=lambda pair: pair[0], reverse=of.higher)
    best, winner = ranked[0]
    beaten = [(value, shape) for value, shape in ranked[1:] if not _alike(best, winner, value, shape, of)]
    worst, loser = (beaten or ranked)[-1]
    gap, loss = abs(worst - best), of.field == "loss"
    resolution = float(loss_resolution_of(winner, loser) if loss else of.resolution)
    if not beaten:
        text = _tie(best, worst, resolution, loss)
        return Verdict(criterion=of.name, winner=None, loser=None, difference=gap, resolution=resolution, text=text)
    amount = f"{gap:.3f} nats" if loss else f"{_share(best, worst):.0%}"
    return Verdict(
        criterion=of.name,
        winner=winner.model,
        loser=loser.model,
        difference=gap,
        resolution=resolution,
        text=f"{of.better}, by {amount}",
        tied=tuple(shape.model for value, shape in ranked[1:] if (value, shape) not in beaten),
    )


def _alike(best: float, winner: Shape, value: float, shape: Shape, of: Criterion) -> bool:
    if of.field == "loss":
        return bool(abs(value - best) < loss_resolution_of(winner, shape))
    return ratio_apart(best, value) < of.resolution


def _share(best: float, worst: float) -> float:
    """By what share the better one is less, or more, than the other."""
    return 1 - best / worst if best < worst else best / worst - 1 if worst else 1.0


def _tie(best: float, worst: float, resolution: float, loss: bool) -> str:
    if loss:
        return f"tie: {abs(worst - best):.3f} nats apart, below {resolution:.2g}"
    apart = ratio_apart(best, worst)
    if resolution <= SAME_SHARE:
        return "the same" if not apart else f"the same within {resolution:.0%}"
    return f"tie: {apart:.1%} apart, below the {resolution:.2g} that predicted times of two shapes resolve"


def _overall(shapes: Sequence[Shape], verdict: Sequence[Verdict]) -> Overall:
    """All verdicts in one sentence, of the deep and the wide one where there are two."""
    wins = {s.model: tuple(v.criterion for v in verdict if v.winner == s.model) for s in shapes}
    ties = tuple(v.criterion for v in verdict if v.winner is None)
    by_aspect = sorted(shapes, key=lambda s: s.aspect)
    opposed = len(shapes) == 2 and by_aspect[1].aspect > by_aspect[0].aspect * (1 + SAME_SHARE)
    deep, wide = (s.model for s in by_aspect) if opposed else (None, None)
    called = {deep: "deep", wide: "wide"} if opposed else {}
    said = [f"{called.get(name, name)} wins on {', '.join(won) or 'nothing'}" for name, won in wins.items()]
    said = said if any(wins.values()) else []
    text = "; ".join([*said, *([f"tie on {', '.join(ties)}"] if ties else [])])
    return Overall(deep=deep, wide=wide, wins=wins, ties=ties, text=text)
