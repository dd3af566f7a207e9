"""Decoders that resemble Llama: RMS norms, rotary positions, a gated network, one kind of weights in every layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deepwide.architecture.parts import Norm
from deepwide.formats.fields import Fields, read, says
from deepwide.formats.readers.decoder import decoder
from deepwide.formats.readers.layer_lists import Kinds, listed_kinds
from deepwide.formats.readers.layers import FULL, SLIDING, SPARSE


def biased(name: str, projections: str) -> Any:
    """These projections have a bias where the config's flag says so."""
    return lambda c: projections if c.raw(name) is True else ""


def every(name: str, period: int, first: bool = False) -> Kinds:
    """Sliding layers with a full one every so many: the last of them, or the first.

    The number is the config's field `name` where the family has one, else `period`.
    """

    def kinds(c: Fields) -> list[str] | None:
        step = c.positive(name, period) if name and not c.listed("layer_types") else period
        full = 0 if first else step - 1
        return listed_kinds(c, "layer_types", lambda i: FULL if i % step == full else SLIDING)

    return kinds


def listed_types(c: Fields) -> list[str] | None:
    """The config's own list of layer types, where it has one."""
    return listed_kinds(c, "layer_types")


def upper_windows(c: Fields) -> list[str] | None:
    """Windows from the layer `max_window_layers` on, where they are switched on at all."""
    if not c.flag("use_sliding_window"):
        return None
    first = c.number("max_window_layers", 0)
    return listed_kinds(c, "layer_types", lambda i: SLIDING if i >= first else FULL)


def unrotated_windows(c: Fields) -> list[str] | None:
    """Windows in the layers without rotary positions, where they are switched on at all."""
    if not c.flag("use_sliding_window"):
        return None
    rotary, step = c.listed("no_rope_layers"), max(1, c.number("no_rope_layer_interval", 4))
    return listed_kinds(
        c, "layer_types", lambda i: FULL if (rotary[i % len(rotary)] if rotary else (i + 1) % step) else SLIDING
    )


def windowed(kinds: Kinds) -> Kinds:
    """These kinds where the config gives a window; full attention everywhere where it is null."""
    return lambda c: None if c("window") is None else kinds(c)


def hidden_over_heads(c: Fields) -> None:
    """The class ignores a head_dim in the config: heads always share the hidden size."""
    return None


def either_bias(c: Fields) -> str:
    """InternLM 3 names the bias of queries, keys and values apart from that of all other matrices."""
    inner, outer = c.raw("qkv_bias", "attention_bias"), c.raw("bias", "mlp_bias")
    return ("qkv" if inner is True else "") + ("o" if outer is True else "")


NO_BIASES: dict[str, Any] = {"attention_bias": "", "ffn_bias": False}

FAMILIES: dict[str, Mapping[str, Any]] = {
    "llama": {
        "reader": decoder,
        "attention_bias": biased("attention_bias", "qkvo"),
        "ffn_bias": read("mlp_bias"),
    },
    "arcee": {"like": "llama", "gated": False},
    "cohere": {
        "like": "llama",
        "norm": "layer_no_bias",
        "norms": "parallel",
        "ffn_bias": False,
        "qk_norm": says("use_qk_norm"),
        "qk_norm_over": "heads",
    },
    "cohere2": {
        "like": "cohere",
        "qk_norm": None,
        "head_dim": hidden_over_heads,
        "mixer_kinds": every("sliding_window_pattern", 4),
    },
    "cohere_compass_text": {"like": "cohere2", "mixer_kinds": listed_types},
    "cwm": {"like": "llama", "attention_bias": "", "mixer_kinds": every("", 4, first=True)},
    "emu3_text_model": {"like": "llama"},
    "ernie4_5": {"like": "llama", "attention_bias": biased("use_bias", "qkvo"), "ffn_bias": read("use_bias")},
    "exaone4": {
        "like": "llama",
        **NO_BIASES,
        "norms": "after",
        "qk_norm": True,
        "mixer_kinds": windowed(every("sliding_window_pattern", 4)),
    },
    "gemma": {"like": "llama", "ffn_bias": False},
    "gemma2": {"like": "gemma", "norms": "sandwich", "mixer_kinds": every("", 2)},
    "gemma3_text": {"like": "gemma2", "qk_norm": True, "mixer_kinds": every("sliding_window_pattern", 6)},
    "glm": {"like": "llama", "attention_bias": biased("attention_bias", "qkv"), "ffn_bias": False},
    "glm4": {"like": "glm", "norms": "sandwich"},
    "granite": {"like": "llama"},
    "granite_swa": {"like": "llama", "sinks": True, "mixer_kinds": every("", 4, first=True)},
    "hunyuan_v1_dense": {"like": "llama", "ffn_bias": False, "qk_norm": True},
    "hyperclovax": {"like": "llama", "norms": says("use_post_norm", "sandwich", "pre")},
    "internlm3": {
        "like": "llama",
        "attention_bias": either_bias,
        "ffn_bias": read("bias", "mlp_bias"),
    },
    "iquestcoder": {"like": "llama"},
    "jais2": {"like": "llama", "norm": "layer", "gated": False},
    "mellum": {
        "like": "llama",
        "ffn_bias": False,
        "qk_norm": True,
        "mixer_kinds": listed_types,
        "ffn_kinds": lambda c: listed_kinds(c, "mlp_layer_types", lambda i: SPARSE),
    },
    "ministral": {
        "like": "mistral",
        "window_everywhere": False,
        "mixer_kinds": windowed(lambda c: listed_kinds(c, "layer_types", lambda i: SLIDING)),
    },
    "ministral3": {"like": "mistral"},
    "mistral": {"like": "llama", **NO_BIASES, "window_everywhere": True},
    "nanochat": {"like": "llama", "norm": Norm(scale=False), "ffn_bias": False, "gated": False, "qk_norm": True},
    "nemotron": {"like": "llama", "norm": "layer", "gated": False},
    "olmo": {"like": "llama", "norm": "none", "ffn_bias": False},
    "olmo2": {"like": "llama", "norms": "after", "qk_norm": True, "qk_norm_over": "width", "ffn_bias": False},
    "olmo3": {"like": "olmo2", "mixer_kinds": every("", 4)},
    "phi3": {"like": "mistral"},
    "qwen2": {
        "like": "mistral",
        "attention_bias": "qkv",
        "window_everywhere": False,
        "mixer_kinds": upper_windows,
    },
    "qwen3": {"like": "llama", "ffn_bias": False, "qk_norm": True, "mixer_kinds": upper_windows},
    "seed_oss": {
        "like": "llama",
        "attention_bias": lambda c: biased("attention_bias", "qkv")(c) + biased("attention_out_bias", "o")(c),
    },
    "smollm3": {"like": "llama", "mixer_kinds": unrotated_windows},
    "vaultgemma": {"like": "gemma2", "norms": "pre"},
}
