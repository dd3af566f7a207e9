"""What turns tokens into vectors: tables of tokens, positions and token types, summed, normed, widened.

Shapes: B batch, T tokens, D hidden.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from deepwide.architecture.extras import Linear as LinearDescription
from deepwide.architecture.extras import Table as TableDescription
from deepwide.architecture.model import Small
from deepwide.architecture.parts import NormLayer, Positions, TokenEmbedding
from deepwide.errors import BadInput
from deepwide.lab.network.layers import Linear, Table, norm_layer
from deepwide.lab.network.numerics import Numerics
from deepwide.lab.network.positions import sinusoids
from deepwide.units import Num

RELATIVE = "relative_bias"


class Inputs(nn.Module):
    """The parts that stand before the layers, in their order. Those that are tables are added up.

    positions_kind    the kind of positions that stands here, "" where none does
    width             of the vectors as they stand so far
    relative          the table of what each head adds to its scores by distance (T5)
    """

    def __init__(self, parts: Iterable[Small], hidden: Num, numerics: Numerics) -> None:
        super().__init__()
        self.positions_kind, self.width = "", int(hidden)
        self.order: list[str] = []
        for part in parts:
            self._place(part, hidden, numerics)

    def _place(self, part: Small, hidden: Num, numerics: Numerics) -> None:
        width = getattr(part, "width", None)
        width = hidden if width is None else width
        if isinstance(part, TokenEmbedding):
            self._add(part.name, Table(part.vocab, width))
            self.width = int(width)
        elif isinstance(part, Positions):
            self.positions_kind = part.kind
            if part.kind in ("learned", "sinusoidal"):
                if part.width is not None and int(width) != self.width:
                    raise BadInput(f"positions of width {width} beside vectors of {self.width} cannot be built")
                self._add("positions", PositionTable(part, self.width))
        elif isinstance(part, TableDescription) and part.name in ("types", RELATIVE):
            self._add(part.name, Table(part.rows, width))
        elif isinstance(part, NormLayer):
            self._add(part.name, norm_layer(part.norm, width, numerics.norm_eps))
        elif isinstance(part, LinearDescription) and part.copies == 1:
            self._add(part.name, Linear(part.inputs or hidden, part.outputs or hidden, bias=part.bias))
        else:
            raise BadInput(f"an embedding with {part!r} cannot be built; it can only be counted")

    def _add(self, name: str, module: nn.Module) -> None:
        self.order.append(name)
        self.add_module(name, module)

    @property
    def relative(self) -> Table | None:
        """The table of relative positions, where it stands here."""
        table = self._modules.get(RELATIVE)
        return table if isinstance(table, Table) else None

    def forward(self, x: Tensor, positions_BT: Tensor, types_BT: Tensor | None, dtype: torch.dtype) -> Tensor:
        """Tokens [B, T] or, where another table stood below, vectors [B, T, D], to vectors [B, T, D]."""
        for name in self.order:
            module = self.get_submodule(name)
            if name == "tokens":
                x = module(x, dtype)
            elif name == "positions":
                x = x + module(positions_BT, dtype)
            elif name == "types":
                x = x + module(torch.zeros_like(positions_BT) if types_BT is None else types_BT, dtype)
            elif name != RELATIVE:
                x = module(x)
        return x


class PositionTable(nn.Module):
    """Vectors of positions [rows, width]: learned, or sines and cosines that are stored or only computed."""

    def __init__(self, p: Positions, width: Num) -> None:
        super().__init__()
        self.learned = p.kind == "learned"
        empty = torch.empty(int(p.rows), int(width))
        self.weight: Tensor
        if self.learned or p.stored:
            self.weight = nn.Parameter(empty, requires_grad=self.learned)
        else:
            self.register_buffer("weight", empty, persistent=False)

    def reset(self) -> None:
        """Fills in sines and cosines; a learned table is left alone."""
        if not self.learned:
            self.weight.data.copy_(sinusoids(*self.weight.shape))

    def forward(self, positions_BT: Tensor, dtype: torch.dtype) -> Tensor:
        """The vectors [B, T, D] of these positions."""
        return functional.embedding(positions_BT, self.weight).to(dtype)
