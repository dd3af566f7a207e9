"""Softmax attention by two kernels: PyTorch's fused one, and plain batched matrix products.

Which is quicker depends on the machine, the dtype and the shape: on CPUs the fused kernel's backward pass issues many
small products. Shapes: B batch, H heads, K heads of keys and values, T queries, S keys, A width of a head.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

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
        bias = _future(T, scores.dtype, scores.device)
    if bias is not None:
        scores = scores + bias
    weights = torch.softmax(scores, dim=-1).view(B * K, H // K * T, S)
    return torch.bmm(weights, v_BKSA.reshape(B * K, S, -1)).view(B, H, T, -1)


@lru_cache(maxsize=8)
def _future(tokens: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """What is added to hide later tokens [T, T]: the least number above the diagonal, 0 elsewhere."""
    with torch.inference_mode(False):
        return torch.full((tokens, tokens), torch.finfo(dtype).min, dtype=dtype, device=device).triu(1)


KERNELS: dict[str, Attend] = {"sdpa": fused, "bmm": plain}
