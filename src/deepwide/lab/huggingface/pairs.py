"""Which tensors of ours are which of theirs, for one model: a format's table, written out layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from deepwide.errors import BadInput, did_you_mean
from deepwide.lab.huggingface.tables import FAMILIES, FORMATS, Format, Row
from deepwide.lab.network.transformer import Transformer
from deepwide.lab.training.tensors import weights

LEAVES = (".weight", ".bias")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Tensors of ours, side by side along their outputs, that are one of theirs: as it is, or `turned`."""

    ours: tuple[str, ...]
    theirs: str
    turned: bool

    def joined(self, own: Mapping[str, Tensor]) -> Tensor:
        """Theirs, made of ours."""
        tensor = own[self.ours[0]] if len(self.ours) == 1 else torch.cat([own[name] for name in self.ours])
        return tensor.t() if self.turned and tensor.dim() == 2 else tensor

    def parted(self, own: Mapping[str, Tensor], theirs: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Each of ours with its part of theirs."""
        tensor = theirs.t() if self.turned and theirs.dim() == 2 else theirs
        mine = [own[name] for name in self.ours]
        yield from zip(mine, torch.split(tensor, [len(each) for each in mine]), strict=True)


def format_of(family: str) -> Format:
    """The format of a family; BadInput names those that there are."""
    for form in FORMATS:
        if family in form.families:
            return form
    known = ", ".join(FAMILIES)
    raise BadInput(f"weights of {family!r} cannot be read or written{did_you_mean(family, FAMILIES)}; known: {known}")


def pairs(model: Transformer, family: str) -> tuple[Pair, ...]:
    """All tensors of a model, a tied one once; BadInput where the format has no name for one."""
    own = weights(model)
    found = tuple(pair for row in format_of(family).rows(model.architecture) for pair in _expanded(row, model, own))
    unnamed = own.keys() - {name for pair in found for name in pair.ours}
    if unnamed:
        raise BadInput(f"{model.architecture.name}: the format of {family} has no place for {min(unnamed)}")
    return found


def _expanded(row: Row, model: Transformer, own: Mapping[str, Tensor]) -> Iterator[Pair]:
    """The row's pairs for each layer and for weights and biases, those that the model has."""
    stack = row.ours[0].partition(".")[0]
    layers = len(model.stack(stack).blocks) if "*" in row.theirs else 1
    for i in range(layers):
        for leaf in ("",) if row.exact else LEAVES:
            ours = tuple(name.replace("*", str(i)) + leaf for name in row.ours)
            if all(name in own for name in ours):
                yield Pair(ours=ours, theirs=row.theirs.replace("*", str(i)) + leaf, turned=row.turned)
