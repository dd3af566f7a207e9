"""Layers of one kind that differ in sizes: each set of sizes makes a kind of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from deepwide.architecture.model import Body
from deepwide.errors import BadInput
from deepwide.formats.fields import PER_LAYER, Fields
from deepwide.formats.readers.layers import DENSE, FULL

Builder: TypeAlias = Callable[[Fields, str], Body]
Sizes: TypeAlias = tuple[str, Mapping[str, Any]]  # a layer's kind, and the values it has of its own
MOST_VARIANTS = 256  # sets of sizes among layers of one kind; above any published model


def varying(build: Builder, layers: Callable[[Fields], Sequence[Sizes]]) -> dict[str, Any]:
    """A rule's part for layers of one kind that differ in some values: `layers` gives kind and values of each.

    A kind whose layers all agree keeps its name; else its second set of values is called `kind_2`, and so on.
    """

    def kinds(c: Fields) -> list[str]:
        return _named(layers(c))[0]

    def mixers(c: Fields) -> dict[str, Builder]:
        sets = _named(layers(c))[1]
        known = {name: _with(build, kind, values) for name, (kind, values) in sets.items()}
        return known or {FULL: build}  # no list of layers where their number is an array

    return {"mixer_kinds": kinds, "mixers": mixers}


def _named(layers: Sequence[Sizes]) -> tuple[list[str], dict[str, Sizes]]:
    """The name of each layer's set of values, and the kind and the values behind each name."""
    sets: dict[str, list[Mapping[str, Any]]] = {}
    names: list[str] = []
    for kind, values in layers:
        known = sets.setdefault(kind, [])
        if values not in known:
            known.append(values)
        if len(known) > MOST_VARIANTS:
            raise BadInput(f"the layers of kind {kind} have more than {MOST_VARIANTS} different sets of sizes")
        names.append(_name(kind, known.index(values)))
    return names, {_name(kind, i): (kind, values) for kind, known in sets.items() for i, values in enumerate(known)}


def _name(kind: str, number: int) -> str:
    return f"{kind}_{number + 1}" if number else kind


def _with(build: Builder, kind: str, values: Mapping[str, Any]) -> Builder:
    """The builder, with these values in place of the config's."""

    def built(c: Fields, _: str) -> Body:
        return build(replace(c, changes={**values, **c.changes}), kind)

    return built


def varying_networks(widths: Callable[[Fields], list[Any]], build: Callable[[Fields], Body]) -> dict[str, Any]:
    """A rule's part for feed-forward networks whose width differs from layer to layer."""

    def kinds(c: Fields) -> list[str]:
        return [f"{DENSE}_{width}" for width in widths(c)]

    def builders(c: Fields) -> dict[str, Callable[[Fields, str], Body]]:
        return {f"{DENSE}_{width}": of(width) for width in dict.fromkeys(widths(c))}

    def of(width: Any) -> Callable[[Fields, str], Body]:
        return lambda c, kind: build(replace(c, changes={"ffn": width, **c.changes}))

    return {"ffn_kinds": kinds, "ffns": builders}


def fields_by_layer(c: Fields) -> dict[int, Mapping[str, Any]] | None:
    """The fields that `per_layer_config` gives for each layer number; None where it is absent."""
    given = c(PER_LAYER)
    if given is None:
        return None
    if not isinstance(given, Mapping) or not all(_numbered(k) and isinstance(v, Mapping) for k, v in given.items()):
        raise BadInput(f"{c.where}: {PER_LAYER} must give a table of fields for each layer number")
    return {int(i): fields for i, fields in given.items()}


def _numbered(key: Any) -> bool:
    """Whether a key is the number of a layer, as JSON spells it."""
    return str(key).isdecimal() and len(str(key)) < 7
