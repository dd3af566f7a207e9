"""Relatives of Llama with a part of their own: extra norms, masks, gates, loops, prompts, codecs around them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import isqrt
from typing import Any

from deepwide.architecture.experts import Experts
from deepwide.architecture.extras import Linear, Operation, Table, Vector
from deepwide.architecture.ffn import FeedForward
from deepwide.architecture.model import Architecture, Body, Small
from deepwide.architecture.parts import RMS, Norm, NormLayer
from deepwide.errors import BadInput
from deepwide.formats.families.decoders.classic import all_heads
from deepwide.formats.families.decoders.dense import NO_BIASES, biased, every
from deepwide.formats.fields import Fields, read
from deepwide.formats.readers.decoder import decoder
from deepwide.formats.readers.layers import FULL, SPARSE, attention, attention_heads, kv_heads
from deepwide.formats.readers.text_only import language_part


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


def second_attention(c: Fields) -> tuple[Small, ...]:
    """DiffLlama: a second attention with other values, and four vectors that weigh it against the first."""
    heads, head_dim = attention_heads(c)
    groups = kv_heads(c, heads)
    if isinstance(groups, int) and groups % 2:
        raise BadInput(f"{c.where}: {c.spelled('kv_heads')}={groups} must be even: the values are split in two")
    second = Operation(name="second_scores", kind="attention", k=heads * head_dim, n=heads * head_dim)
    vectors = (Vector(name=f"lambda_{v}", shape=(head_dim,), part="attention") for v in ("q1", "k1", "q2", "k2"))
    return (second, *vectors)


def prompt_tables(c: Fields) -> tuple[Small, ...]:
    """CPM-Ant: vectors of prompts and segments, and a bias for each bucket of distance and pair of segments."""
    segments = c.number("segment_types")
    buckets = segments * segments + c.number("position_bias_num_buckets")
    prompt = Table(name="prompts", rows=c.number("prompt_types") * c.number("prompt_length"))
    bias = Table(name="position_bias", rows=buckets, width=c.number("heads"), part="position")
    return (prompt, Table(name="segments", rows=segments), bias)


def square_output(c: Fields, kind: str) -> Body:
    """Helium's output matrix is [hidden, hidden], however wide the heads are."""
    return replace(attention(c, kind), joined=c.number("hidden"))


def looped(c: Fields) -> Architecture:
    """HRM: a low stack run `L_cycles` times for each run of a high one, and that `H_cycles` times over."""
    model = decoder(c)
    (run,) = model.main.runs
    high = c.number("H_cycles")
    times = {"low": high * c.number("L_cycles"), "high": high}
    runs = (replace(run, name=name, layers=run.layers * n, shared=True, owned=run.layers) for name, n in times.items())
    return replace(model, stacks=(replace(model.main, runs=tuple(runs)),))


def low_rank_head(c: Fields) -> tuple[Small, ...]:
    """UltraBERT's two projections before the output head."""
    width = c.number("prediction_head_size")
    down = Linear(name="down", outputs=width, part="head")
    return (down, Linear(name="up", inputs=width, part="head"))


def one_sided(c: Fields) -> Any:
    """ModernBERT's decoder looks back over half the window that its encoder has on both sides; none where it is 0."""
    return c.number("local_attention", 0) // 2 or None


FAMILIES: dict[str, Mapping[str, Any]] = {
    "apertus": {"like": "llama", "ffn_bias": False, "gated": False, "qk_norm": True, "layer_extra": learned_slopes},
    "bitnet": {"like": "llama", "ffn_bias": False, "layer_extra": sub_norms},
    "cpmant": {
        "like": "llama",
        **NO_BIASES,
        "head_dim": read("dim_head"),
        "ffn": read("dim_ff"),
        "positions": "relative",
        "embedding_extra": prompt_tables,
        "tied": False,
    },
    "diffllama": {"like": "llama", "ffn_bias": False, "layer_extra": second_attention},
    "doge": {
        "like": "llama",
        "qk_norm": True,
        "layer_extra": dynamic_mask,
        "experts": lambda c: c("num_experts") if c.flag("is_moe") else None,
        "ffns": {SPARSE: product_key_experts},
    },
    "emu3": {"reader": language_part("emu3_text_model", "text_config")},
    "helium": {"like": "llama", "attention_bias": biased("attention_bias", "qkv"), "mixers": {FULL: square_output}},
    "hrm_text": {
        "like": "llama",
        "reader": looped,
        "norm": Norm(scale=False),
        "layers": lambda c: c("num_layers_per_stack", c("num_hidden_layers")),
        "kv_heads": all_heads,
        "attention_bias": biased("attention_bias", "qkvog"),
        "attention_gate": "width",
        "embedding_extra": lambda c: (Vector(name="low_start", shape=(c.number("hidden"),)),),
    },
    "modernbert-decoder": {"like": "modernbert", "causal": True, "window": one_sided},
    "moshi": {
        "like": "mistral",
        "reader": language_part("moshi"),
        "ffn": lambda c: c.number("ffn_dim") // 2,
        "embedding_vocab": lambda c: c.number("vocab") + 1,
        "tied": False,
    },
    "ultrabert": {"like": "llama", "causal": False, "mixer_kinds": every("", 3), "head_extra": low_rank_head},
}
