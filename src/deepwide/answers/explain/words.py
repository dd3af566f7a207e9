"""The verdict on a model's shape in plain words: what another width would change, and what it would not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from deepwide.answers.explain.shapes import EQUAL_SHARE, Counterfactual
from deepwide.answers.shape import Shape
from deepwide.design.counterfactual import TIME_RESOLUTION
from deepwide.quality.shape import TIE

TIMES = {"decode": "decode", "prefill": "prompts", "step": "the training step"}


def verdict(own: Shape, others: Sequence[Counterfactual]) -> tuple[str, ...]:
    """Loss first, then times, then what needs no hardware; of width, and of the FFN against layers."""
    widths = [c for c in others if c.label.startswith("width")]
    ffns = [c for c in others if c.label.startswith("ffn")]
    return (*_loss(own, widths), *_moved(widths), *_ffn(ffns))


def _loss(own: Shape, widths: Sequence[Counterfactual]) -> Iterator[str]:
    """One sentence where no width is known to be better or worse, else one that sorts them."""
    known = [c for c in widths if c.loss_change is not None]
    if not known:
        return
    alike = [c for c in known if c.tie and abs(c.loss_change or 0.0) < TIE]
    if len(alike) == len(known):
        most = max(abs(c.loss_change or 0.0) for c in known)
        span = f"{_ratio(known[0])} to {_ratio(known[-1])} the width at equal parameters"
        yield f"Shape hardly matters here for loss: {span} moves it by at most {most:.3f} nats, a tie."
        return
    said = [f"{_ratio(c)} the width{_off(c)} {_cost(c)}" for c in known if c not in alike]
    if alike:
        one = len(alike) == 1
        most = max(abs(c.loss_change or 0.0) for c in alike)
        named = " and ".join(f"{_ratio(c)}{_off(c)}" for c in alike)
        said.append(f"{named} {'ties' if one else 'tie'} with it, at most {most:.3f} away")
    yield f"On loss {'; '.join(said)}."


def _off(c: Counterfactual) -> str:
    """How far from equal parameters it is, where its few layers miss them."""
    return f" ({c.parameters_off:+.0%} parameters)" if abs(c.parameters_off) > EQUAL_SHARE else ""


def _cost(c: Counterfactual) -> str:
    change, known_to = c.loss_change or 0.0, c.loss_resolution or 0.0
    if c.tie:
        return f"cannot be told ({change:+.3f} nats, known to {known_to:.3f})"
    return f"{'costs' if change > 0 else 'saves'} {abs(change):.3f} nats (known to {known_to:.3f})"


def _moved(widths: Sequence[Counterfactual]) -> Iterator[str]:
    """By how much times, the cache and the sums move from the narrowest to the widest."""
    if not widths:
        return
    first, last = widths[0], widths[-1]
    ends = (_ratio(first), _ratio(last))
    timed = [name for name in TIMES if any(abs(c.changes.get(name, 0.0)) > TIME_RESOLUTION[name] for c in widths)]
    if timed:
        said = [f"{TIMES[name]} {_span(widths, name)}" for name in timed]
        yield f"It moves {', '.join(said)}, from {ends[0]} to {ends[1]} the width."
    elif "decode" in first.changes:
        yield f"Times move by less than the {TIME_RESOLUTION['decode']:.0%} that they are known to."
    counted = [f"{word} {_span(widths, name)}" for name, word in SIZES.items() if name in first.changes]
    if counted:
        yield f"With the layers go {', '.join(counted)}."


SIZES = {"kernels": "kernel launches", "sums": "all-reduces", "kv_cache": "the KV cache"}


def _span(widths: Sequence[Counterfactual], name: str) -> str:
    ends = [c.changes[name] for c in widths if name in c.changes]
    return f"{ends[0]:+.0%} to {ends[-1]:+.0%}"


def _ratio(c: Counterfactual) -> str:
    """The width in words; what whole heads made of it."""
    return {0.5: "half", 2.0: "twice"}.get(c.ratio, f"{c.ratio:.3g} times")


def _ffn(ffns: Sequence[Counterfactual]) -> Iterator[str]:
    told = []
    for c in ffns:
        times = [f"{TIMES[n]} {c.changes[n]:+.0%}" for n in ("decode", "prefill") if n in c.changes]
        loss = [] if c.loss_change is None else [f"loss {c.loss_change:+.3f}{' (a tie)' if c.tie else ''}"]
        loss += [] if c.ffn_effect is None else [f"{c.ffn_effect:+.3f} more by a published law of the ratio"]
        told.append(
            f"{_ratio(c)} the width of it makes {c.shape.layers} layers, {', '.join([*loss, *times])}".rstrip(", ")
        )
    if told:
        yield f"FFN against layers: {'; '.join(told)}."
