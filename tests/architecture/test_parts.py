"""What a part's fields mean stands in words beside them."""

from __future__ import annotations

import importlib
import pkgutil
import re
from dataclasses import fields, is_dataclass
from typing import Any

import pytest

import deepwide.architecture


def described() -> list[type[Any]]:
    """Every class of the room that is made of named fields."""
    names = [found.name for found in pkgutil.iter_modules(deepwide.architecture.__path__)]
    modules = [importlib.import_module(f"deepwide.architecture.{name}") for name in names]
    kinds = [kind for module in modules for kind in vars(module).values() if isinstance(kind, type)]
    ours = {kind for kind in kinds if kind.__module__.startswith("deepwide.architecture")}
    return sorted((kind for kind in ours if field_names(kind)), key=lambda kind: kind.__name__)


def field_names(kind: type[Any]) -> tuple[str, ...]:
    if is_dataclass(kind):
        return tuple(field.name for field in fields(kind))
    return tuple(getattr(kind, "_fields", ()))


@pytest.mark.parametrize("kind", described(), ids=lambda kind: kind.__name__)
def test_every_field_is_explained_where_it_is_declared(kind: type[Any]) -> None:
    explained = set(re.findall(r"\w+", kind.__doc__ or ""))
    assert set() == set(field_names(kind)) - explained
