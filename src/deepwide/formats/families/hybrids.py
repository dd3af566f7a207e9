"""Decoders that mix attention with state spaces, linear attention or short convolutions, or do without it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FAMILIES: dict[str, Mapping[str, Any]] = {}
