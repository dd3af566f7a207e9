"""Lists in a config that speak of layers one by one: their kinds, their numbers, a value for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from deepwide.errors import BadInput
from deepwide.formats.fields import Fields, short
from deepwide.formats.readers.layers import FULL, LINEAR

Kinds: TypeAlias = Callable[[Fields], list[str] | None]
INDEXED = "indexed_attention"
# Names that older configs give to kinds of layers.
OLDER = {
    "attention": FULL,
    "mamba": LINEAR,
    "deepseek_sparse_attention": INDEXED,
    "qwen_sparse_attention": INDEXED,
}


def listed_kinds(c: Fields, name: str, otherwise: Callable[[int], str] | None = None) -> list[str] | None:
    """One kind per layer: the config's list, cut or continued to the number of layers, or a rule by index."""
    layers, kinds = c.number("layers"), c.listed(name)
    if hasattr(layers, "dtype"):
        return None
    if not kinds:
        return [otherwise(i) for i in range(layers)] if otherwise else None
    if len(kinds) < layers and "layers" not in c.changes and c.has("layers"):
        raise BadInput(f"{c.where}: {c.spelled(name)} has {len(kinds)} entries for {layers} layers")
    if len(kinds) < layers:
        c.notes.append(f"{c.spelled(name)} lists {len(kinds)} layers; its pattern is continued to {layers}")
    return [str(kinds[i % len(kinds)]) for i in range(layers)]


def by_index(c: Fields, rule: Callable[[int], str]) -> list[str] | None:
    """One kind per layer by its index alone; None where the number of layers is an array."""
    layers = c.number("layers")
    return None if hasattr(layers, "dtype") else [rule(i) for i in range(layers)]


def among(c: Fields, name: str, found: list[str] | None, known: Sequence[str]) -> list[str] | None:
    """The kinds, under their present names, if all of them are known."""
    if found is None:
        return None
    for kind in dict.fromkeys(found):
        if kind not in known:
            if OLDER.get(kind) in known:
                return among(c, name, [OLDER.get(k, k) for k in found], known)
            raise BadInput(f"{c.where}: {c.spelled(name)} has {kind[:40]!r}; expected {' or '.join(known)}")
    return found


def indices(c: Fields, name: str) -> list[int]:
    """A list of layer numbers."""
    found = c.listed(name)
    for index in found:
        if type(index) is not int:
            raise BadInput(f"{c.where}: {c.spelled(name)} has {short(index)}; expected layer numbers")
    return found


def flags(c: Fields, name: str, layers: Any) -> list[Any]:
    """A list of yes and no, one for each layer; empty where absent."""
    found = c.listed(name)
    return list(as_long(c, name, found, layers)) if found else []


def per_layer(c: Fields, name: str, otherwise: Any) -> list[Any]:
    """A value for each layer: the config's list, of which fewer layers take the first, or one value for all."""
    values, layers = c(name), c.number("layers")
    if isinstance(values, list | tuple):
        return list(as_long(c, name, values, layers))[: layers if isinstance(layers, int) else None]
    return [otherwise if values is None else values] * layers


def as_long(c: Fields, name: str, values: Sequence[Any], layers: Any) -> Sequence[Any]:
    """A list with a value for each layer."""
    if isinstance(layers, int) and len(values) < layers:
        raise BadInput(f"{c.where}: {c.spelled(name)} has {len(values)} entries for {layers} layers")
    return values
