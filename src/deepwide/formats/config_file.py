"""A config.json from outside, from a disk or the Hub: a table of fields of a believable size, or one line why not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from deepwide.errors import BadInput

LARGEST_CONFIG_BYTES = 8 * 2**20  # the longest published config.json is below 1 MB


def config_fields(text: bytes, where: str) -> Mapping[str, Any]:
    """The fields in the bytes of a config.json. Read one byte more than is allowed, so that a longer one is seen."""
    if len(text) > LARGEST_CONFIG_BYTES:
        raise BadInput(f"{where} is longer than {LARGEST_CONFIG_BYTES} bytes, too long for a config.json")
    try:
        config = json.loads(text.decode("utf-8-sig"))
    except RecursionError:
        raise BadInput(f"{where} is not JSON: nested too deep") from None
    except ValueError as error:
        raise BadInput(f"{where} is not JSON: {error}") from None
    if not isinstance(config, dict):
        raise BadInput(f"{where}: expected a table of fields, not a {type(config).__name__}")
    return config
