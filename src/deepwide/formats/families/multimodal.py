"""Text models with towers for pictures or sound in front."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FAMILIES: dict[str, Mapping[str, Any]] = {}
