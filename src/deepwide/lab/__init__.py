"""Real models, in PyTorch: built from the very description that is counted, trained, and run.

Nothing here predicts. What it measures meets the predictions in the rooms above. Looking at runs and preparing data
need no PyTorch, so it is imported with the first model that is built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deepwide.lab.network import build

__all__ = ["build"]


def __getattr__(name: str) -> Any:
    """`build`, imported when it is first asked for."""
    if name == "build":
        from deepwide.lab.network import build

        return build
    raise AttributeError(f"deepwide.lab has nothing called {name!r}")
