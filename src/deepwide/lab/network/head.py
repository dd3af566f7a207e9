"""What turns vectors into scores of tokens: a transform and its norm where there are any, then the output matrix.

Shapes: B batch, T tokens, D hidden, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from deepwide.architecture.extras import Linear as LinearDescription
from deepwide.architecture.extras import Vector
from deepwide.architecture.model import Small
from deepwide.architecture.parts import Head as Description
from deepwide.architecture.parts import NormLayer
from deepwide.errors import BadInput
from deepwide.lab.network.layers import Activation, Linear, at_least_fp32, norm_layer
from deepwide.lab.network.numerics import Numerics
from deepwide.units import Num


class Head(nn.Module):
    """The parts after the last layer, in their order; the transform (BERT) is followed by the model's `act`."""

    def __init__(self, parts: Iterable[Small], hidden: Num, numerics: Numerics, act: Activation) -> None:
        super().__init__()
        self.act, self.scale = act, numerics.logit_scale
        self.order: list[str] = []
        for part in parts:
            self._place(part, hidden, numerics)

    def _place(self, part: Small, hidden: Num, numerics: Numerics) -> None:
        if isinstance(part, Description):
            self._add(part.name, Linear(hidden if part.width is None else part.width, part.vocab, bias=part.bias))
        elif isinstance(part, NormLayer):
            self._add(part.name, norm_layer(part.norm, hidden if part.width is None else part.width, numerics.norm_eps))
        elif isinstance(part, LinearDescription) and part.rows is None and part.copies == 1:
            self._add(part.name, Linear(part.inputs or hidden, part.outputs or hidden, bias=part.bias))
        elif isinstance(part, Vector) and part.name == "spare_bias":
            self.spare_bias = nn.Parameter(torch.zeros([int(size) for size in part.shape]), requires_grad=False)
        else:
            raise BadInput(f"a head with {part!r} cannot be built; it can only be counted")

    def _add(self, name: str, module: nn.Module) -> None:
        self.order.append(name)
        self.add_module(name, module)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """[B, T, D] to scores [B, T, V] in fp32, or wider where x is."""
        x = x_BTD if self.scale == 1 else x_BTD * self.scale
        for name in self.order:
            x = self._modules[name](x)  # type: ignore[misc]  # it was placed under that name
            if name == "transform":
                x = self.act(x)
        return at_least_fp32(x)
