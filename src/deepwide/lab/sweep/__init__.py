"""Where the trials of a sweep run: on the cores of this machine, or on a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from deepwide.errors import BadInput, did_you_mean
from deepwide.lab.sweep.cluster import Cluster
from deepwide.lab.sweep.engine import Engine, Finished, Work
from deepwide.lab.sweep.local import Local

__all__ = ["ENGINES", "Engine", "Finished", "Work", "started"]
ENGINES: dict[str, Callable[[Work, int, str], AbstractContextManager[Engine]]] = {
    "local": lambda work, workers, address: Local(work, workers),
    "ray": Cluster,
}


def started(name: str, work: Work, workers: int, address: str = "") -> AbstractContextManager[Engine]:
    """The engine of that name, which does `work` with each job until the block ends."""
    if name not in ENGINES:
        raise BadInput(f"engine={name!r} is unknown{did_you_mean(str(name), ENGINES)}; known: {', '.join(ENGINES)}")
    if workers < 1:
        raise BadInput(f"workers={workers} must be at least 1")
    if address and name != "ray":
        raise BadInput(f"address={address!r} is of a Ray cluster; give engine ray, or leave it out")
    return ENGINES[name](work, workers, address)
