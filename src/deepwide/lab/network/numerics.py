"""What a model computes with and no tensor shows: epsilons, the base of rotary positions, scales."""

from __future__ import annotations

from dataclasses import dataclass

from deepwide.formats.constants import RotaryScaling


@dataclass(frozen=True, slots=True, kw_only=True)
class Numerics:
    """Constants of the computation. The defaults are Llama's (arXiv:2302.13971); other formats bring their own.

    norm_eps          added to the variance in every norm
    rotary_base       the longest wavelength of rotary positions is about 2 pi times this
    rotary_scaling    how its frequencies are stretched for long contexts, where they are
    score_scale       scores are multiplied by it; None is head_dim ** -0.5
    logit_scale       what the head reads is multiplied by it (T5 with a tied table: hidden ** -0.5)
    farthest          distance from which on all relative positions share a bucket (T5)
    """

    norm_eps: float = 1e-5
    rotary_base: float = 10_000.0
    rotary_scaling: RotaryScaling | None = None
    score_scale: float | None = None
    logit_scale: float = 1.0
    farthest: int = 128
