"""What each configuration class of transformers declares for a field that a config leaves out.

`defaults.json` holds one line per model type (written by benchmarks/config_defaults.py); only the line asked for
is parsed, because the whole file would cost more than a count.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "defaults.json"


@cache
def _text() -> str:
    return FILE.read_text("utf-8")


@cache
def declared(model_type: str) -> Mapping[str, Any]:
    """The declared defaults of a model type; none for one that transformers does not know."""
    if not model_type.isprintable() or '"' in model_type:
        return {}
    key = f'\n"{model_type}":'
    start = _text().find(key)
    if start < 0:
        return {}
    line = _text()[start + len(key) : _text().index("\n", start + 1)]
    fields: Mapping[str, Any] = json.loads(line.rstrip().rstrip(","))
    return fields
