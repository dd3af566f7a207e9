"""How order is told: rotary angles, ALiBi slopes, relative buckets, sinusoidal tables.

Shapes: B batch, T tokens, S keys, H heads, A head width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from deepwide.formats.constants import RotaryScaling
from deepwide.lab.network.numerics import Numerics

Rotation = tuple[Tensor, Tensor]


def rotation(positions_BT: Tensor, head_dim: int, numerics: Numerics, dtype: torch.dtype) -> Rotation:
    """What a head's features and their partners are multiplied by, [B or 1, 1, T, A] each: cosines and signed sines.

    Rotary positions (Su et al. 2021, arXiv:2104.09864, eq. 34).
    """
    exponents = torch.arange(0, head_dim, 2, device=positions_BT.device, dtype=torch.float32) / head_dim
    frequencies = 1.0 / numerics.rotary_base**exponents
    if numerics.rotary_scaling is not None:
        frequencies = stretched(frequencies, numerics.rotary_scaling)
    angles = positions_BT[:, None, :, None].float() * frequencies
    cosine, sine = angles.cos().to(dtype), angles.sin().to(dtype)
    return torch.cat((cosine, cosine), dim=-1), torch.cat((-sine, sine), dim=-1)


def stretched(frequencies: Tensor, by: RotaryScaling) -> Tensor:
    """Rotary frequencies for contexts longer than the original one, as RotaryScaling describes."""
    if by.kind == "linear":
        return frequencies / by.factor
    turns = by.original * frequencies / (2 * math.pi)  # within the original context
    kept = ((turns - by.low) / (by.high - by.low)).clamp(0.0, 1.0)
    return (1 - kept) * frequencies / by.factor + kept * frequencies


def rotated(x_BHTA: Tensor, by: Rotation) -> Tensor:
    """Each pair (i, i + A/2) of a head turned by its position's angle."""
    cosine, sine = by
    return x_BHTA * cosine + x_BHTA.roll(x_BHTA.shape[-1] // 2, -1) * sine


def alibi_slopes(heads: int, device: torch.device) -> Tensor:
    """Slopes [H] of ALiBi: a geometric series, filled up from the series of twice as many heads.

    Press, Smith and Lewis 2021, arXiv:2108.12409, section 3 and its published code.
    """
    power = 2 ** math.floor(math.log2(heads))
    slopes = [2 ** (-8 * (i + 1) / power) for i in range(power)]
    slopes += [2 ** (-4 * (2 * i + 1) / power) for i in range(heads - power)]
    return torch.tensor(slopes, device=device)


def alibi_bias(query_positions_BT: Tensor, key_positions_BS: Tensor, heads: int) -> Tensor:
    """What ALiBi adds to the scores [B or 1, H, T, S]: minus slope times distance."""
    distance = (query_positions_BT[:, None, :, None] - key_positions_BS[:, None, None, :]).abs()
    return -alibi_slopes(heads, distance.device)[None, :, None, None] * distance


def relative_buckets(
    query_positions_T: Tensor, key_positions_S: Tensor, buckets: int, farthest: int, causal: bool
) -> Tensor:
    """The bucket [T, S] of each distance: single ones near, logarithmic ones up to `farthest`.

    Raffel et al. 2020, arXiv:1910.10683, section 2.1; both directions share the buckets unless `causal`.
    """
    behind = query_positions_T[:, None] - key_positions_S[None, :]
    start = torch.zeros_like(behind)
    if causal:
        behind = behind.clamp(min=0)
    else:
        buckets //= 2
        start = torch.where(behind < 0, buckets, 0)
        behind = behind.abs()
    exact = buckets // 2
    share = torch.log(behind.clamp(min=1).float() / exact) / math.log(farthest / exact)
    far = (exact + (share * (buckets - exact)).long()).clamp(max=buckets - 1)
    return start + torch.where(behind < exact, behind, far)


def sinusoids(rows: int, width: int) -> Tensor:
    """Table [rows, width] of sines, then cosines (Vaswani et al. 2017, arXiv:1706.03762, section 3.5)."""
    half = (width + 1) // 2
    wavelengths = 10_000.0 ** (-torch.arange(half, dtype=torch.float32) * 2 / width)
    angles = torch.arange(rows, dtype=torch.float32)[:, None] * wavelengths
    return torch.cat((angles.sin(), angles.cos()), dim=-1)[:, :width]
