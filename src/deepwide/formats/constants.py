"""What a config says of the computation and no tensor shows: epsilons, rotary angles, scales of scores and logits.

Needs no PyTorch. What a config leaves out is answered by the family's own configuration class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deepwide.errors import BadInput
from deepwide.formats.fields import short

LLAMA_EPS, LLAMA_BASE = 1e-5, 10_000.0  # arXiv:2302.13971, and what the lab trains with
# What classes of transformers 5.23 declare where a config gives no epsilon.
EPSILONS = {"llama": 1e-6, "mistral": 1e-6, "qwen2": 1e-6, "qwen3": 1e-6, "t5": 1e-6, "bert": 1e-12}
EPSILON_FIELDS = ("rms_norm_eps", "layer_norm_epsilon", "layer_norm_eps", "norm_epsilon")
FARTHEST = 128  # T5, section 2.1


@dataclass(frozen=True, slots=True, kw_only=True)
class RotaryScaling:
    """How rotary frequencies are stretched beyond the context they were trained for.

    kind      linear   every frequency divided by `factor` (Chen et al. 2023, arXiv:2306.15595)
              llama3   long wavelengths divided by `factor`, short ones kept, a ramp between (Llama 3.1)
    low, high   the ramp, in turns within the `original` context
    """

    kind: str
    factor: float
    low: float = 1.0
    high: float = 4.0
    original: int = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """The constants that a config itself states; None for one that it leaves to its reader."""

    norm_eps: float | None = None
    rotary_base: float | None = None
    rotary_scaling: RotaryScaling | None = None

    @property
    def silent(self) -> tuple[str, ...]:
        """What is left open, in words."""
        words = (("norm_eps", "the epsilon of norms"), ("rotary_base", "the base of rotary positions"))
        return tuple(word for name, word in words if getattr(self, name) is None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Constants:
    """The constants of a computation; the defaults are Llama's.

    score_scale   scores are multiplied by it; None is head_dim ** -0.5
    logit_scale   what the head reads is multiplied by it
    farthest      distance from which on all relative positions share a bucket
    """

    norm_eps: float = LLAMA_EPS
    rotary_base: float = LLAMA_BASE
    rotary_scaling: RotaryScaling | None = None
    score_scale: float | None = None
    logit_scale: float = 1.0
    farthest: int = FARTHEST


def constants(config: Mapping[str, Any], where: str = "config") -> Constants:
    """The constants that a config.json states, or its family's own; BadInput for a computation of another kind."""
    family = str(config.get("model_type", ""))
    eps = next((config[name] for name in EPSILON_FIELDS if config.get(name) is not None), None)
    rope = rotary(config, where)
    read: dict[str, Any] = {
        "norm_eps": EPSILONS.get(family, LLAMA_EPS) if eps is None else _number(where, "epsilon", eps),
        "rotary_base": _number(where, "rope_theta", rope.get("rope_theta") or LLAMA_BASE),
        "rotary_scaling": _scaling(rope, config, where),
    }
    if family == "t5":
        read |= {"score_scale": 1.0, "logit_scale": _t5_logits(config, where), "farthest": _farthest(config, where)}
    elif config.get("scale_attn_weights") is False:
        read |= {"score_scale": 1.0}
    return Constants(**read)


def said(config: Mapping[str, Any], where: str = "config") -> Said:
    """The constants that a config.json states, and no others."""
    read = constants(config, where)
    has_eps = any(config.get(name) is not None for name in EPSILON_FIELDS)
    has_base = rotary(config, where).get("rope_theta") is not None
    return Said(
        norm_eps=read.norm_eps if has_eps else None,
        rotary_base=read.rotary_base if has_base else None,
        rotary_scaling=read.rotary_scaling,
    )


def rotary(config: Mapping[str, Any], where: str = "config") -> Mapping[str, Any]:
    """What a config says of rotary positions, under the names of transformers 5 whichever release wrote it."""
    table = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(table, Mapping):
        raise BadInput(f"{where}: rope_scaling={short(table)} must be a table")
    return {"rope_theta": config.get("rope_theta"), **table}


def _scaling(rope: Mapping[str, Any], config: Mapping[str, Any], where: str) -> RotaryScaling | None:
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind in (None, "default"):
        return None
    if kind not in ("linear", "llama3"):
        raise BadInput(f"{where}: rope_type={short(kind)} cannot be computed; default, linear and llama3 can")
    factor = _number(where, "rope factor", rope.get("factor"))
    if kind == "linear":
        return RotaryScaling(kind=kind, factor=factor)
    original = rope.get("original_max_position_embeddings", config.get("max_position_embeddings"))
    return RotaryScaling(
        kind=kind,
        factor=factor,
        low=_number(where, "low_freq_factor", rope.get("low_freq_factor", 1.0)),
        high=_number(where, "high_freq_factor", rope.get("high_freq_factor", 4.0)),
        original=int(_number(where, "original_max_position_embeddings", original)),
    )


def _t5_logits(config: Mapping[str, Any], where: str) -> float:
    """T5 scales what its head reads by hidden ** -0.5 where the head is its table; v1.1, which unties them, does not.

    transformers 5 saves tie_word_embeddings=true for both, and says under scale_decoder_outputs which it was.
    """
    scaled = config.get("scale_decoder_outputs")
    if not isinstance(scaled, bool):
        scaled = config.get("tie_word_embeddings") is not False
    return float(_number(where, "d_model", config.get("d_model", 512)) ** -0.5) if scaled else 1.0


def _farthest(config: Mapping[str, Any], where: str) -> int:
    return int(_number(where, "relative_attention_max_distance", config.get("relative_attention_max_distance", 128)))


def _number(where: str, name: str, value: Any) -> float:
    """A positive number, and not a word or a truth value."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e15:
        raise BadInput(f"{where}: {name}={short(value)} must be a positive number")
    return value
