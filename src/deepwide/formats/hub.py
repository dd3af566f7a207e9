"""Fetching one config.json from the Hugging Face Hub, only when the user asks for it with --online.

Nothing else is fetched and nothing that comes back is executed. `HF_ENDPOINT` names another hub, as it does for
Hugging Face's own tools.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from deepwide.errors import BadInput
from deepwide.formats.config_file import LARGEST_CONFIG_BYTES, config_fields

ENDPOINT = "https://huggingface.co"
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
TIMEOUT_S = 20


def is_repository(text: str) -> bool:
    """Whether a text has the form of a Hub id, `owner/name`."""
    return REPOSITORY.fullmatch(text) is not None and ".." not in text


def fetched_config(repository: str) -> Mapping[str, Any]:
    """The config.json at the head of a repository's main branch."""
    if not is_repository(repository):
        raise BadInput(f"{repository!r} is not a Hub id; write owner/name")
    from urllib.error import HTTPError, URLError
    from urllib.request import urlopen

    address = f"{os.environ.get('HF_ENDPOINT', ENDPOINT).rstrip('/')}/{repository}/raw/main/config.json"
    if not address.startswith(("https://", "http://")):
        raise BadInput(f"HF_ENDPOINT must be an http or https address, not {address.split('/')[0]}")
    try:
        with urlopen(address, timeout=TIMEOUT_S) as answer:
            text = answer.read(LARGEST_CONFIG_BYTES + 1)
    except (URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        if isinstance(error, HTTPError):
            error.close()
        raise BadInput(f"{repository}: its config.json could not be fetched ({reason}); give a local file") from None
    return config_fields(text, f"{repository}: its config.json")
