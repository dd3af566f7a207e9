"""Decoders with latent attention: DeepSeek-V2, V3 and their kin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FAMILIES: dict[str, Mapping[str, Any]] = {}
