"""The small layers: a matrix, a table, norms, activations. Each computes in the dtype of its input over fp32 weights.

Shapes: B batch, T tokens, D hidden.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from deepwide.architecture.parts import Norm
from deepwide.errors import BadInput, did_you_mean
from deepwide.units import Num


def _squared_relu(x: Tensor) -> Tensor:
    return functional.relu(x).square()


def _tanh_gelu(x: Tensor) -> Tensor:
    return functional.gelu(x, approximate="tanh")


Activation = Callable[[Tensor], Tensor]
ACTIVATIONS: dict[str, Activation] = {
    "silu": functional.silu,
    "swish": functional.silu,
    "swiglu": functional.silu,
    "gelu": functional.gelu,
    "geglu": functional.gelu,
    "gelu_new": _tanh_gelu,
    "gelu_fast": _tanh_gelu,
    "gelu_pytorch_tanh": _tanh_gelu,
    "relu": functional.relu,
    "relu2": _squared_relu,
    "tanh": torch.tanh,
}
FEWEST_TO_JOIN = 64  # vectors; below, copying the matrices costs more than one product for all of them saves


def activation(name: str) -> Activation:
    """The function of that name."""
    if name not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise BadInput(f"activation={name!r} cannot be built{did_you_mean(name, ACTIVATIONS)}; known: {known}")
    return ACTIVATIONS[name]


class Linear(nn.Linear):
    """y = x Wᵀ + b, where W [outputs, inputs] takes the dtype of x."""

    def __init__(self, inputs: Num, outputs: Num, bias: bool = False) -> None:
        super().__init__(int(inputs), int(outputs), bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """[..., inputs] to [..., outputs]."""
        bias = self._parameters["bias"]
        return functional.linear(x, self.weight.to(x.dtype), None if bias is None else bias.to(x.dtype))


def at_least_fp32(x: Tensor) -> Tensor:
    """x in fp32, or as it is where it is wider."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def side_by_side(x: Tensor, *layers: nn.Module) -> list[Tensor]:
    """The outputs of several matrices on one input, by one product where they are plain ones of ours.

    Wrapped, cut or quantised ones are called one by one, and so are all where there are too few vectors in x to pay for
    laying the matrices side by side: at one, as while generating, that takes longer than the products.
    """
    if x.shape[:-1].numel() < FEWEST_TO_JOIN:
        return [layer(x) for layer in layers]
    plain = [layer for layer in layers if type(layer) is Linear and type(layer.weight) is nn.Parameter]
    biases = [bias for bias in [layer._parameters["bias"] for layer in plain] if bias is not None]
    if len(plain) < len(layers) or len(biases) not in (0, len(plain)):
        return [layer(x) for layer in layers]
    weights: list[Tensor] = [layer.weight for layer in plain]
    joined = torch.cat([*biases]).to(x.dtype) if biases else None
    together = functional.linear(x, torch.cat(weights).to(x.dtype), joined)
    return list(torch.split(together, [layer.out_features for layer in plain], dim=-1))


class Table(nn.Module):
    """Vectors [rows, width] looked up by number, given in any dtype."""

    def __init__(self, rows: Num, width: Num) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(int(rows), int(width)))

    def forward(self, numbers_BT: Tensor, dtype: torch.dtype) -> Tensor:
        """[B, T] to [B, T, D]."""
        return functional.embedding(numbers_BT, self.weight).to(dtype)


class RMSNorm(nn.Module):
    """x / sqrt(mean(x²) + eps) · gain, the mean in fp32 or wider (Zhang and Sennrich 2019, arXiv:1910.07467)."""

    def __init__(self, width: int, eps: float, gain: bool = True) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width)) if gain else None

    def forward(self, x_BTD: Tensor) -> Tensor:
        """The last dimension normalised, in the dtype of the input."""
        wide = at_least_fp32(x_BTD)
        normed = (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)).to(x_BTD.dtype)
        return normed if self.weight is None else normed * self.weight.to(x_BTD.dtype)


class LayerNorm(nn.Module):
    """(x - mean) / sqrt(variance + eps) · gain + bias (Ba et al. 2016, arXiv:1607.06450)."""

    def __init__(self, width: int, eps: float, gain: bool = True, bias: bool = True) -> None:
        super().__init__()
        self.shape, self.eps = (width,), eps
        self.weight = nn.Parameter(torch.ones(width)) if gain else None
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None

    def forward(self, x_BTD: Tensor) -> Tensor:
        """The last dimension normalised; statistics are taken in fp32 by the kernel itself."""
        gain = None if self.weight is None else self.weight.to(x_BTD.dtype)
        bias = None if self.bias is None else self.bias.to(x_BTD.dtype)
        return functional.layer_norm(x_BTD, self.shape, gain, bias, self.eps)


def norm_layer(norm: Norm, width: Num, eps: float) -> nn.Module:
    """The layer that a norm describes."""
    if norm.kind == "rms":
        return RMSNorm(int(width), eps, gain=norm.scale)
    return LayerNorm(int(width), eps, gain=norm.scale, bias=norm.bias)
