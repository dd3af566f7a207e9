"""A design in words: why it is the one, what hardware says of it, and what has to be known beside it."""

from __future__ import annotations

from typing import Any

from deepwide import units
from deepwide.answers.design.limits import LimitRow
from deepwide.answers.design.question import Question
from deepwide.design.alignment import Widths, misfits
from deepwide.design.usual import usual_aspect
from deepwide.quality.shape import TIE, best_aspect


def reason(asked: Question, best: dict[str, Any], limits: tuple[LimitRow, ...], feasible: int) -> str:
    """Why the shape is recommended, in one sentence that ends without a full stop."""
    binding = [each.words for each in limits if each.binding]
    held = f"; held by {', '.join(binding)}" if binding else "; no limit holds it back"
    return (
        f"the lowest predicted loss of the {feasible:,} shapes that keep to every limit{_fast(asked, best)}{held}; "
        f"hidden / layers is {best['aspect']:.0f}, and the ratio that the law holds best, {_ideal(best):.0f}, would "
        f"save {best['shape_effect']:.3f} nats{', a tie' if best['shape_effect'] < TIE else ''}"
    )


def _fast(asked: Question, best: dict[str, Any]) -> str:
    purpose = asked.purpose
    if (most := purpose.most("slowness")) is not None:
        usual = f"the usual shape of their size (hidden / layers {float(usual_aspect(best['parameters'])):.0f})"
        return (
            f" and decode no slower than {usual}"
            if most == 1
            else f" and take at most {most:g} times as long as {usual}"
        )
    if asked.wanted.decode_s is None and asked.like is not None and not asked.wanted.any_speed:
        return f" and decode no slower than {asked.like.name} ({units.duration(purpose.most('decode_s') or 0.0)})"
    return ""


def _ideal(best: dict[str, Any]) -> float:
    head = best["vocab"] * best["hidden"]
    return float(best_aspect(best["parameters"] - 2 * head, head))


def advice(asked: Question, best: dict[str, Any]) -> tuple[str, ...]:
    """What tensor parallelism as planned makes of the sizes."""
    own = {name: best[name] for name in ("hidden", "heads", "kv_heads", "head_dim", "ffn", "vocab")}
    found = misfits(Widths(**own), asked.purpose.space.tp)
    return tuple(f"{each.name}={each.size}: {each.why}" for each in found)


def notes(asked: Question, best: dict[str, Any]) -> tuple[str, ...]:
    """What had to be assumed, and what the answer does not see."""
    said = list(asked.notes)
    said.append(
        "the loss law does not see head width, KV heads or FFN ratio: they stay among the values of published models"
    )
    if best["outside"] > 0:
        said.append("the loss extrapolates: beyond 1.8B body parameters or 350B tokens nothing was fitted")
    if best["experts"] > 1:
        said.append("what experts gain is from another law (arXiv:2502.05172), fitted up to 32 of them")
    if len(asked.purpose.space.vocabs) > 1:
        said.append("vocabularies are compared at equal text by another law (arXiv:2407.13623)")
    if asked.purpose.serving.tp > 1:
        said.append(f"decode and memory are those of {asked.purpose.serving.tp} devices that share each layer")
    if asked.purpose.cluster is not None:
        said.append("other shapes' training times are under the plans of usual shapes of the size, not each its best")
    return tuple(said)
