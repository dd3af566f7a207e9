"""What the lab is made of, asked for before anything is begun."""

from __future__ import annotations

from importlib.util import find_spec

from deepwide.errors import BadInput

LIBRARIES = ("torch", "safetensors", "tokenizers")


def need_lab() -> None:
    """BadInput with the way out, where a library of the lab is not installed."""
    missing = [name for name in LIBRARIES if find_spec(name) is None]
    if missing:
        raise BadInput(f"the lab needs {', '.join(missing)}: pip install 'deepwide[lab]' brings what it is made of")
