"""Ablations: the same architecture without something that every model has, to be counted and built like any other.

no_residual   what a branch makes takes the place of the stream instead of being added to it; weights are the same
no_norm       no norms anywhere: around branches, after the embedding and the layers, of queries and keys
shared_qkv    one matrix makes queries, keys and values. Attention across to another stack keeps its three, since its
              queries are made of other tokens than its keys
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass, replace
from typing import Any

from deepwide.architecture.attention import Attention
from deepwide.architecture.ledger import lower
from deepwide.architecture.model import Architecture, Branch
from deepwide.architecture.parts import Norm, NormLayer
from deepwide.errors import BadInput


def ablated(architecture: Architecture, names: Iterable[str]) -> Architecture:
    """The architecture without what these ablations leave out; one that would change nothing is refused."""
    for name in names:
        changed = ABLATIONS[name](architecture)
        if changed == architecture:
            raise BadInput(f"{name}: {architecture.family} has nothing that it could change; leave it out")
        note = f"{name}: laws of loss and measured speeds are those of models without this ablation"
        architecture = replace(changed, notes=(*changed.notes, note))
    return architecture


def _without_residual(architecture: Architecture) -> Architecture:
    result: Architecture = _walked(architecture, lambda p: replace(p, residual=False) if type(p) is Branch else p)
    return result


def _without_norms(architecture: Architecture) -> Architecture:
    result: Architecture = _walked(architecture, _unnormed)
    left = next((op.name for op in lower(result).ops if op.kind == "norm"), "")
    if left:
        raise BadInput(f"no_norm: {architecture.family} has norms inside its parts, which they need ({left})")
    return result


def _unnormed(part: Any) -> Any:
    """A part without its norms; nothing instead of a norm that stands by itself."""
    if isinstance(part, NormLayer):
        return None
    norms = {f.name: None for f in fields(part) if isinstance(getattr(part, f.name), Norm)}
    return replace(part, **norms) if norms else part


def _with_one_projection(architecture: Architecture) -> Architecture:
    result: Architecture = _walked(architecture, lambda p: _shared(p) if type(p) is Attention else p)
    return result


def _shared(a: Attention) -> Attention:
    """The same attention with a single projection, where it has keys and values of its own tokens."""
    if a.keys:
        return a
    if isinstance(a.kv_heads, int) and a.kv_heads != a.heads:
        raise BadInput(f"shared_qkv needs as many key heads as query heads, not {a.kv_heads}; add kv_heads={a.heads}")
    even = a.value_dim is None or a.value_dim is a.head_dim or a.value_dim == a.head_dim
    if not even or a.shared_kv or a.value_is_key or a.also or a.value_width is not None:
        raise BadInput("shared_qkv: this family's keys and values are not made of the same tokens, or are not as wide")
    return replace(a, one_projection=True)


def _walked(value: Any, change: Callable[[Any], Any]) -> Any:
    """The same description with every part changed, the inner ones first; None leaves a part out of a list."""
    if isinstance(value, tuple):
        parts = [(part, _walked(part, change)) for part in value]
        return tuple(new for old, new in parts if new is not None or old is None)
    if not _is_part(value):
        return value
    inner = {f.name: getattr(value, f.name) for f in fields(value)}
    walked = {name: _walked(part, change) for name, part in inner.items() if isinstance(part, tuple) or _is_part(part)}
    return change(replace(value, **walked) if walked else value)


def _is_part(value: Any) -> bool:
    """Whether it is a description of a part, not a number or a word."""
    return is_dataclass(value) and not isinstance(value, type)


ABLATIONS: dict[str, Callable[[Architecture], Architecture]] = {
    "no_residual": _without_residual,
    "no_norm": _without_norms,
    "shared_qkv": _with_one_projection,
}
