"""Decoders with routed experts and ordinary attention: Mixtral, Qwen MoE, gpt-oss and their kin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from deepwide.architecture.extras import Vector
from deepwide.architecture.ffn import FeedForward
from deepwide.architecture.model import Small
from deepwide.architecture.parts import LAYER_NO_BIAS, RMS, Norm
from deepwide.formats.families.decoders.dense import biased, every
from deepwide.formats.fields import Fields, read, says
from deepwide.formats.readers.decoder import decoder
from deepwide.formats.readers.layer_patterns import Pick, dense_first, every_sparse_step, experts_where, sliding_unless
from deepwide.formats.readers.layers import DENSE, feed_forward


def alternate_windows(c: Fields) -> Pick:
    """Qwen2 MoE: a window in every other of the first `max_window_layers`, where windows are switched on."""
    some, last = c.flag("use_sliding_window"), c.number("max_window_layers", 0)
    return lambda i: not (some and i % 2 == 0 and i < last)


def late_windows(c: Fields) -> Pick:
    """dots.llm1: a window from layer `max_window_layers` on, where the config gives one."""
    some, first = c.maybe("window") is not None, c.number("max_window_layers", 0)
    return lambda i: not (some and i >= first)


def prefixed_windows(c: Fields) -> Pick:
    """Cohere 2 MoE: the dense layers at the start have a period of their own, and the count starts again after them."""
    first = c.number("first_k_dense_replace", 0)
    before, after = c.positive("prefix_dense_sliding_window_pattern", 1), c.positive("sliding_window_pattern", 4)
    return lambda i: bool((i + 1) % before == 0 if i < first else (i - first + 1) % after == 0)


def patterned_windows(c: Fields) -> Pick:
    """EXAONE MoE: full after every so many, and everywhere where the config gives no window."""
    period = c.positive("sliding_window_pattern", 4) if c.maybe("window") is not None else 1
    return lambda i: (i + 1) % period == 0


def experts_between(c: Fields) -> Pick:
    """ERNIE 4.5: experts every so many layers between a first and a last one."""
    first, period = c.number("moe_layer_start_index", 0), c.positive("moe_layer_interval", 1)
    last = c("moe_layer_end_index", -1)
    last = c.number("layers") if last == -1 else c.checked("moe_layer_end_index", last)
    return lambda i: bool(first <= i <= last and (i + 1) % period == 0)


def flint_full(c: Fields) -> Pick:
    """Flint: full at both ends and in every fourth layer."""
    last = c.number("layers") - 1
    return lambda i: bool(i < 2 or i % 4 == 1 or i == last)


def beam_full(c: Fields) -> Pick:
    """Beam: full in every sixth layer and the last."""
    last = c.number("layers") - 1
    return lambda i: bool((i + 1) % 6 == 0 or i == last)


def prefix_feed_forward(c: Fields, kind: str) -> FeedForward:
    """Cohere 2 MoE: the dense layers at the start may be wider or narrower than an expert."""
    width = c.maybe("prefix_dense_intermediate_size")
    return feed_forward(c) if width is None else replace(feed_forward(c), ffn=width)


def cohere_norm(c: Fields) -> Norm:
    """Cohere 2 MoE: RMS norms where the config gives their epsilon."""
    return LAYER_NO_BIAS if c("rms_norm_eps") is None else RMS


def same_for_all(name: str) -> Callable[[Fields], Any]:
    """A number, or a list with a number for each layer, of which the first speaks for all (HunYuan)."""

    def chosen(c: Fields) -> Any:
        value = c(name)
        return value[0] if isinstance(value, list | tuple) and value else value

    return chosen


def floored_head(c: Fields) -> Any:
    """GLM-4.5: hidden / heads, rounded down, where the width of a head is not given."""
    given, heads = c.config.get("head_dim"), c.number("heads")
    return c.number("hidden") // (heads if hasattr(heads, "dtype") else max(heads, 1)) if given is None else given


def gate_bias(c: Fields) -> tuple[Small, ...]:
    """Beam: a bias per head on the output gate."""
    return (Vector(name="attention_gate_bias", shape=(c.number("heads"),), part="attention"),)


ONE_WIDTH = {"expert_ffn": lambda c: c.number("ffn")}  # experts as wide as the config's only width
QKV = biased("attention_bias", "qkv")
QWEN = {
    "like": "mixtral",
    "expert_ffn": read("moe_intermediate_size"),
    "ffn_kinds": experts_where(every_sparse_step),
    "window": lambda c: c("sliding_window") if c.flag("use_sliding_window") else None,
}
GRANITE = {
    "like": "mixtral",
    "attention_bias": biased("attention_bias", "qkvo"),
    "window_everywhere": False,
    "shared_ffn": read("shared_intermediate_size"),
}
GLM = {
    "like": "mixtral",
    "attention_bias": QKV,
    "window_everywhere": False,
    "qk_norm": says("use_qk_norm"),
    "expert_ffn": read("moe_intermediate_size"),
    "shared_ffn": None,
    "ffn_kinds": dense_first("first_k_dense_replace"),
}

FAMILIES: dict[str, Mapping[str, Any]] = {
    "mixtral": {"reader": decoder, **ONE_WIDTH, "window_everywhere": True, "shared_ffn": 0},
    "phimoe": {
        "like": "mixtral",
        "norm": "layer",
        "attention_bias": biased("attention_bias", "qkvo"),
        "head_bias": read("lm_head_bias"),
    },
    "olmoe": {
        "like": "mixtral",
        "attention_bias": biased("attention_bias", "qkvo"),
        "qk_norm": True,
        "qk_norm_over": "width",
        "window_everywhere": False,
    },
    "flex_olmo": {"like": "olmoe", "norms": "after"},
    "minimax_m2": {"like": "olmoe", "attention_bias": ""},
    "granitemoe": {**GRANITE, "shared_ffn": 0},
    "granitemoeshared": GRANITE,
    "granitemoe_swa": {
        **GRANITE,
        "sinks": True,
        "mixer_kinds": every("", 4, first=True),
        "ffn_kinds": dense_first(otherwise=0),
    },
    "gpt_oss": {
        "like": "granitemoe_swa",
        "mixer_kinds": every("", 2),
        "shared_ffn": 0,
        "router_bias": True,
        "expert_bias": True,
    },
    "qwen2_moe": {
        **QWEN,
        "attention_bias": biased("qkv_bias", "qkv"),
        "window_everywhere": False,
        "mixer_kinds": sliding_unless(alternate_windows),
        "shared_ffn": read("shared_expert_intermediate_size"),
        "shared_gate": True,
    },
    "qwen3_moe": {**QWEN, "attention_bias": biased("attention_bias", "qkvo"), "qk_norm": True},
    "flint": {
        "like": "qwen3_moe",
        "window": read("sliding_window"),
        "window_everywhere": False,
        "sinks": True,
        "mlp_only_layers": read("mlp_only_layers", otherwise=(0, 1)),
        "mixer_kinds": sliding_unless(flint_full),
        "shared_ffn": read("shared_expert_intermediate_size"),
    },
    "kolibri1": {
        "like": "qwen3_moe",
        "attention_bias": "",
        "window": read("sliding_window"),
        "window_everywhere": False,
        "norms": "sandwich",
        "mixer_kinds": every("", 5),
        "ffn_kinds": dense_first(otherwise=0),
        "shared_ffn": read("shared_expert_intermediate_size"),
    },
    "glm4_moe": {**GLM, "head_dim": floored_head},
    "solar_open": {**GLM, "qk_norm": None, "ffn_kinds": None},
    "dots1": {
        **GLM,
        "attention_bias": biased("attention_bias", "qkvo"),
        "qk_norm": True,
        "mixer_kinds": sliding_unless(late_windows),
        "ffn_kinds": dense_first("first_k_dense_replace", otherwise=0),
    },
    "exaone_moe": {
        **GLM,
        "attention_bias": "",
        "qk_norm": True,
        "mixer_kinds": sliding_unless(patterned_windows),
    },
    "hy_v3": {
        **GLM,
        "attention_bias": biased("attention_bias", "qkvo"),
        "qk_norm": True,
        "ffn_bias": read("mlp_bias"),
        "ffn_kinds": dense_first(),
    },
    "hunyuan_v1_moe": {
        "like": "olmoe",
        "qk_norm_over": "head",
        "shared_ffn": lambda c: c.number("ffn"),
        "active_experts": same_for_all("moe_topk"),
    },
    "afmoe": {
        **GLM,
        "attention_bias": biased("attention_bias", "qkvo"),
        "qk_norm": True,
        "attention_gate": "width",
        "norms": "sandwich",
        "balance": True,
        "mixer_kinds": every("global_attn_every_n_layers", 4),
        "ffn_kinds": dense_first("num_dense_layers"),
    },
    "beam": {
        **GLM,
        "attention_bias": biased("attention_bias", "qkvo"),
        "qk_norm": True,
        "attention_gate": "width",
        "norms": "sandwich",
        "layer_extra": gate_bias,
        "mixer_kinds": sliding_unless(beam_full),
        "ffn_kinds": dense_first(otherwise=3),
        "shared_ffn": 0,
    },
    "ernie4_5_moe": {
        "reader": decoder,
        "attention_bias": biased("use_bias", "qkvo"),
        "ffn_bias": read("use_bias"),
        "head_bias": read("use_bias"),
        "balance": True,
        "ffn_kinds": experts_where(experts_between),
    },
    "cohere2_moe": {
        "reader": decoder,
        **ONE_WIDTH,
        "norm": cohere_norm,
        "norms": "parallel",
        "attention_bias": biased("attention_bias", "qkvo"),
        "mixer_kinds": sliding_unless(prefixed_windows),
        "ffn_kinds": dense_first("first_k_dense_replace", otherwise=0),
        "ffns": {DENSE: prefix_feed_forward},
    },
    "aria_text": {
        "reader": decoder,
        **ONE_WIDTH,
        "attention_bias": biased("attention_bias", "qkvo"),
        "ffn_bias": read("mlp_bias"),
    },
}
