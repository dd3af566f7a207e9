"""A matrix in whole numbers and scales: rounding it, packing two weights in a byte, and what it stands for.

The arithmetic is ten lines of its own: torchao's stable functions print on import and give neither the 4-bit zero
points nor the packing that are kept here. NF4 is bitsandbytes' own. Shapes: O outputs, I inputs, G groups of a row.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from types import ModuleType

import torch
from torch import Tensor

from deepwide.errors import BadInput

GROUPS = (32, 64, 128)
LEAST_SCALE = 1e-12  # of a group that is all zeros
DOUBLED = 256  # scales of NF4 that share a scale of their own
Sizes = dict[str, tuple[tuple[int, ...], torch.dtype]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How matrices are quantised: `to` int8, int4 or nf4; `group` weights share a scale, 0 where a whole row does."""

    to: str
    group: int = 0


def pack(matrix_OI: Tensor, way: Way) -> dict[str, Tensor]:
    """The codes and scales of a matrix, nearest to it."""
    if way.to == "int8":
        return _int8(matrix_OI)
    return _int4(matrix_OI, way.group) if way.to == "int4" else _nf4(matrix_OI, way.group)


def unpack(packed: Mapping[str, Tensor], way: Way, shape: tuple[int, int]) -> Tensor:
    """The matrix [O, I] in fp32 that codes and scales stand for."""
    if way.to == "int8":
        return packed["codes"].float() * packed["scales"][:, None]
    if way.to == "nf4":
        return _from_nf4(packed, way.group, shape)
    codes_OGg = nibbles(packed["codes"]).view(shape[0], -1, way.group)
    return ((codes_OGg - zero_points(packed)[..., None]) * packed["scales"][..., None]).view(shape)


def sizes(way: Way, shape: tuple[int, int]) -> Sizes:
    """Shapes and dtypes of the tensors that a matrix [O, I] is packed into, as they are held in memory."""
    outputs, inputs = shape
    if way.to == "int8":
        return {"codes": (shape, torch.int8), "scales": ((outputs,), torch.float32)}
    if way.to == "int4":
        groups = inputs // way.group
        return {
            "codes": ((outputs, inputs // 2), torch.uint8),
            "scales": ((outputs, groups), torch.float32),
            "zeros": ((-(-outputs * groups // 2),), torch.uint8),
        }
    blocks = -(-outputs * inputs // way.group)
    return {
        "codes": ((outputs * inputs // 2,), torch.uint8),
        "scales": ((blocks,), torch.uint8),
        "scale_scales": ((-(-blocks // DOUBLED),), torch.float32),
        "mean": ((1,), torch.float32),
    }


def nibbles(packed: Tensor) -> Tensor:
    """Two whole numbers from 0 to 15 for each byte, the lower half first."""
    return torch.stack((packed & 15, packed >> 4), dim=-1).flatten(-2)


def zero_points(packed: Mapping[str, Tensor]) -> Tensor:
    """The code [O, G] that stands for zero, in fp32."""
    scales_OG = packed["scales"]
    return nibbles(packed["zeros"])[: scales_OG.numel()].view(scales_OG.shape).float()


def _int8(matrix_OI: Tensor) -> dict[str, Tensor]:
    """w = scale · code, codes from -127 to 127, a scale for each output."""
    scales_O = _rounded(matrix_OI.abs().amax(dim=1) / 127)
    codes = (matrix_OI / scales_O[:, None]).round().clamp(-127, 127)
    return {"codes": codes.to(torch.int8), "scales": scales_O}


def _int4(matrix_OI: Tensor, group: int) -> dict[str, Tensor]:
    """w = scale · (code - zero), codes from 0 to 15; the range of a group always holds 0, so that zero is exact."""
    groups_OGg = matrix_OI.view(matrix_OI.shape[0], -1, group)
    low, high = groups_OGg.amin(-1).clamp(max=0), groups_OGg.amax(-1).clamp(min=0)
    scales_OG = _rounded((high - low) / 15)
    zeros_OG = (-low / scales_OG).round().clamp(0, 15)
    codes = ((groups_OGg / scales_OG[..., None]).round() + zeros_OG[..., None]).clamp(0, 15)
    return {"codes": _bytes(codes.view_as(matrix_OI)), "scales": scales_OG, "zeros": _bytes(zeros_OG.flatten())}


def _bytes(numbers: Tensor) -> Tensor:
    """Two numbers of the last dimension in a byte; an odd last one has a byte of its own."""
    whole = torch.nn.functional.pad(numbers.to(torch.uint8), (0, numbers.shape[-1] % 2))
    return whole[..., 0::2] | (whole[..., 1::2] << 4)


def _rounded(scales: Tensor) -> Tensor:
    """Scales as bfloat16 keeps them, so that codes are nearest with the very scales that are stored."""
    return scales.clamp(min=LEAST_SCALE).to(torch.bfloat16).float()


def _nf4(matrix_OI: Tensor, group: int) -> dict[str, Tensor]:
    """16 levels that a normal distribution fills evenly, and scales that are quantised in turn (arXiv:2305.14314)."""
    functional = bitsandbytes().functional
    codes, state = functional.quantize_4bit(
        matrix_OI.contiguous(), blocksize=group, compress_statistics=True, quant_type="nf4"
    )
    return {
        "codes": codes.flatten(),
        "scales": state.absmax,
        "scale_scales": state.state2.absmax,
        "mean": state.offset.view(1),
    }


def _from_nf4(packed: Mapping[str, Tensor], group: int, shape: tuple[int, int]) -> Tensor:
    functional = bitsandbytes().functional
    device = packed["codes"].device
    scales = functional.QuantState(
        absmax=packed["scale_scales"],
        code=functional.create_dynamic_map().to(device),
        blocksize=DOUBLED,
        dtype=torch.float32,
    )
    state = functional.QuantState(
        absmax=packed["scales"],
        shape=torch.Size(shape),
        code=functional.get_4bit_type("nf4", device=device),
        blocksize=group,
        quant_type="nf4",
        dtype=torch.float32,
        offset=packed["mean"][0],
        state2=scales,
    )
    matrix: Tensor = functional.dequantize_4bit(packed["codes"].view(-1, 1), state)
    return matrix


def bitsandbytes() -> ModuleType:
    """The library, without what it says of kernels that it does not find; BadInput where it is not installed."""
    if find_spec("bitsandbytes") is None:
        raise BadInput("to='nf4' needs bitsandbytes: pip install bitsandbytes; int4 needs nothing more than PyTorch")
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        import bitsandbytes as library
    finally:
        logging.disable(before)
    return library
