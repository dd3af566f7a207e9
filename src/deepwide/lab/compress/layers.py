"""Layers whose matrix is packed: they compute with the codes where a kernel does, and unpack it where none does.

PyTorch's kernels on a processor take bfloat16 and are quicker than fp32 for the few vectors of a decode step; for many
vectors, as of a prompt, unpacking the matrix once and multiplying in fp32 is. Elsewhere the matrix is unpacked always.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from deepwide.lab.compress.codes import Sizes, Way, nibbles, sizes, unpack, zero_points

FEW = 8  # vectors, up to which the kernels were quicker than unpacking: 512 x 128 and 1024 x 1024, one thread
KERNEL_OUTPUTS = 16  # the int4 kernel takes outputs in such steps


class Packed(nn.Module):
    """A matrix [outputs, inputs], or a stack of them, held as codes and scales."""

    def __init__(self, way: Way, shape: tuple[int, int], stacked: int = 0) -> None:
        super().__init__()
        self.way, self.shape = way, shape
        named: Sizes = sizes(way, shape)
        self.names = tuple(named)
        for name, (size, dtype) in named.items():
            self.register_buffer(name, torch.zeros((stacked, *size) if stacked else size, dtype=dtype))

    def fill(self, packed: Mapping[str, Tensor]) -> None:
        """Takes over codes and scales."""
        for name in self.names:
            self.get_buffer(name).copy_(packed[name])

    def packed(self) -> dict[str, Tensor]:
        """The codes and scales."""
        return {name: self.get_buffer(name) for name in self.names}


class PackedLinear(Packed):
    """y = x Wᵀ + b, W [outputs, inputs] packed."""

    def __init__(self, way: Way, shape: tuple[int, int], bias: nn.Parameter | None) -> None:
        super().__init__(way, shape)
        self.out_features, self.in_features = shape
        self.bias = bias
        self._laid_out: tuple[Tensor, Tensor] | None = None

    @property
    def weight(self) -> Tensor:
        """The matrix that the codes stand for."""
        return unpack(self.packed(), self.way, self.shape)

    @property
    def has_kernel(self) -> bool:
        """Whether PyTorch computes with these codes on a processor."""
        return self.way.to == "int8" or (self.way.to == "int4" and self.out_features % KERNEL_OUTPUTS == 0)

    def forward(self, x: Tensor) -> Tensor:
        """[..., inputs] to [..., outputs], in the dtype of x."""
        rows = x.reshape(-1, self.in_features)
        if self._quick(rows):
            y = self._by_kernel(rows.to(torch.bfloat16).contiguous()).to(x.dtype)
        else:
            y = functional.linear(rows, self.weight.to(x.dtype))
        y = y.view(*x.shape[:-1], self.out_features)
        return y if self.bias is None else y + self.bias.to(x.dtype)

    def _quick(self, rows: Tensor) -> bool:
        """Whether the kernel is to be used; it has no derivative."""
        learns = torch.is_grad_enabled() and rows.requires_grad
        return self.has_kernel and rows.device.type == "cpu" and rows.shape[0] <= FEW and not learns

    def _by_kernel(self, x_NI: Tensor) -> Tensor:
        codes, scales = self._laid_out = self._laid_out or self._for_kernel()
        if self.way.to == "int8":
            y: Tensor = torch.ops.aten._weight_int8pack_mm(x_NI, codes, scales)
        else:
            y = torch.ops.aten._weight_int4pack_mm_for_cpu(x_NI, codes, self.way.group, scales)
        return y

    def _for_kernel(self) -> tuple[Tensor, Tensor]:
        """Codes and scales as the kernel wants them; its int4 is w = (code - 8) scale + shift."""
        packed = self.packed()
        if self.way.to == "int8":
            return packed["codes"], packed["scales"].to(torch.bfloat16)
        codes = nibbles(packed["codes"]).to(torch.int32)
        shift_OG = (8 - zero_points(packed)) * packed["scales"]
        scales_GO2 = torch.stack((packed["scales"], shift_OG), dim=-1).transpose(0, 1).contiguous()
        return torch.ops.aten._convert_weight_to_int4pack_for_cpu(codes, 1), scales_GO2.to(torch.bfloat16)


class PackedStack(Packed):
    """The matrices of several experts; each is unpacked when its tokens come. Stands where a tensor [E, I, O] stood."""

    def __getitem__(self, expert: int) -> Tensor:
        """The matrix [inputs, outputs] of an expert."""
        one = {name: tensor[expert] for name, tensor in self.packed().items()}
        return unpack(one, self.way, self.shape).t()
