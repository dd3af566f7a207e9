"""From what an answer is in Python to what the OpenAPI schema says of it: the same names and types, each key described.

A model is derived from the dataclass that answers, so that there is nothing to keep in step. Models only describe:
answers are sent as they are, and never pass through one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import is_dataclass
from functools import cache, reduce
from inspect import cleandoc
from operator import or_
from types import GenericAlias, NoneType, UnionType
from typing import Any, Union, cast, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

from deepwide.web.answered.words import meaning

ONE = {"Num": int, "Real": float}  # an answer is about one model at a time: its numbers are no arrays


def _open(schema: dict[str, Any]) -> None:
    """Later versions may add keys, which a client has to bear; the models themselves know every key."""
    schema.pop("additionalProperties", None)


class Told(BaseModel):
    """An answer, or a part of one."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_open, defer_build=True)  # whole at once, not each part


def told(name: str, about: str | None, keys: Mapping[str, Any], sometimes: Collection[str] = ()) -> Any:
    """The model of an object with these keys; `sometimes` are those that may be missing."""
    kept: dict[str, Any] = {}
    for key, kind in keys.items():
        left_out: dict[str, Any] = {"default_factory": NoneType} if key in sometimes else {}
        always = not left_out and NoneType not in get_args(kind)
        kept[key] = (kind, Field(description=meaning(name, key, always), **left_out))
    return create_model(name, __base__=Told, __doc__=cleandoc(about or "").replace("None", "null"), **kept)


def of(kind: type, without: Collection[str] = (), sometimes: Collection[str] = (), **others: Any) -> Any:
    """The model of a dataclass or named tuple `without` some of its fields; `others` are more, or of another type."""
    return told(kind.__name__, kind.__doc__, fields(kind, without=without, **others), sometimes)


@cache
def _nested(kind: type) -> Any:
    return of(kind)


def fields(kind: type, *, only: Collection[str] = (), without: Collection[str] = (), **others: Any) -> dict[str, Any]:
    """The fields of a dataclass or named tuple, with their types as JSON has them, or `others`."""
    hints = get_type_hints(kind, localns=ONE)
    kept = [name for name in hints if name not in without and (not only or name in only)]
    return {**{name: others.get(name) or _plain(hints[name]) for name in kept}, **others}


def each(names: Iterable[str], kind: Any) -> dict[str, Any]:
    """Keys of one type."""
    return dict.fromkeys(names, kind)


def several(kind: Any) -> Any:
    """A list of it."""
    return GenericAlias(list, (kind,))


def by(key: Any, kind: Any) -> Any:
    """One of it for each key."""
    return GenericAlias(dict, (key, kind))


def _plain(kind: Any) -> Any:
    """A type as JSON has it: dataclasses are objects, and what has any length is a list."""
    origin, inner = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        return _nested(cast(type, kind))
    if origin in (list, Sequence) or (origin is tuple and inner[-1] is ...):
        return several(_plain(inner[0]))
    if origin in (dict, Mapping):
        return by(inner[0], _plain(inner[1]))
    if origin in (Union, UnionType):
        return reduce(or_, (_plain(one) for one in inner))
    return kind
