"""How accelerators are put together: how many share a node, and what joins the nodes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from deepwide.facts.tables import rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A usual node of an accelerator: its devices, and what each has of the network outside, in one direction."""

    name: str
    node_devices: int
    bytes_per_s: float
    source: str
    checked: str


@cache
def node(accelerator: str) -> Node:
    """The usual node of an accelerator of the catalogue, or of one that nothing is known about."""
    known = {row.name: row for row in rows("networks.toml", Node)}
    return known.get(accelerator, known["default"])
