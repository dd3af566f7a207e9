"""Configs inside configs: by which rule each is read, and what answers for the fields it leaves out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from deepwide.architecture.model import Small
from deepwide.errors import BadInput
from deepwide.formats.defaults import declared
from deepwide.formats.fields import Fields, short

# What joins a tower to the language model: (the whole config, the tower's, the language model's hidden size) -> parts.
Join: TypeAlias = Callable[[Fields, Fields, Any], tuple[Small, ...]]


@dataclass(frozen=True, slots=True)
class Inner:
    """A config inside another, read by the rule of the family `kind`.

    Where it is `free`, the inner config's own model_type names the family, and `kind` only what is meant without one.
    An `optional` part is missing when the config leaves it out. Where `merged`, values that the outer class gives for
    the part also fill the gaps of one that is there. `join` says what leads from a tower to the language model.
    """

    kind: str
    join: Join | None = None
    free: bool = False
    optional: bool = False
    merged: bool = False


def missing(c: Fields, name: str, inner: Inner) -> bool:
    """Whether the model does without this part."""
    return inner.optional and c.config.get(name) is None


def nested(c: Fields, name: str, inner: Inner, changes: Mapping[str, Any] | None = None) -> Fields:
    """The fields of the config under `name`, whose absence means its defaults.

    The user's changes stay with the language model, so a tower is read without them.
    """
    from deepwide.formats.families import rule  # the table of families is built from files that import this one

    given, outer = c.config.get(name), c.defaults.get(name)
    outer = outer if isinstance(outer, Mapping) else {}
    kind = given.get("model_type", inner.kind) if inner.free and isinstance(given, Mapping) else inner.kind
    if not isinstance(kind, str):
        raise BadInput(f"{c.where}: {name}.model_type={short(kind)} must be the name of a family, as {inner.kind!r}")
    fields = c.inside(name, rule(kind))
    own = declared(kind) or outer
    known = outer if given is None and outer else {**own, **outer} if inner.merged else own
    return replace(fields, defaults=known, changes=changes or {})


def inner_ties(c: Fields) -> bool:
    """Whether the text's own config ties the output head, which the outer class leaves to it."""
    return nested(c, "text_config", c.rule["text"]).flag("tied")


def either_ties(c: Fields) -> bool:
    """Whether the outer config ties the output head, or the text's own."""
    return c("tie_word_embeddings") is True or inner_ties(c)


def unnested(c: Fields) -> Fields:
    """The config of a family whose first configs have the text's fields among their own."""
    known = c.defaults.get("text_config", {})
    flat = {name: value for name, value in c.config.items() if name in known and name != "model_type"}
    if c.config.get("text_config") is not None or not flat:
        return c
    return replace(c, config={**c.config, "text_config": flat})
