"""Changing every size of an architecture at once: to symbols, to doubled widths, to arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any

from deepwide.architecture.model import Architecture

# What makes a model wide: doubling these keeps the widths of heads, the vocabulary and the number of layers.
WIDTHS = frozenset(
    {"hidden", "heads", "kv_heads", "ffn", "inner", "width", "inputs", "outputs", "keys_width", "query_rank", "kv_rank"}
    | {"key_heads", "value_heads", "key_width", "value_width", "step_rank"}
)


def resized(architecture: Architecture, change: Callable[[str, int], Any]) -> Architecture:
    """The same architecture with every size replaced by `change(name of its field, size)`."""
    result: Architecture = _changed(architecture, "", change)
    return result


def _changed(value: Any, name: str, change: Callable[[str, int], Any]) -> Any:
    if type(value) is int:
        return change(name, value)
    if isinstance(value, tuple):
        return tuple(_changed(v, name, change) for v in value)
    if is_dataclass(value) and not isinstance(value, type):
        kept = ("order",)
        return replace(
            value,
            **{f.name: _changed(getattr(value, f.name), f.name, change) for f in fields(value) if f.name not in kept},
        )
    return value


def widened(architecture: Architecture, factor: int = 2) -> Architecture:
    """The same architecture, `factor` times as wide."""
    return resized(architecture, lambda name, size: size * factor if name in WIDTHS else size)
