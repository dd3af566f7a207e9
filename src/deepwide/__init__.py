"""deepwide: deep or wide? Transformer shapes taken apart, priced and compared, with numbers that can be checked.

`import deepwide as dw` offers every question as a function, loaded on first use:

    dw.count("llama-3-8b").total
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

QUESTIONS = {
    "count": "deepwide.answers.count",
    "memory": "deepwide.answers.memory",
    "compare": "deepwide.answers.compare",
    "design": "deepwide.answers.design",
    "models": "deepwide.answers.catalogue",
    "find_model": "deepwide.answers.models",
}
__all__ = list(QUESTIONS)


def __getattr__(name: str) -> Any:
    """A question, imported when it is first asked."""
    if name not in QUESTIONS:
        raise AttributeError(f"deepwide has no question called {name!r}")
    return getattr(import_module(QUESTIONS[name]), name)
