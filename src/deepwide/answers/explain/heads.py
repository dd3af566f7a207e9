"""How attention parts the width into heads, what happens when either changes, and which sizes hardware would rather."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deepwide.answers.explain.shapes import EQUAL_SHARE, equalled
from deepwide.answers.models import NARROW_HEAD, Model
from deepwide.architecture.sizes import int_or_none, sizes
from deepwide.design.alignment import Misfit, Widths, aligned_up_to, misfits, realigned
from deepwide.errors import BadInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The width parted into other heads: `head_dim` is None where it cannot be, `warning` says what is unwise."""

    change: str
    hidden: int
    heads: int
    head_dim: int | None
    warning: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """hidden = heads × head_dim in most models; `group` query heads share the keys of one KV head.

    `splits` is empty where the width of a head does not follow from the hidden size.
    """

    heads: int
    kv_heads: int | None
    head_dim: int | None
    group: int | None
    width: int
    splits: tuple[Split, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What `tp` devices would have otherwise: sizes that miss whole tiles, and the nearest shape that does not.

    `fits_up_to` is the most devices, a power of two, that share this shape in whole tiles. `better` is the MODEL of
    the nearest shape that fits, with as many layers as make its parameters equal; "" where nothing is amiss, or no such
    shape is near.
    """

    tp: int
    fits_up_to: int
    misfits: tuple[dict[str, Any], ...]
    better: str
    better_parameters: int | None


def heads_of(model: Model) -> Heads | None:
    """How the model's width is parted, and how it would be with other heads or another width; None without heads."""
    own = sizes(model.described())
    if own.heads is None:
        return None
    heads, hidden, kv_heads, head_dim = int(own.heads), int(own.hidden), int_or_none(own.kv_heads), own.head_dim
    own_width = head_dim is not None and heads * int(head_dim) != hidden  # heads are as wide as they like
    asked = {"twice the heads": (hidden, 2 * heads), "half the heads": (hidden, heads // 2)}
    asked |= {"twice the hidden size": (2 * hidden, heads), "half of it": (hidden // 2, heads)}
    return Heads(
        heads=heads,
        kv_heads=kv_heads,
        head_dim=int_or_none(head_dim),
        group=heads // kv_heads if kv_heads and heads % kv_heads == 0 else None,
        width=heads * int(head_dim) if head_dim else hidden,
        splits=tuple(
            _split(change, width, count) for change, (width, count) in asked.items() if count and not own_width
        ),
    )


def _split(change: str, hidden: int, heads: int) -> Split:
    if hidden % heads:
        words = f"cannot be formed: {hidden} is no multiple of {heads}"
        return Split(change=change, hidden=hidden, heads=heads, head_dim=None, warning=words)
    head_dim = hidden // heads
    warning = f"below {NARROW_HEAD}" if head_dim < NARROW_HEAD else ""
    return Split(change=change, hidden=hidden, heads=heads, head_dim=head_dim, warning=warning)


def advice(text: str, model: Model, tp: int, reading: Mapping[str, Any]) -> Advice:
    """Which sizes of the model `tp` devices cut badly, and the nearest shape at equal parameters that they do not."""
    of = _widths(model)
    found = misfits(of, tp)
    better = _better(text, model, tp, {m.name for m in found} - {"vocab"}, reading)
    return Advice(
        tp=tp,
        fits_up_to=aligned_up_to(of),
        misfits=tuple(_told(m) for m in found),
        better=better.name if better else "",
        better_parameters=int(better.ledger.parameters()) if better else None,
    )


def _told(m: Misfit) -> dict[str, Any]:
    return {**m._asdict(), "better": list(m.better)}


def _widths(model: Model) -> Widths:
    own = sizes(model.described())
    heads, kv_heads, head_dim, ffn = (int_or_none(v) for v in (own.heads, own.kv_heads, own.head_dim, own.ffn))
    return Widths(
        hidden=int(own.hidden), heads=heads, kv_heads=kv_heads, head_dim=head_dim, ffn=ffn, vocab=int(own.vocab)
    )


def _better(text: str, model: Model, tp: int, amiss: set[str], reading: Mapping[str, Any]) -> Model | None:
    """The nearest shape that fits, if the family can take it; the vocabulary stays, for engines pad it.

    Only the network is another where nothing else is amiss.
    """
    of = _widths(model)
    fitting = realigned(of, tp)
    names = ("hidden", "heads", "kv_heads", "head_dim", "ffn") if amiss - {"ffn"} else ("ffn",)
    changes = {n: getattr(fitting, n) for n in names if getattr(fitting, n) not in (None, getattr(of, n))}
    if not amiss or not changes or fitting.heads is None:
        return None
    try:
        found = equalled(text, model, changes, reading)
    except BadInput:
        return None
    fits = not [m for m in misfits(_widths(found), tp) if m.name != "vocab"]
    far = abs(int(found.ledger.parameters()) / int(model.ledger.parameters()) - 1) > EQUAL_SHARE
    return found if fits and not far else None
