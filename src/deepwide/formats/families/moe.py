"""Decoders with routed experts and ordinary attention: Mixtral, Qwen MoE, gpt-oss and their kin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FAMILIES: dict[str, Mapping[str, Any]] = {}
