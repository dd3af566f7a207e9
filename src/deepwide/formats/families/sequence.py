"""Encoder-decoders and their halves: T5, BART, Whisper and their kin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FAMILIES: dict[str, Mapping[str, Any]] = {}
