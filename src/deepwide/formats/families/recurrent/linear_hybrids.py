"""Decoders that mix softmax with linear attention: Qwen3-Next and 3.5, OLMo hybrid, Kimi Linear, Ling 3, MiniMax."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from deepwide.architecture.linear import LightningAttention
from deepwide.formats.families.decoders.dense import biased
from deepwide.formats.families.decoders.latent import MLA, latent
from deepwide.formats.fields import Fields, read
from deepwide.formats.readers.decoder import decoder
from deepwide.formats.readers.layer_lists import indices
from deepwide.formats.readers.layer_patterns import (
    Pick,
    attention_where,
    dense_first,
    every_sparse_step,
    everywhere,
    experts_by_rule,
    last_of,
)
from deepwide.formats.readers.layers import FULL, LINEAR, attention_heads
from deepwide.formats.readers.recurrent_mixers import DELTA_FIELDS, gated_delta, kimi_delta


def lightning(c: Fields, kind: str) -> LightningAttention:
    """MiniMax's lightning attention, with the heads of its softmax attention."""
    heads, head_dim = attention_heads(c)
    return LightningAttention(heads=heads, head_dim=head_dim, block=max(1, c.number("block_size", 256)))


def fourths(c: Fields) -> Pick:
    """OLMo hybrid: the last of every four layers; of fewer than four, the last."""
    layers = c.number("layers")
    return lambda i: i % 4 == 3 or (layers < 4 and i == layers - 1)


def olmo_key_dim(c: Fields) -> Any:
    """OLMo hybrid: keys that fill three quarters of the hidden size, unless given."""
    given, heads = c.raw("linear_key_head_dim"), c.number("linear_key_heads")
    return given if isinstance(given, int) else 3 * c.number("hidden") // (4 * max(heads, 1))


def kimi_attention(c: Fields) -> Pick:
    """Kimi Linear: the layers numbered from 1 in `full_attn_layers`; else every fourth after the first."""
    own = c("linear_attn_config")
    if isinstance(own, Mapping) and "full_attn_layers" in own and "kda_layers" in own:
        chosen = frozenset(indices(c.inside("linear_attn_config", {}), "full_attn_layers"))
        return lambda i: i + 1 in chosen
    return lambda i: i > 0 and i % 4 == 0


def kimi_own(name: str, otherwise: str) -> Callable[[Fields], Any]:
    """A field of Kimi Linear's own table for linear attention, or the flat one."""

    def chosen(c: Fields) -> Any:
        own = c("linear_attn_config")
        return own[name] if isinstance(own, Mapping) and name in own else c.raw(otherwise)

    return chosen


QWEN = {
    "reader": decoder,
    **DELTA_FIELDS,
    "attention_bias": biased("attention_bias", "qkvog"),
    "attention_gate": "width",
    "qk_norm": True,
    "mixers": {LINEAR: gated_delta},
    "mixer_kinds": attention_where(last_of("full_attention_interval", 4), LINEAR),
}
KIMI = {
    **MLA,
    "mixers": {FULL: latent, LINEAR: kimi_delta},
    "experts": read("num_experts", "num_local_experts"),
    "active_experts": read("num_experts_per_token", "num_experts_per_tok"),
    "shared_experts": read("num_shared_experts", "n_shared_experts"),
    "kernel": read("linear_conv_kernel_dim"),
    "tied": False,
}

FAMILIES: dict[str, Mapping[str, Any]] = {
    "qwen3_next": {
        **QWEN,
        "shared_ffn": read("shared_expert_intermediate_size"),
        "shared_gate": True,
        "ffn_kinds": experts_by_rule(every_sparse_step),
    },
    "qwen3_5_text": QWEN,
    "qwen3_5_moe_text": {"like": "qwen3_next", "ffn_kinds": experts_by_rule(everywhere, least=0)},
    "olmo_hybrid": {
        "reader": decoder,
        **DELTA_FIELDS,
        "linear_key_heads": lambda c: c("linear_num_key_heads", c("heads")),
        "linear_value_heads": lambda c: c("linear_num_value_heads", c("heads")),
        "linear_key_dim": olmo_key_dim,
        "linear_value_dim": lambda c: c("linear_value_head_dim", 2 * c.number("linear_key_dim")),
        "attention_bias": biased("attention_bias", "qkvo"),
        "qk_norm": True,
        "qk_norm_over": "width",
        "norms": {LINEAR: "pre", FULL: "after"},
        "mixers": {LINEAR: gated_delta},
        "mixer_kinds": attention_where(fourths, LINEAR),
    },
    "kimi_linear": {
        **KIMI,
        "linear_heads": kimi_own("num_heads", "linear_num_heads"),
        "linear_head_dim": kimi_own("head_dim", "linear_head_dim"),
        "kernel": kimi_own("short_conv_kernel_size", "linear_conv_kernel_dim"),
        "narrow_gates": True,
        "mixer_kinds": attention_where(kimi_attention, LINEAR),
        "ffn_kinds": dense_first("first_k_dense_replace"),
    },
    "bailing_hybrid": {
        **KIMI,
        "query_rank": None,
        "latent_gate": "head",
        "linear_heads": read("linear_num_heads", "num_attention_heads"),
        "linear_head_dim": read("linear_head_dim", "head_dim"),
        "kernel": read("linear_conv_kernel_dim", "short_conv_kernel_size"),
        "mixer_kinds": attention_where(last_of("layer_group_size", 6), LINEAR),
        "ffn_kinds": dense_first("first_k_dense_replace", otherwise=2),
    },
    "minimax": {
        "reader": decoder,
        "experts": read("num_experts", "num_local_experts"),
        "expert_ffn": read("intermediate_size"),
        "mixers": {LINEAR: lightning},
        "mixer_kinds": attention_where(lambda c: lambda i: i % 2 == 0, LINEAR),
        "ffn_kinds": experts_by_rule(everywhere, least=0),
    },
}
