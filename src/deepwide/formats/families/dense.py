"""Decoders that resemble Llama: RMS norms, rotary positions, a gated network, one kind of weights in every layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import isqrt
from typing import Any

from deepwide.architecture.attention import Attention
from deepwide.architecture.ffn import Experts, FeedForward
from deepwide.architecture.model import Architecture, Body, Small
from deepwide.architecture.parts import RMS, Linear, Norm, NormLayer, Table, Vector
from deepwide.errors import BadInput
from deepwide.formats.fields import Fields, read
from deepwide.formats.readers.decoder import decoder
from deepwide.formats.readers.layers import FULL, SLIDING, SPARSE, attention, attention_heads, kv_heads, listed_kinds
from deepwide.formats.readers.text import text_model

Kinds = Callable[[Fields], list[str] | None]


def biased(name: str, projections: str) -> Any:
    """These projections have a bias where the config's flag says so."""
    return lambda c: projections if c.raw(name) is True else ""


def every(name: str, period: int, first: bool = False) -> Kinds:
    """Sliding layers with a full one every so many: the last of them, or the first.

    The number is the config's field `name` where the family has one, else `period`.
    """

    def kinds(c: Fields) -> list[str] | None:
        step = c.number(name, period) if name and not c.listed("layer_types") else period
        if step < 1:
            raise BadInput(f"{c.where}: {name}={step} must be at least 1")
        full = 0 if first else step - 1
        return listed_kinds(c, "layer_types", lambda i: FULL if i % step == full else SLIDING)

    return kinds


def types(c: Fields) -> list[str] | None:
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
    return lambda c: kinds(c) if c("window") else None


def hidden_over_heads(c: Fields) -> None:
    """The class ignores a head_dim in the config: heads always share the hidden size."""
    return None


def sub_norms(c: Fields) -> tuple[Small, ...]:
    """BitNet's norms before the output and the down projection."""
    inner = NormLayer(norm=RMS, name="ffn_sub_norm", width=c.number("ffn"))
    return (NormLayer(norm=RMS, name="attention_sub_norm"), inner)


def learned_slopes(c: Fields) -> tuple[Small, ...]:
    """The two slopes of Apertus' xIELU activation."""
    if c.text("activation") != "xielu":
        return ()
    return tuple(Vector(name=f"slope_{side}", shape=(1,), part="ffn") for side in ("positive", "negative"))


def dynamic_mask(c: Fields) -> tuple[Small, ...]:
    """Doge: a mask computed from the values, and scaled residuals."""
    heads, head_dim = attention_heads(c)
    groups = kv_heads(c, heads)
    step = Linear(
        name="mask_step",
        inputs=groups * head_dim,
        outputs=groups,
        bias=c.raw("attention_bias") is True,
        part="attention",
    )
    residuals = (Vector(name=f"{role}_residual", shape=(c.number("hidden"),)) for role in ("attention", "ffn"))
    return (step, Vector(name="mask_decay", shape=(groups,), part="attention"), *residuals)


def product_key_experts(c: Fields, kind: str = SPARSE) -> Body:
    """Doge: one network for all, and a great many experts of width 1, found by two halves of a key."""
    experts = c.number("experts")
    return Experts(
        experts=experts,
        active_experts=c.number("active_experts"),
        ffn=1,
        gated=False,
        router_outputs=2 * isqrt(experts),
        shared=FeedForward(ffn=c.number("ffn"), bias=c.flag("ffn_bias"), name="shared"),
    )


def differential(c: Fields) -> tuple[Small, ...]:
    """DiffLlama: the four vectors that weigh one attention map against the other."""
    heads, head_dim = attention_heads(c)
    if isinstance(kv_heads(c, heads), int) and kv_heads(c, heads) % 2:
        raise BadInput(f"{c.where}: {c.spelled('kv_heads')}={kv_heads(c, heads)} must be even: values are split in two")
    return tuple(Vector(name=f"lambda_{v}", shape=(head_dim,), part="attention") for v in ("q1", "k1", "q2", "k2"))


def either_bias(c: Fields) -> str:
    """InternLM 3 names the bias of queries, keys and values apart from that of all other matrices."""
    inner, outer = c.raw("qkv_bias", "attention_bias"), c.raw("bias", "mlp_bias")
    return ("qkv" if inner is True else "") + ("o" if outer is True else "")


def prompts(c: Fields) -> tuple[Small, ...]:
    """CPM-Ant: vectors of prompts and segments, and a bias for each bucket of distance and pair of segments."""
    segments = c.number("segment_types")
    buckets = segments * segments + c.number("position_bias_num_buckets")
    prompt = Table(name="prompts", rows=c.number("prompt_types") * c.number("prompt_length"))
    bias = Table(name="position_bias", rows=buckets, width=c.number("heads"), part="position")
    return (prompt, Table(name="segments", rows=segments), bias)


def square_output(c: Fields, kind: str) -> Body:
    """Helium's output matrix is [hidden, hidden], however wide the heads are."""
    body = attention(c, kind)
    assert isinstance(body, Attention)
    return replace(body, joined=c.number("hidden"))


def looped(c: Fields) -> Architecture:
    """HRM: a low stack run `L_cycles` times for each run of a high one, and that `H_cycles` times over."""
    model = decoder(c)
    (run,) = model.main.runs
    high = c.number("H_cycles")
    times = {"low": high * c.number("L_cycles"), "high": high}
    runs = (replace(run, name=name, layers=run.layers * n, shared=True, owned=run.layers) for name, n in times.items())
    return replace(model, stacks=(replace(model.main, runs=tuple(runs)),))


def one_sided(c: Fields) -> Any:
    """ModernBERT's decoder looks back over half the window that its encoder has on both sides; none where it is 0."""
    return c.number("local_attention", 0) // 2 or None


def language_part(model_type: str, part: str = "") -> Callable[[Fields], Architecture]:
    """A reader for the language model of a family that also speaks or draws: its `...ForCausalLM` class."""
    inside = text_model(model_type, part) if part else decoder

    def reader(c: Fields) -> Architecture:
        named = c.text("architecture")
        if named.endswith("ForConditionalGeneration"):
            alone = named.replace("ForConditionalGeneration", "ForCausalLM")
            raise BadInput(f"{c.where}: the codecs around {named} are not described; ask for its language model, {alone}")
        return inside(c)

    return reader


def low_rank_head(c: Fields) -> tuple[Small, ...]:
    """UltraBERT's two projections before the output head."""
    width = c.number("prediction_head_size")
    down = Linear(name="down", outputs=width, part="head")
    return (down, Linear(name="up", inputs=width, part="head"))


NO_BIASES: dict[str, Any] = {"attention_bias": "", "ffn_bias": False}

FAMILIES: dict[str, Mapping[str, Any]] = {
    "llama": {
        "reader": decoder,
        "attention_bias": biased("attention_bias", "qkvo"),
        "ffn_bias": read("mlp_bias"),
    },
    "apertus": {"like": "llama", "ffn_bias": False, "gated": False, "qk_norm": True, "layer_extra": learned_slopes},
    "arcee": {"like": "llama", "gated": False},
    "bitnet": {"like": "llama", "ffn_bias": False, "layer_extra": sub_norms},
    "cohere": {
        "like": "llama",
        "norm": "layer_no_bias",
        "norms": "parallel",
        "ffn_bias": False,
        "qk_norm": lambda c: c.flag("use_qk_norm"),
        "qk_norm_over": "heads",
    },
    "cohere2": {
        "like": "cohere",
        "qk_norm": None,
        "head_dim": hidden_over_heads,
        "mixer_kinds": every("sliding_window_pattern", 4),
    },
    "cohere_compass_text": {"like": "cohere2", "mixer_kinds": types},
    "cpmant": {
        "like": "llama",
        **NO_BIASES,
        "head_dim": read("dim_head"),
        "ffn": read("dim_ff"),
        "positions": "relative",
        "embedding_extra": prompts,
        "tied": False,
    },
    "cwm": {"like": "llama", "attention_bias": "", "mixer_kinds": every("", 4, first=True)},
    "diffllama": {"like": "llama", "ffn_bias": False, "layer_extra": differential},
    "doge": {
        "like": "llama",
        "qk_norm": True,
        "layer_extra": dynamic_mask,
        "experts": lambda c: c("num_experts") if c.flag("is_moe") else None,
        "ffns": {SPARSE: product_key_experts},
    },
    "emu3": {"reader": language_part("emu3_text_model", "text_config")},
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
    "helium": {"like": "llama", "attention_bias": biased("attention_bias", "qkv"), "mixers": {FULL: square_output}},
    "hrm_text": {
        "like": "llama",
        "reader": looped,
        "norm": Norm(scale=False),
        "layers": lambda c: c("num_layers_per_stack", c("num_hidden_layers")),
        "kv_heads": lambda c: c("heads"),
        "attention_bias": biased("attention_bias", "qkvog"),
        "attention_gate": "width",
        "embedding_extra": lambda c: (Vector(name="low_start", shape=(c.number("hidden"),)),),
    },
    "hunyuan_v1_dense": {"like": "llama", "ffn_bias": False, "qk_norm": True},
    "hyperclovax": {"like": "llama", "norms": lambda c: "sandwich" if c.flag("use_post_norm") else "pre"},
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
        "mixer_kinds": types,
        "ffn_kinds": lambda c: listed_kinds(c, "mlp_layer_types", lambda i: SPARSE),
    },
    "ministral": {
        "like": "mistral",
        "window_everywhere": False,
        "mixer_kinds": windowed(lambda c: listed_kinds(c, "layer_types", lambda i: SLIDING)),
    },
    "ministral3": {"like": "mistral"},
    "mistral": {"like": "llama", **NO_BIASES, "window_everywhere": True},
    "modernbert-decoder": {"like": "modernbert", "causal": True, "window": one_sided},
    "moshi": {
        "like": "mistral",
        "reader": language_part("moshi"),
        "ffn": lambda c: c.number("ffn_dim") // 2,
        "embedding_vocab": lambda c: c.number("vocab") + 1,
        "tied": False,
    },
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
    "ultrabert": {"like": "llama", "causal": False, "mixer_kinds": every("", 3), "head_extra": low_rank_head},
    "vaultgemma": {"like": "gemma2", "norms": "pre"},
}
