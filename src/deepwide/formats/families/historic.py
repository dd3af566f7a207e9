"""Models of before the libraries: ELMo, Gopher, Chinchilla, PaLM, Grok-1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FAMILIES: dict[str, Mapping[str, Any]] = {}
