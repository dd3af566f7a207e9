"""Configs that clients sent: kept in memory under the hash of their contents, the oldest forgotten first."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock
from typing import Any

from deepwide.errors import BadInput
from deepwide.formats.config_file import config_fields

MOST_CONFIGS = 64
LARGEST_CONFIG_BYTES = 2**20  # the longest published config.json is below 1 MB
DEEPEST = 16  # tables in tables: published ones have four
PREFIX = "config-"


class Shelf:
    """What clients sent, by the names that they were given for it."""

    def __init__(self) -> None:
        self._configs: OrderedDict[str, Mapping[str, Any]] = OrderedDict()
        self._lock = Lock()

    def put(self, text: bytes) -> str:
        """Keeps a config.json; the name under which it is a MODEL, the same for the same bytes."""
        if len(text) > LARGEST_CONFIG_BYTES:
            raise BadInput(f"config.json is longer than the {LARGEST_CONFIG_BYTES:,} bytes that are taken")
        config = config_fields(text, "config.json")
        if _depth(config) > DEEPEST:
            raise BadInput(f"config.json is nested deeper than {DEEPEST} tables; published ones have four")
        name = f"{PREFIX}{hashlib.sha256(text).hexdigest()[:12]}"
        with self._lock:
            self._configs[name] = config
            self._configs.move_to_end(name)
            if len(self._configs) > MOST_CONFIGS:
                self._configs.popitem(last=False)
        return name

    def configs(self, *texts: str) -> dict[str, Mapping[str, Any]]:
        """The configs that some MODELs name; BadInput for one that was forgotten."""
        names = {text.partition(",")[0].strip() for text in texts}
        with self._lock:
            found = {name: self._configs[name] for name in names if name in self._configs}
        for name in names - found.keys():
            if name.startswith(PREFIX):
                raise BadInput(f"{name} is not known here any more; send its config.json again")
        return found


def _depth(value: Any) -> int:
    """How deep tables lie in each other. JSON that was read is no deeper than Python's own limit."""
    deepest, level = 0, [value]
    while level:
        deepest += 1
        level = [each for one in level for each in _inside(one) if isinstance(each, dict | list)]
    return deepest


def _inside(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value
