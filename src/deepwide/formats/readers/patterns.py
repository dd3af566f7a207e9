"""Which layers hold experts and which look through a window: the rules by which families lay them out.

Each function here makes the answer to `mixer_kinds` or `ffn_kinds`: one kind per layer, from the config's own list
where it has one, else by the family's rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from deepwide.architecture.model import Body, Small
from deepwide.errors import BadInput
from deepwide.formats.fields import Fields
from deepwide.formats.readers.layers import DENSE, FULL, LINEAR, SLIDING, SPARSE, listed_kinds

Kinds: TypeAlias = Callable[[Fields], list[str] | None]
Builder: TypeAlias = Callable[[Fields, str], Body]
Layers: TypeAlias = Sequence[tuple[str, Mapping[str, Any]]]
Extra: TypeAlias = Callable[[Fields, str, str], tuple[Small, ...]]
INDEXED = "indexed_attention"
MOST_VARIANTS = 256  # sets of sizes among layers of one kind; above any published model
# Names that older configs give to kinds of layers.
OLDER = {
    "attention": FULL,
    "mamba": LINEAR,
    "deepseek_sparse_attention": INDEXED,
    "qwen_sparse_attention": INDEXED,
}


def step(c: Fields, name: str, otherwise: int) -> int:
    """A period in layers: at least 1."""
    period = c.number(name, otherwise)
    if period < 1:
        raise BadInput(f"{c.where}: {name}={period} must be at least 1")
    return int(period)


def sparse_where(rule: Callable[[Fields], Callable[[int], bool]]) -> Kinds:
    """Experts in the layers that `rule` picks, unless the config lists them."""

    def kinds(c: Fields) -> list[str] | None:
        listed = c.raw("mlp_layer_types")
        picks = (lambda i: True) if isinstance(listed, list | tuple) else rule(c)
        found = listed_kinds(c, "mlp_layer_types", lambda i: SPARSE if picks(i) else DENSE)
        return among(c, "mlp_layer_types", found, (SPARSE, DENSE))

    return kinds


def dense_first(name: str = "", otherwise: int = 1) -> Kinds:
    """Dense layers first, as many as the config says under `name` (else `otherwise`); experts in the rest."""

    def rule(c: Fields) -> Callable[[int], bool]:
        first = c.number(name, otherwise) if name else otherwise
        return lambda i: bool(i >= first)

    return sparse_where(rule)


def dense_first_then_every(c: Fields) -> Callable[[int], bool]:
    """Dense layers first, then experts every `moe_layer_freq` layers, which may also be a list of yes and no."""
    first, every = c.number("first_k_dense_replace", 1), c("moe_layer_freq", 1)
    if isinstance(every, list | tuple):
        chosen = _as_long(c, "moe_layer_freq", every, c.number("layers"))
        return lambda i: bool(i >= first and chosen[i])
    period = step(c, "moe_layer_freq", 1)
    return lambda i: bool(i >= first and i % period == 0)


def every_step(c: Fields) -> Callable[[int], bool]:
    """Experts every `decoder_sparse_step` layers, except those in `mlp_only_layers` (Qwen)."""
    dense = frozenset(indices(c, "mlp_only_layers"))
    period = step(c, "decoder_sparse_step", 1)
    some = bool(c.number("experts"))
    return lambda i: some and i not in dense and (i + 1) % period == 0


def sliding_unless(rule: Callable[[Fields], Callable[[int], bool]]) -> Kinds:
    """A window in every layer but those that `rule` picks, unless the config lists them."""

    def kinds(c: Fields) -> list[str] | None:
        if hasattr(c.number("layers"), "dtype"):
            return None
        full = rule(c)
        found = listed_kinds(c, "layer_types", lambda i: FULL if full(i) else SLIDING)
        return among(c, "layer_types", found, (FULL, SLIDING))

    return kinds


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
            raise BadInput(f"{c.where}: {name} has {kind[:40]!r}; expected {' or '.join(known)}")
    return found


def indices(c: Fields, name: str) -> list[int]:
    """A list of layer numbers."""
    found = c.listed(name)
    for index in found:
        if type(index) is not int:
            raise BadInput(f"{c.where}: {name} has {str(index)[:40]!r}; expected layer numbers")
    return found


def flags(c: Fields, name: str, layers: Any) -> list[Any]:
    """A list of yes and no, one for each layer; empty where absent."""
    found = c.listed(name)
    return list(_as_long(c, name, found, layers)) if found else []


def _as_long(c: Fields, name: str, values: Sequence[Any], layers: Any) -> Sequence[Any]:
    """A list with a value for each layer."""
    if isinstance(layers, int) and len(values) < layers:
        raise BadInput(f"{c.where}: {name} has {len(values)} entries for {layers} layers")
    return values


def for_kinds(extra: Extra) -> Callable[[Fields], Extra]:
    """What a layer owns besides, where it depends on its kinds: the answer to `layer_extra` is then a function."""
    return lambda c: extra


def per_layer(c: Fields, name: str, otherwise: Any) -> list[Any]:
    """A value for each layer: the config's list, or one value for all."""
    values = c(name)
    if isinstance(values, list | tuple):
        return list(_as_long(c, name, values, c.number("layers")))
    return [otherwise if values is None else values] * c.number("layers")


def varying(build: Builder, layers: Callable[[Fields], Layers]) -> dict[str, Any]:
    """A rule's part for layers of one kind that differ in some values: `layers` gives kind and values of each.

    A kind whose layers all agree keeps its name; else its second set of values is called `kind 2`, and so on.
    """

    def kinds(c: Fields) -> list[str]:
        return [name for name, _, _ in _named(layers(c))]

    def mixers(c: Fields) -> dict[str, Builder]:
        known = {name: _with(build, kind, values) for name, kind, values in _named(layers(c))}
        return known or {FULL: build}  # no list of layers where their number is an array

    return {"mixer_kinds": kinds, "mixers": mixers}


def _named(layers: Layers) -> list[tuple[str, str, Mapping[str, Any]]]:
    seen: dict[str, list[Mapping[str, Any]]] = {}
    for kind, values in layers:
        if values not in seen.setdefault(kind, []):
            seen[kind].append(values)
        if len(seen[kind]) > MOST_VARIANTS:
            raise BadInput(f"the layers of kind {kind} have more than {MOST_VARIANTS} different sets of sizes")
    numbers = [(kind, seen[kind].index(values), values) for kind, values in layers]
    return [(f"{kind}_{number + 1}" if number else kind, kind, values) for kind, number, values in numbers]


def _with(build: Builder, kind: str, values: Mapping[str, Any]) -> Builder:
    """The builder, with these values in place of the config's."""

    def built(c: Fields, _: str) -> Body:
        return build(replace(c, changes={**values, **c.changes}), kind)

    return built
