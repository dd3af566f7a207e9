"""Where a MODEL may come from: anywhere a user of this machine may name, or a shelf and the catalogue alone.

A program that answers strangers sets a shelf first. While it is set, no name reaches the disk or the network: what is
not in the catalogue and not on the shelf does not exist.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias

Shelf: TypeAlias = "Mapping[str, Mapping[str, Any]]"
_SHELF: ContextVar[Shelf | None] = ContextVar("shelf", default=None)


@contextmanager
def only_from(configs: Shelf) -> Iterator[None]:
    """Inside, a MODEL is one of these configs by its name, one of the catalogue, or shorthand.

    >>> from deepwide.answers.models import find_model
    >>> with only_from({"mine": {"model_type": "gpt2"}}):
    ...     find_model("mine,layers=6").ledger.parameters()
    81912576
    """
    token = _SHELF.set(configs)
    try:
        yield
    finally:
        _SHELF.reset(token)


def shelf() -> Shelf | None:
    """The configs that a MODEL may name beside the catalogue; None where the disk may be named too."""
    return _SHELF.get()
