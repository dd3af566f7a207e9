"""The headline sizes of an architecture: what a person quotes of a model, read off its main stack."""

from __future__ import annotations

from dataclasses import dataclass

from deepwide.architecture.attention import Attention, LatentAttention
from deepwide.architecture.ffn import Experts, FeedForward
from deepwide.architecture.model import Architecture, Body
from deepwide.units import Num


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Layers, widths and heads of the main stack; None where the model has no such part.

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


def whole(value: Num | None) -> int | None:
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
    """The headline sizes."""
    found = bodies(architecture)
    mixer = next((b for b in found if isinstance(b, Attention | LatentAttention)), None)
    plain = mixer if isinstance(mixer, Attention) else None
    moe = next((b for b in found if isinstance(b, Experts)), None)
    dense = next((b for b in found if isinstance(b, FeedForward)), None)
    latent = mixer.nope_dim + mixer.rope_dim if isinstance(mixer, LatentAttention) else None
    return Sizes(
        layers=architecture.main.layers,
        hidden=architecture.main.hidden,
        vocab=architecture.vocab,
        heads=mixer.heads if mixer else None,
        kv_heads=plain.kv_heads if plain else None,
        head_dim=plain.head_dim if plain else latent,
        ffn=dense.ffn if dense else moe.ffn if moe else None,
        experts=moe.experts if moe else None,
        active_experts=moe.active_experts if moe else None,
        context=architecture.context,
    )
