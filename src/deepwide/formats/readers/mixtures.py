"""Which layers attend and which have the family's other mixer; which hold experts.

Each rule here says, for a config, in which layers something stands: the answers to `mixer_kinds` and `ffn_kinds`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from deepwide.errors import BadInput
from deepwide.formats.fields import Fields
from deepwide.formats.readers.layers import DENSE, FULL, SPARSE, listed_kinds
from deepwide.formats.readers.patterns import Kinds, among, by_index, indices, step

Picks: TypeAlias = Callable[[Fields], Callable[[int], bool]]


def placed(rule: Picks, other: str, picked: str = FULL) -> Kinds:
    """Attention (or what is `picked`) in the layers that `rule` picks, the other mixer elsewhere."""

    def kinds(c: Fields) -> list[str] | None:
        picks = rule(c)
        return by_index(c, lambda i: picked if picks(i) else other)

    return kinds


def mixed(rule: Picks, other: str, picked: str = FULL) -> Kinds:
    """The same, unless the config lists its layers."""
    by_rule = placed(rule, other, picked)

    def kinds(c: Fields) -> list[str] | None:
        found = listed_kinds(c, "layer_types") if c.listed("layer_types") else by_rule(c)
        return among(c, "layer_types", found, (other, picked))

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
        chosen = frozenset(indices(c, name))
        return lambda i: otherwise if c(name) is None else i in chosen

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


def nowhere(c: Fields) -> Callable[[int], bool]:
    """No layer."""
    return lambda i: False
