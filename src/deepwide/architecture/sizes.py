"""The headline sizes of an architecture: what a person quotes of a model, read off its main stack."""

from __future__ import annotations

from typing import NamedTuple

from deepwide.architecture.model import Architecture, Body
from deepwide.units import Num


class Sizes(NamedTuple):
    """`layers`, `hidden` and the rest as a person quotes them of the main stack; None where a model has no such part.

    `heads`, `kv_heads` and `head_dim` are those of its attention, `ffn` the inner width of its network, `experts` and
    `active_experts` those of its mixture, `vocab` and `context` the tokens it knows and the most it was made to read.
    With several kinds of layers the first of a kind speaks for all.
    """

    layers: Num
    hidden: Num
    vocab: Num
    heads: Num | None
    kv_heads: Num | None
    head_dim: Num | None
    ffn: Num | None
    experts: Num | None
    active_experts: Num | None
    context: Num | None


def int_or_none(value: Num | None) -> int | None:
    """A size of one model as a plain whole number; None stays unknown."""
    return None if value is None else int(value)


def bodies(architecture: Architecture) -> list[Body]:
    """The bodies of the main stack's branches, run by run; the parts of those that are put together from several."""
    return [part for run in architecture.main.runs for branch in run.layer.branches for part in _parts(branch.body)]


def _parts(body: Body) -> list[Body]:
    """What a body is made of: an assembly has parts, bodies side by side are mixers (composite.py), others are one."""
    inner = getattr(body, "parts", None) or getattr(body, "mixers", None)
    return [body] if inner is None else [part for each in inner for part in _parts(each)]


def sizes(architecture: Architecture) -> Sizes:
    """The headline sizes. Parts are told by the sizes they have, so that none is imported to be asked for."""
    found = bodies(architecture)
    mixer = next((body for body in found if hasattr(body, "query_dim")), None)
    experts = next((body for body in found if hasattr(body, "ffn") and hasattr(body, "experts")), None)
    network = next((body for body in found if hasattr(body, "ffn") and body is not experts), experts)
    return Sizes(
        layers=architecture.main.layers,
        hidden=architecture.main.hidden,
        vocab=architecture.vocab,
        heads=getattr(mixer, "heads", None),
        kv_heads=getattr(mixer, "kv_heads", None),
        head_dim=getattr(mixer, "query_dim", None),
        ffn=getattr(network, "ffn", None),
        experts=getattr(experts, "experts", None),
        active_experts=getattr(experts, "active_experts", None),
        context=architecture.context,
    )
