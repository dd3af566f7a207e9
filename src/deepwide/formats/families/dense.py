"""Decoders with one feed-forward network per layer: Llama and its kin, GPT-2 and its kin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deepwide.formats.fields import Fields, read
from deepwide.formats.readers.decoder import decoder
from deepwide.formats.readers.layers import FULL, SLIDING, listed_kinds


def biased(name: str, projections: str) -> Any:
    """These projections have a bias where the config's flag says so."""
    return lambda c: projections if c.raw(name) is True else ""


def every(name: str, period: int) -> Any:
    """Sliding layers with a full one every so many (the config's number, else `period`)."""

    def kinds(c: Fields) -> list[str] | None:
        step = c.number(name, period)
        return listed_kinds(c, "layer_types", lambda i: FULL if (i + 1) % step == 0 else SLIDING)

    return kinds


def types(c: Fields) -> list[str] | None:
    """The config's own list of layer types, where it has one."""
    return listed_kinds(c, "layer_types")


GPT = {
    "reader": decoder,
    "norm": "layer",
    "gated": False,
    "attention_bias": "qkvo",
    "ffn_bias": True,
    "positions": "learned",
}

FAMILIES: dict[str, Mapping[str, Any]] = {
    "llama": {
        "reader": decoder,
        "attention_bias": biased("attention_bias", "qkvo"),
        "ffn_bias": read("mlp_bias"),
    },
    "mistral": {"like": "llama", "attention_bias": "", "ffn_bias": False, "window_everywhere": True},
    "qwen2": {"like": "mistral", "attention_bias": "qkv", "window_everywhere": False, "mixer_kinds": types},
    "qwen3": {"like": "llama", "qk_norm": True, "mixer_kinds": types},
    "gemma": {"like": "llama"},
    "gemma2": {"like": "llama", "norms": "sandwich", "mixer_kinds": every("sliding_window_pattern", 2)},
    "olmo2": {"like": "llama", "norms": "after", "qk_norm": True, "qk_norm_over": "width"},
    "phi3": {"like": "llama", "attention_bias": "", "ffn_bias": False},
    "gpt2": GPT,
    "gpt_neox": {
        **GPT,
        "positions": "rotary",
        "norms": lambda c: "parallel2" if c.raw("use_parallel_residual") is True else "pre",
        "attention_bias": biased("attention_bias", "qkvo"),
    },
    "opt": {
        **GPT,
        "position_offset": 2,
        "norms": lambda c: "pre" if c.raw("do_layer_norm_before") is True else "post",
    },
    "mixtral": {"like": "mistral", "expert_ffn": read("intermediate_size")},
}
