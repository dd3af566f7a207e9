"""Decoders with routed experts and an attention of their own: Llama 4, MiniMax M3, MiMo V2, JetMoE, ZAYA and others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from deepwide.architecture.experts import Experts
from deepwide.architecture.extras import Linear, Vector
from deepwide.architecture.model import Body, Small
from deepwide.architecture.parts import RMS, NormLayer
from deepwide.architecture.sparse import ConvolvedAttention, ExpertAttention, Indexer
from deepwide.errors import BadInput
from deepwide.formats.families.decoders.dense import biased
from deepwide.formats.families.decoders.moe import GLM, ONE_WIDTH
from deepwide.formats.fields import Fields, read
from deepwide.formats.readers.decoder import decoder
from deepwide.formats.readers.layer_lists import among, by_index, flags, indices, listed_kinds, per_layer
from deepwide.formats.readers.layer_patterns import Pick, dense_first, experts_where, sliding_unless
from deepwide.formats.readers.layer_sizes import Sizes, varying
from deepwide.formats.readers.layers import FULL, SLIDING, SPARSE, attention, experts, for_kinds, kv_heads
from deepwide.formats.readers.recurrent_mixers import gated_convolution

CHUNKED, BLOCK_SPARSE = "chunked_attention", "minimax_m3_sparse"
HYBRID, HYBRID_SLIDING, FIRST = "hybrid", "hybrid_sliding", "first"


def in_table(part: str, name: str, otherwise: int) -> Callable[[Fields], Any]:
    """A number inside a table of the config (DBRX)."""
    return lambda c: c.inside(part, {}).number(name, otherwise)


def gate_width(c: Fields) -> str:
    """Laguna: the output gate is one number per head, or one per channel."""
    return "head" if c("gating") in (True, "per-head") else "width"


def heads_by_layer(c: Fields) -> list[Sizes]:
    """Laguna: a number of query heads for each layer."""
    kinds = among(c, "layer_types", listed_kinds(c, "layer_types", lambda i: FULL), (FULL, SLIDING))
    if kinds is None:
        return []
    heads = per_layer(c, "num_attention_heads_per_layer", c.number("heads"))
    return [(kind, {"heads": number}) for kind, number in zip(kinds, heads, strict=False)]


def first_and_sixths(c: Fields) -> Pick:
    """MiMo V2: full in the first and in every sixth layer."""
    return lambda i: i == 0 or (i + 1) % 6 == 0


def widened_window(c: Fields) -> Any:
    """MiMo V2: the window in its own words leaves out the token itself."""
    return c("sliding_window") if c("sliding_window_size") is None else c.number("sliding_window_size") + 1


def doubled_when_sliding(c: Fields, kind: str) -> Body:
    """MiMo V2: layers with a window have twice the key/value heads, and sinks."""
    plain = attention(c, kind)
    return replace(plain, kv_heads=2 * plain.kv_heads, sinks=True) if kind == SLIDING else plain


def llama4_experts(c: Fields) -> Pick:
    """Llama 4: experts in the layers it lists, or every so many."""
    if c("moe_layers") is not None:
        chosen = frozenset(indices(c, "moe_layers"))
        return lambda i: i in chosen
    period = c.positive("interleave_moe_layer_step", 1)
    return lambda i: (i + 1) % period == 0


def chunked_layers(c: Fields) -> list[str] | None:
    """Llama 4: attention within chunks in the layers with rotary positions, full attention in the others."""
    rotary = c.listed("no_rope_layers")
    period = c.positive("no_rope_layer_interval", 4)
    found = listed_kinds(
        c, "layer_types", lambda i: CHUNKED if (rotary[i % len(rotary)] if rotary else (i + 1) % period) else FULL
    )
    return among(c, "layer_types", found, (FULL, CHUNKED))


def chunked_attention(c: Fields, kind: str) -> Body:
    """Attention within chunks: at most so many tokens back."""
    return replace(attention(c), window=c.maybe("attention_chunk_size"))


def block_sparse_layers(c: Fields) -> list[str] | None:
    """MiniMax M3: which layers read only some blocks of tokens."""
    sparse = flags(c.inside("sparse_attention_config", {}), "sparse_attention_freq", c.number("layers"))
    otherwise = (lambda i: BLOCK_SPARSE if sparse[i] else FULL) if sparse else lambda i: FULL
    return among(c, "layer_types", listed_kinds(c, "layer_types", otherwise), (FULL, BLOCK_SPARSE))


def flagged_experts(c: Fields) -> Pick:
    """MiniMax M3: experts in the layers that `moe_layer_freq` marks, or everywhere."""
    chosen = flags(c, "moe_layer_freq", c.number("layers"))
    return lambda i: bool(chosen[i]) if chosen else True


def block_attention(c: Fields, kind: str) -> Body:
    """MiniMax M3: attention over the blocks that an indexer chooses."""
    sizes = c.inside("sparse_attention_config", {})
    top = sizes.number("sparse_topk_blocks", c("index_topk_blocks"))
    return replace(attention(c), window=top * sizes.number("sparse_block_size", c("index_block_size")))


def block_indexer(c: Fields, mixer: str, ffn: str) -> tuple[Small, ...]:
    """The indexer of the layers that read only some blocks."""
    if mixer != BLOCK_SPARSE:
        return ()
    sizes = c.inside("sparse_attention_config", {})
    heads = sizes.number("sparse_num_index_heads", c("index_n_heads"))
    return (Indexer(heads=heads, dim=sizes.number("sparse_index_dim", c("index_head_dim"))),)


def convolution_or_attention(c: Fields) -> list[str] | None:
    """LFM2 MoE: the config lists which layers are short convolutions; there is no rule."""
    found = among(c, "layer_types", listed_kinds(c, "layer_types"), (FULL, "conv"))
    if found is None and isinstance(c.number("layers"), int):
        raise BadInput(f"{c.where}: layer_types is missing; list {FULL} or conv for each layer")
    return found


def mixture_of_heads(c: Fields, kind: str) -> Body:
    """JetMoE: as many experts of heads as of feed-forward networks."""
    return ExpertAttention(
        kv_heads=c.number("kv_heads"),
        head_dim=c.number("head_dim"),
        experts=c.number("experts"),
        active_experts=c.number("active_experts"),
    )


def first_apart(c: Fields) -> list[str] | None:
    """ZAYA: in the first layer the router has no earlier one to carry on from."""
    return by_index(c, lambda i: FIRST if i == 0 else SPARSE)


def zaya_layers(c: Fields) -> list[str] | None:
    """ZAYA: convolved attention everywhere, with a window where the config lists it."""
    found = listed_kinds(c, "layer_types", lambda i: HYBRID)
    return among(c, "layer_types", found, (HYBRID, HYBRID_SLIDING))


def convolved_attention(c: Fields, kind: str) -> Body:
    """ZAYA: queries and keys mixed by two short convolutions."""
    heads = c.positive("heads")
    return ConvolvedAttention(
        heads=heads,
        kv_heads=kv_heads(c, heads),
        head_dim=c.number("head_dim"),
        kernels=(c.number("cca_time0"), c.number("cca_time1")),
        bias=c.flag("attention_bias"),
        window=c.maybe("window") if kind == HYBRID_SLIDING else None,
    )


def skipping_experts(c: Fields, kind: str) -> Experts:
    """ZAYA: the router may also choose to skip the layer's experts; it has layers of its own before it."""
    plain = experts(c, kind)
    return replace(plain, router_outputs=plain.experts + 1, router_inputs=c.number("router_hidden_size"))


def scaled_residuals(c: Fields, mixer: str, ffn: str) -> tuple[Small, ...]:
    """ZAYA: the router's own layers, and a scale and a shift for both sides of each residual sum."""
    width, hidden = c.number("router_hidden_size"), c.number("hidden")
    router: tuple[Small, ...] = (
        Linear(name="router_down", outputs=width, bias=True, part="router"),
        NormLayer(norm=RMS, name="router_norm", width=width),
        Linear(name="router_1", inputs=width, outputs=width, bias=True, part="router"),
        Linear(name="router_2", inputs=width, outputs=width, bias=True, part="router"),
    )
    if ffn != FIRST:
        router = (*router, Vector(name="router_carry", shape=(width,), part="router"))
    return (*router, *(Vector(name=f"residual_{role}", shape=(4, hidden)) for role in ("attention", "ffn")))


FAMILIES: dict[str, Mapping[str, Any]] = {
    "llama4_text": {
        "reader": decoder,
        "expert_ffn": read("intermediate_size"),
        "ffn": read("intermediate_size_mlp"),
        "shared_ffn": read("intermediate_size"),
        "attention_bias": biased("attention_bias", "qkvo"),
        "mixer_kinds": chunked_layers,
        "mixers": {CHUNKED: chunked_attention},
        "ffn_kinds": experts_where(llama4_experts),
    },
    "mimo_v2_flash": {
        **GLM,
        "qk_norm": None,
        "value_dim": read("v_head_dim"),
        "window": widened_window,
        "mixer_kinds": sliding_unless(first_and_sixths),
        "mixers": {SLIDING: doubled_when_sliding},
        "ffn_kinds": dense_first(),
        "shared_ffn": 0,
    },
    "minimax_m3_vl_text": {
        "expert_ffn": read("intermediate_size"),
        "reader": decoder,
        "qk_norm": True,
        "ffn": read("dense_intermediate_size"),
        "shared_ffn": read("shared_intermediate_size"),
        "mixer_kinds": block_sparse_layers,
        "mixers": {BLOCK_SPARSE: block_attention},
        "layer_extra": for_kinds(block_indexer),
        "ffn_kinds": experts_where(flagged_experts),
    },
    "laguna": {
        "like": "kolibri1",
        "attention_bias": biased("attention_bias", "qkvo"),
        "attention_gate": gate_width,
        "norms": "pre",
        "balance": True,
        "ffn_kinds": dense_first(),
        **varying(attention, heads_by_layer),
    },
    "dbrx": {
        "reader": decoder,
        "norm": "layer_no_bias",
        "tied": False,
        "head_dim": None,
        "kv_heads": in_table("attn_config", "kv_n_heads", 1),
        "expert_ffn": in_table("ffn_config", "ffn_hidden_size", 3584),
        "experts": in_table("ffn_config", "moe_num_experts", 4),
        "active_experts": in_table("ffn_config", "moe_top_k", 1),
    },
    "lfm2_moe": {
        "reader": decoder,
        "tied": read("tie_embedding", "tie_word_embeddings"),
        "qk_norm": True,
        "mixer_kinds": convolution_or_attention,
        "mixers": {"conv": gated_convolution},
        "kernel": read("conv_L_cache"),
        "ffn_kinds": dense_first("num_dense_layers"),
        "shared_ffn": 0,
    },
    "jetmoe": {
        "reader": decoder,
        **ONE_WIDTH,
        "mixers": {FULL: mixture_of_heads},
        "expert_output_bias": True,
    },
    "zaya": {
        "reader": decoder,
        "head_bias": read("lm_head_bias"),
        "attention_bias": read("attention_bias"),
        "mixer_kinds": zaya_layers,
        "mixers": {HYBRID: convolved_attention, HYBRID_SLIDING: convolved_attention},
        "ffn_kinds": first_apart,
        "ffns": {FIRST: skipping_experts, SPARSE: skipping_experts},
        "layer_extra": for_kinds(scaled_residuals),
        "embedding_extra": lambda c: (Vector(name="scale_and_shift", shape=(2, c.number("hidden"))),),
    },
}
