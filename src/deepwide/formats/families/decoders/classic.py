"""Decoders that resemble GPT-2: LayerNorms with biases, a network of two matrices, biased projections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import chain, islice
from typing import Any

from deepwide.architecture.attention import Attention
from deepwide.architecture.extras import Linear, Operation, Vector
from deepwide.architecture.model import Small
from deepwide.architecture.parts import LAYER, Norm
from deepwide.errors import BadInput
from deepwide.formats.families.decoders.dense import biased, hidden_over_heads
from deepwide.formats.fields import Fields, read, says
from deepwide.formats.readers.decoder import decoder
from deepwide.formats.readers.layers import FULL, SLIDING, attention_heads, cross_attention
from deepwide.formats.readers.text_only import language_part


def all_heads(c: Fields) -> Any:
    """Each query head has its own keys and values, whatever else the config says."""
    return c.number("heads")


def four_hidden(c: Fields) -> Any:
    """The class knows no other inner width."""
    return 4 * c.number("hidden")


def alternating(c: Fields) -> list[str] | None:
    """GPT-Neo's [[["global", "local"], 12]]: kinds, and how often they follow each other."""
    layers, groups = c.number("layers"), c.listed("attention_types") or [[["global", "local"], 1]]
    if hasattr(layers, "dtype"):
        return None
    try:
        repeated = (names for names, times in groups if [*names] for _ in range(times))
        kinds = list(islice(chain.from_iterable(repeated), layers))
    except (TypeError, ValueError):
        kinds = []
    if layers and not {"global", "local"}.issuperset(map(str, kinds or "?")):
        raise BadInput(f"{c.where}: attention_types must look like [[['global', 'local'], 12]]")
    return [SLIDING if kinds[i % len(kinds)] == "local" else FULL for i in range(layers)]


def falcon_norms(c: Fields) -> str:
    """Falcon's blocks: one after the other, or side by side under one norm or two."""
    if not c.flag("parallel_attn"):
        return "pre"
    norms = c("num_ln_in_parallel_attn", 2 if c.flag("new_decoder_architecture") else 1)
    return "parallel2" if norms == 2 else "parallel"


def falcon_groups(c: Fields) -> Any:
    """Falcon's keys: grouped in the new architecture, else one head for all or one for each."""
    if c.flag("new_decoder_architecture"):
        return c.number("num_kv_heads", c("n_head_kv", c("heads")))
    return 1 if c.flag("multi_query") else c.number("heads")


def opt_norm(c: Fields) -> Norm:
    """OPT's LayerNorm, which may have no parameters."""
    return LAYER if c.flag("layer_norm_elementwise_affine", True) else Norm(kind="layer", scale=False)


def opt_width(c: Fields) -> Any:
    """The width of OPT's embedding where the config's own hidden size is another."""
    width = c("word_embed_proj_dim")
    return None if width == c.raw("hidden_size") else width


def opt_projection(direction: str) -> Any:
    """The matrix between embedding and hidden size: into the layers, or out of them."""

    def part(c: Fields) -> tuple[Small, ...]:
        width = c.maybe("embedding_width")
        if width is None:
            return ()
        ends = {"inputs": width} if direction == "in" else {"outputs": width}
        return (Linear(name=f"project_{direction}", part="embedding" if direction == "in" else "head", **ends),)

    return part


def relative_positions(c: Fields) -> tuple[Small, ...]:
    """XLNet: in every layer a projection of positions, scores against them, three biases, two segment vectors.

    Distances run both ways, so there are two positions for each token.
    """
    heads, head_dim = attention_heads(c)
    width, hidden = heads * head_dim, c.number("hidden")
    biases = (Vector(name=f"{of}_bias", shape=(heads, head_dim), part="attention") for of in ("r_r", "r_s", "r_w"))
    return (
        Linear(name="relative", outputs=width, part="attention"),
        Operation(name="relative_back", kind="matmul", k=hidden, n=width),
        Operation(name="relative_scores", kind="attention", k=2 * width),
        *biases,
        Vector(name="segments", shape=(2, heads, head_dim), part="attention"),
    )


def asked_cross_attention(c: Fields) -> Attention | None:
    """Attention over an encoder, where the config asks for it; each head has its own keys there."""
    if not c.flag("add_cross_attention"):
        return None
    body = cross_attention(c)
    return replace(body, kv_heads=body.heads)


def codebooks(c: Fields) -> Any:
    """MusicGen reads and writes several codes at a time; each codebook has a table and a head of its own."""
    return c.number("num_codebooks") * c.number("vocab")


def codebook_rows(c: Fields) -> Any:
    """Rows of all codebooks' tables: one more each than there are codes, for the start."""
    return c.number("num_codebooks") * (c.number("vocab") + 1)


GPT: dict[str, Any] = {
    "reader": decoder,
    "norm": "layer",
    "gated": False,
    "attention_bias": "qkvo",
    "ffn_bias": True,
    "positions": "learned",
    "context": read("n_positions", "max_position_embeddings"),
    "kv_heads": all_heads,
    "head_dim": hidden_over_heads,
}
ROTARY: dict[str, Any] = {**GPT, "positions": "rotary"}

FAMILIES: dict[str, Mapping[str, Any]] = {
    "biogpt": {**GPT, "position_offset": 2},
    "bloom": {
        **GPT,
        "hidden": read("n_embed", "hidden_size", "n_embd"),
        "ffn": four_hidden,
        "positions": "alibi",
        "embedding_norm": True,
    },
    "codegen": {"like": "gptj"},
    "ctrl": {**GPT, "ffn": read("dff"), "positions": "sinusoidal", "stored_positions": False, "head_bias": True},
    "falcon": {
        **ROTARY,
        "hidden": read("n_embed", "hidden_size"),
        "positions": says("alibi", "alibi", "rotary"),
        "norms": falcon_norms,
        "kv_heads": falcon_groups,
        "attention_bias": biased("bias", "qkvo"),
        "ffn_bias": read("bias"),
    },
    "gpt-sw3": {"like": "gpt2"},
    "gpt2": {**GPT, "cross": asked_cross_attention},
    "gpt_bigcode": {
        "like": "gpt2",
        "kv_heads": lambda c: 1 if c.flag("multi_query") else c.number("heads"),
    },
    "gpt_neo": {**GPT, "attention_bias": "o", "mixer_kinds": alternating, "window": read("window_size")},
    "gpt_neox": {
        **ROTARY,
        "norms": says("use_parallel_residual", "parallel2", "pre"),
        "attention_bias": biased("attention_bias", "qkvo"),
    },
    "gpt_neox_japanese": {
        **ROTARY,
        "attention_bias": "",
        "ffn_bias": False,
        "ffn": lambda c: c.number("hidden") * c.number("intermediate_multiple_size"),
        "after": lambda c: (Vector(name="last_attention_bias", shape=(c.number("hidden"),), part="attention"),),
    },
    "gptj": {**ROTARY, "norms": "parallel", "attention_bias": "", "head_bias": True},
    "mpt": {
        **GPT,
        "norm": "layer_no_bias",
        "attention_bias": "",
        "ffn_bias": False,
        "ffn": four_hidden,
        "positions": "alibi",
        "context": read("max_seq_len"),
    },
    "musicgen": {"reader": language_part("musicgen_decoder", "decoder")},
    "musicgen_decoder": {"like": "musicgen_melody_decoder", "cross": cross_attention},
    "musicgen_melody": {"reader": language_part("musicgen_melody_decoder", "decoder")},
    "musicgen_melody_decoder": {
        **GPT,
        "attention_bias": "",
        "ffn_bias": False,
        "positions": "sinusoidal",
        "stored_positions": False,
        "embedding_vocab": codebook_rows,
        "head_vocab": codebooks,
        "tied": False,
    },
    "openai-gpt": {**GPT, "norms": "post", "ffn": four_hidden, "final_norm": False},
    "opt": {
        **GPT,
        "norm": opt_norm,
        "norms": says("do_layer_norm_before", "pre", "post"),
        "final_norm": lambda c: c.flag("do_layer_norm_before") and not c.flag("_remove_final_layer_norm"),
        "position_offset": 2,
        "attention_bias": biased("enable_bias", "qkvo"),
        "ffn_bias": read("enable_bias"),
        "embedding_width": opt_width,
        "embedding_extra": opt_projection("in"),
        "head_extra": opt_projection("out"),
    },
    "persimmon": {**ROTARY, "qk_norm": says("qk_layernorm")},
    "phi": {
        **ROTARY,
        "norms": "parallel",
        "kv_heads": read("num_key_value_heads"),
        "head_dim": read("head_dim"),
        "qk_norm": says("qk_layernorm"),
        "head_bias": True,
    },
    "stablelm": {
        **ROTARY,
        "gated": True,
        "norms": says("use_parallel_residual", "parallel", "pre"),
        "kv_heads": read("num_key_value_heads"),
        "attention_bias": biased("use_qkv_bias", "qkv"),
        "ffn_bias": False,
        "qk_norm": says("qk_layernorm", "layer_no_bias", None),
        "qk_norm_over": "heads",
    },
    "starcoder2": {
        **ROTARY,
        "kv_heads": read("num_key_value_heads"),
        "head_dim": read("head_dim"),
        "attention_bias": biased("use_bias", "qkvo"),
        "ffn_bias": read("use_bias"),
        "window_everywhere": True,
    },
    "xglm": {"like": "gpt2", "heads": read("attention_heads"), "positions": "sinusoidal", "stored_positions": False},
    "xlnet": {
        **GPT,
        "norms": "post",
        "attention_bias": "",
        "ffn": read("d_inner"),
        "positions": "relative",
        "context": None,
        "layer_extra": relative_positions,
        "embedding_extra": lambda c: (Vector(name="mask", shape=(c.number("hidden"),), part="embedding"),),
        "final_norm": False,
        "head_bias": True,
    },
}
