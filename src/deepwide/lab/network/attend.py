"""Softmax attention by two kernels: PyTorch's fused one, and plain batched matrix products.

Which is quicker depends on the machine, the dtype and the shape: on CPUs the fused kernel's backward pass issues many
small products. Shapes: B batch, H heads, K heads of keys and values, T queries, S keys, A width of a head.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

Attend = Callable[[Tensor, Tensor, Tensor, "Tensor | None", bool, float], Tensor]


def fused(q_BHTA: Tensor, k_BKSA: Tensor, v_BKSA: Tensor, bias: Tensor | None, causal: bool, scale: float) -> Tensor:
    """softmax(scale · q kᵀ + bias) v, by scaled_dot_product_attention; groups of query heads share keys."""
    grouped = k_BKSA.shape[1] != q_BHTA.shape[1]
    return functional.scaled_dot_product_attention(
        q_BHTA, k_BKSA, v_BKSA, attn_mask=bias, is_causal=causal, scale=scale, enable_gqa=grouped
    )


def plain(q_BHTA: Tensor, k_BKSA: Tensor, v_BKSA: Tensor, bias: Tensor | None, causal: bool, scale: float) -> Tensor:
    """The same by two batched products; the queries of a group are stacked, so that keys are never copied."""
    B, H, T, A = q_BHTA.shape
    K, S = k_BKSA.shape[1:3]
    stacked = (q_BHTA * scale).reshape(B * K, H // K * T, A)
    scores = torch.bmm(stacked, k_BKSA.reshape(B * K, S, A).transpose(1, 2)).view(B, H, T, S)
    if causal:
        least = torch.finfo(scores.dtype).min
        bias = torch.full((T, T), least, dtype=scores.dtype, device=scores.device).triu(1)  # later tokens are hidden
    if bias is not None:
        scores = scores + bias
    weights = torch.softmax(scores, dim=-1).view(B * K, H // K * T, S)
    return torch.bmm(weights, v_BKSA.reshape(B * K, S, -1)).view(B, H, T, -1)


KERNELS: dict[str, Attend] = {"sdpa": fused, "bmm": plain}
