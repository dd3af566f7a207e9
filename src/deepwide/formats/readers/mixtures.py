"""Which layers attend and which have the family's other mixer; which hold experts.

Each rule here says, for a config, in which layers something stands: the answers to `mixer_kinds` and `ffn_kinds`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from deepwide.errors import BadInput
from deepwide.formats.fields import Fields
from deepwide.formats.readers.layers import DENSE, FULL, SPARSE, listed_kinds
from deepwide.formats.readers.patterns import Kinds, among, by_index, step

Picks: TypeAlias = Callable[[Fields], Callable[[int], bool]]


def mixed(rule: Picks, *others: str, name: str = "layer_types") -> Kinds:
    """Attention in the layers that `rule` picks, the other mixer elsewhere, unless the config lists them."""
    known = (others[0], FULL, *others[1:])

    def kinds(c: Fields) -> list[str] | None:
        picks = (lambda i: True) if c.listed(name) else rule(c)
        return among(c, name, listed_kinds(c, name, lambda i: FULL if picks(i) else known[0]), known)

    return kinds


def last_of(name: str, period: int) -> Picks:
    """The last of every so many layers: the config's number, else `period`."""

    def rule(c: Fields) -> Callable[[int], bool]:
        every = step(c, name, period)
        return lambda i: (i + 1) % every == 0

    return rule


def among_indices(name: str, otherwise: bool = False) -> Picks:
    """The layers that the config numbers under `name`; all or none where it does not."""

    def rule(c: Fields) -> Callable[[int], bool]:
        if c(name) is None:
            return lambda i: otherwise
        chosen = frozenset(i for i in c.listed(name) if type(i) is int)
        return lambda i: i in chosen

    return rule


def offset_in(period: str, offset: str) -> Picks:
    """One layer in every period, at an offset that must lie inside it."""

    def rule(c: Fields) -> Callable[[int], bool]:
        every, at = step(c, period, 1), c.number(offset)
        if at >= every:
            raise BadInput(f"{c.where}: {offset}={at} must be below {period}={every}")
        return lambda i: bool(i % every == at)

    return rule


def where_experts(rule: Picks, least: int = 1) -> Kinds:
    """Experts in the layers that `rule` picks, if there are at least so many of them."""

    def kinds(c: Fields) -> list[str] | None:
        picks = rule(c) if c.number("experts", 0) >= least else lambda i: False
        return by_index(c, lambda i: SPARSE if picks(i) else DENSE)

    return kinds


def everywhere(c: Fields) -> Callable[[int], bool]:
    """Every layer."""
    return lambda i: True
