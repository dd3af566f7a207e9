"""Decoders published with code of their own, not a class of the library: ChatGLM, Baichuan, Qwen and others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deepwide.architecture.model import Architecture
from deepwide.errors import BadInput
from deepwide.formats.families.decoders.dense import NO_BIASES, biased
from deepwide.formats.fields import Fields, read, says
from deepwide.formats.readers.decoder import decoder


def chatglm(c: Fields) -> Architecture:
    """ChatGLM2, ChatGLM3 and GLM-4; the first ChatGLM is another model under the same name."""
    if "inner_hidden_size" in c.config or "position_encoding_2d" in c.config:
        raise BadInput(f"{c.where}: this is the first ChatGLM, whose layers differ; ChatGLM2 and later are known")
    return decoder(c)


def chatglm_bias(c: Fields) -> str:
    """ChatGLM: all projections, or queries, keys and values alone."""
    return biased("add_bias_linear", "qkvo")(c) or biased("add_qkv_bias", "qkv")(c)  # type: ignore[no-any-return]


def chatglm_groups(c: Fields) -> Any:
    """ChatGLM: groups of keys where the config switches them on, else a key for each head."""
    return c.number("multi_query_group_num") if c.flag("multi_query_attention") else c.number("heads")


def half_ffn(c: Fields) -> Any:
    """Qwen's config counts gate and up together."""
    return c.number("intermediate_size") // 2


FAMILIES: dict[str, Mapping[str, Any]] = {
    "chatglm": {
        "reader": chatglm,
        "vocab": read("padded_vocab_size", "vocab_size"),
        "norm": says("rmsnorm", "rms", "layer", otherwise=True),
        "kv_heads": chatglm_groups,
        "ffn": read("ffn_hidden_size"),
        "attention_bias": chatglm_bias,
        "ffn_bias": read("add_bias_linear"),
        "final_norm": read("post_layer_norm"),
    },
    "Yi": {"like": "llama"},
    "aquila": {"like": "llama"},
    "baichuan": {"like": "llama", **NO_BIASES},
    "deepseek": {"like": "glm4_moe", **NO_BIASES, "qk_norm": None, "head_dim": None},
    "internlm": {"like": "llama", "attention_bias": biased("bias", "qkvo"), "ffn_bias": False},
    "internlm2": {"like": "internlm"},
    "kimi_k2": {"like": "deepseek_v3"},
    "minicpm": {"like": "llama", "tied": read("tie_word_embeddings", otherwise=True)},
    "orion": {"like": "llama", **NO_BIASES, "norm": "layer"},
    "qwen": {
        "like": "llama",
        "attention_bias": "qkv",
        "ffn_bias": False,
        "head_dim": read("kv_channels"),
        "ffn": half_ffn,
    },
    "RefinedWeb": {"like": "RefinedWebModel", "new_decoder_architecture": True},
    "RefinedWebModel": {"like": "falcon", "tied": read("tie_word_embeddings", otherwise=True)},
    "stablelm_epoch": {"like": "stablelm"},
    "xverse": {"like": "llama", **NO_BIASES},
}
