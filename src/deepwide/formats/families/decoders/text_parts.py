"""Language models of families that also see or hear, where only their language model is described here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deepwide.formats.readers.text import language_part

FAMILIES: dict[str, Mapping[str, Any]] = {
    "dots3_note": {"reader": language_part("dots3_note_text", "text_config")},
    "qwen4_exp": {"reader": language_part("qwen4_exp_text", "text_config")},
}
