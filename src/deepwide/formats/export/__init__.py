"""A model written down for others: config.json for Hugging Face, arguments and configs for training engines.

One module for each target; none needs PyTorch. What a target has no word for is refused in one line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from deepwide.architecture.model import Architecture
from deepwide.errors import BadInput, did_you_mean
from deepwide.formats.constants import Said

# Target -> the file that it is usually called, where the user names a folder.
TARGETS = {
    "huggingface": "config.json",
    "megatron": "megatron.sh",
    "torchtitan": "torchtitan.py",
    "litgpt": "model_config.yaml",
    "nanotron": "nanotron.yaml",
}


def known_target(target: str) -> str:
    """The target itself; BadInput names the nearest."""
    if target not in TARGETS:
        raise BadInput(f"to={target!r} is unknown{did_you_mean(target, TARGETS)}; known: {', '.join(TARGETS)}")
    return target


def exported(architecture: Architecture, target: str, said: Said, base: Mapping[str, Any] | None = None) -> str:
    """The text of the target's file. `base` is the config that the architecture was made from, where there is one."""
    if known_target(target) == "huggingface":
        from deepwide.formats.export.huggingface import config_of

        return json.dumps(config_of(architecture, base), indent=2) + "\n"
    text: str = import_module(f"{__name__}.{target}").written(architecture, said)
    return text
