"""Bodies put together from other parts: one after the other under one name, or side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from deepwide.architecture.site import Site, lowers, place

if TYPE_CHECKING:
    from deepwide.architecture.ffn import FeedForward
    from deepwide.architecture.model import Mixer, Small


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """A body put together from several `parts`: an attention with tables of its own, or one spelled out in matrices.

    `name` is the word for their rows in the ledger.
    """

    parts: tuple[Mixer | FeedForward | Small | Assembly, ...]
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """`mixers` that read the same input and whose outputs are summed (Falcon-H1).

    `name` is the word for the branch in the ledger; each mixer's rows stand under its own.
    """

    mixers: tuple[Mixer, ...]
    name: str = "mixer"


@lowers(Assembly)
def assembly(at: Site, a: Assembly) -> None:
    """The rows of its parts under one name; an assembly among them has a name of its own."""
    prefix = at.prefix
    for body in a.parts:
        place(at, f"{prefix}.{body.name}" if isinstance(body, Assembly) else prefix, body)


@lowers(Beside)
def beside(at: Site, b: Beside) -> None:
    """The rows of its mixers, each under its own name."""
    prefix = at.prefix
    for mixer in b.mixers:
        place(at, f"{prefix}.{mixer.name}", mixer)
