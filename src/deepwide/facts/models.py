"""The catalogue of published models: each with its configuration, its source, and what its makers state.

The rows live in `models.toml`, sorted by id. One row is parsed when one is asked for, so that a look-up
costs no more than the row. An undisclosed model has a row without a configuration: it stays unknown.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from deepwide.errors import BadInput, did_you_mean

FILE = Path(__file__).parent / "models.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFact:
    """One published model. `config` is its config.json (or the paper's table in the same words), None if undisclosed.

    `published` is what the source states: `parameters` exactly, or `nominal` as the makers round it, `active`.
    """

    name: str
    maker: str
    year: int
    source: str
    checked: str
    config: Mapping[str, Any] | None = None
    aliases: tuple[str, ...] = ()
    published: Mapping[str, Any] = field(default_factory=dict)
    task: str = ""
    note: str = ""


@cache
def _text() -> str:
    return FILE.read_text("utf-8")


@cache
def _names() -> dict[str, str]:
    """Every id and alias, in lower case, with the id it means."""
    rows = tomllib.loads(_text())
    return {alias.lower(): name for name, row in rows.items() for alias in (name, *row.get("aliases", ()))}


def known(name: str) -> bool:
    """Whether the catalogue has a model of that id, alias or Hub id."""
    word = name.strip().lower()
    return _start(word) >= 0 or word in _names()


def model_names() -> tuple[str, ...]:
    """The ids, sorted."""
    return tuple(sorted(set(_names().values())))


@cache
def model_fact(name: str) -> ModelFact:
    """The row of a model, by its id, an alias or its Hub id; upper and lower case are the same."""
    word = name.strip().lower()
    if _start(word) < 0:
        if word not in _names():
            raise BadInput(f"no model called {name!r}{did_you_mean(name, _names())}; `deepwide models` lists them")
        word = _names()[word]
    return _row(word)


def model_facts() -> tuple[ModelFact, ...]:
    """All rows, sorted by id."""
    return tuple(_fact(name, row) for name, row in sorted(tomllib.loads(_text()).items()))


def _start(name: str) -> int:
    """Where the row of that id begins in the file, or -1. An id with a dot in it is quoted, as TOML asks."""
    key = f'\n["{name}"]\n' if "." in name else f"\n[{name}]\n"
    return _text().find(key)


@cache
def _row(name: str) -> ModelFact:
    """Parses one row: from its header to the blank line after it."""
    text, start = _text(), _start(name) + 1
    end = text.find("\n\n", start)
    return _fact(name, tomllib.loads(text[start : end if end > 0 else None])[name])


def _fact(name: str, row: Mapping[str, Any]) -> ModelFact:
    values: dict[str, Any] = {
        **row,
        "checked": str(row["checked"]),
        "config": _nulls(row.get("config")),
        "aliases": tuple(row.get("aliases", ())),
    }
    return ModelFact(name=name, **values)


def _nulls(value: Any) -> Any:
    """The word "null" as None, at any depth: TOML has no null, and in a config null means something."""
    if isinstance(value, dict):
        return {key: _nulls(v) for key, v in value.items()}
    return None if value == "null" else value
