"""In which layers something stands: the rules by which families lay out windows, experts and other mixers.

`Picks` says, for a config, which layers are meant. Of it the functions called `..._where` make the answer to
`mixer_kinds` or `ffn_kinds`, one kind per layer, unless the config lists the layers; those called `..._by_rule` never
read a list.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from deepwide.errors import BadInput
from deepwide.formats.fields import Fields
from deepwide.formats.readers.layer_lists import Kinds, among, as_long, by_index, indices, listed_kinds
from deepwide.formats.readers.layers import DENSE, FULL, SLIDING, SPARSE

Pick: TypeAlias = Callable[[int], bool]
Picks: TypeAlias = Callable[[Fields], Pick]


def sliding_unless(rule: Picks) -> Kinds:
    """A window in every layer but those that `rule` picks, unless the config lists them."""

    def kinds(c: Fields) -> list[str] | None:
        if hasattr(c.number("layers"), "dtype"):
            return None
        full = rule(c)
        found = listed_kinds(c, "layer_types", lambda i: FULL if full(i) else SLIDING)
        return among(c, "layer_types", found, (FULL, SLIDING))

    return kinds


def attention_by_rule(rule: Picks, other: str, picked: str = FULL) -> Kinds:
    """Attention (or what is `picked`) in the layers that `rule` picks, the `other` mixer elsewhere."""

    def kinds(c: Fields) -> list[str] | None:
        picks = rule(c)
        return by_index(c, lambda i: picked if picks(i) else other)

    return kinds


def attention_where(rule: Picks, other: str, picked: str = FULL) -> Kinds:
    """Attention in the layers that `rule` picks and the `other` mixer elsewhere, unless the config lists them."""
    by_rule = attention_by_rule(rule, other, picked)

    def kinds(c: Fields) -> list[str] | None:
        found = listed_kinds(c, "layer_types") if c.listed("layer_types") else by_rule(c)
        return among(c, "layer_types", found, (other, picked))

    return kinds


def experts_where(rule: Picks) -> Kinds:
    """Experts in the layers that `rule` picks, unless the config lists them."""

    def kinds(c: Fields) -> list[str] | None:
        listed = c.raw("mlp_layer_types")
        picks = (lambda i: True) if isinstance(listed, list | tuple) else rule(c)
        found = listed_kinds(c, "mlp_layer_types", lambda i: SPARSE if picks(i) else DENSE)
        return among(c, "mlp_layer_types", found, (SPARSE, DENSE))

    return kinds


def experts_by_rule(rule: Picks, least: int = 1) -> Kinds:
    """Experts in the layers that `rule` picks, if there are at least so many of them."""

    def kinds(c: Fields) -> list[str] | None:
        picks = rule(c) if c.number("experts", 0) >= least else lambda i: False
        return by_index(c, lambda i: SPARSE if picks(i) else DENSE)

    return kinds


def dense_first(name: str = "", otherwise: int = 1) -> Kinds:
    """Dense layers first, as many as the config says under `name` (else `otherwise`); experts in the rest."""

    def rule(c: Fields) -> Pick:
        first = c.number(name, otherwise) if name else otherwise
        return lambda i: bool(i >= first)

    return experts_where(rule)


# ---- picks


def everywhere(c: Fields) -> Pick:
    """Every layer."""
    return lambda i: True


def nowhere(c: Fields) -> Pick:
    """No layer."""
    return lambda i: False


def last_of(name: str, period: int) -> Picks:
    """The last of every so many layers: the config's number, else `period`."""

    def rule(c: Fields) -> Pick:
        every = c.positive(name, period)
        return lambda i: (i + 1) % every == 0

    return rule


def among_indices(name: str, otherwise: bool = False) -> Picks:
    """The layers that the config numbers under `name`; all or none where it does not."""

    def rule(c: Fields) -> Pick:
        chosen = frozenset(indices(c, name))
        return lambda i: otherwise if c(name) is None else i in chosen

    return rule


def offset_in(period: str, offset: str) -> Picks:
    """One layer in every period, at an offset that must lie inside it."""

    def rule(c: Fields) -> Pick:
        every, at = c.positive(period, 1), c.number(offset)
        if at >= every:
            raise BadInput(f"{c.where}: {c.spelled(offset)}={at} must be below {c.spelled(period)}={every}")
        return lambda i: bool(i % every == at)

    return rule


def dense_first_then_every(c: Fields) -> Pick:
    """Dense layers first, then experts every `moe_layer_freq` layers, which may also be a list of yes and no."""
    first, every = c.number("first_k_dense_replace", 1), c("moe_layer_freq", 1)
    if isinstance(every, list | tuple):
        chosen = as_long(c, "moe_layer_freq", every, c.number("layers"))
        return lambda i: bool(i >= first and chosen[i])
    period = c.positive("moe_layer_freq", 1)
    return lambda i: bool(i >= first and i % period == 0)


def every_sparse_step(c: Fields) -> Pick:
    """Experts every `decoder_sparse_step` layers, except those in `mlp_only_layers` (Qwen)."""
    dense = frozenset(indices(c, "mlp_only_layers"))
    period = c.positive("decoder_sparse_step", 1)
    some = bool(c.number("experts"))
    return lambda i: some and i not in dense and (i + 1) % period == 0
