"""Decoders that mix attention with state spaces, short convolutions or recurrences.

Jamba, Bamba, Falcon-H1, Granite 4, Nemotron-H; LFM2 and 3; RecurrentGemma.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from deepwide.architecture.composite import Beside
from deepwide.architecture.experts import Experts
from deepwide.architecture.extras import Linear
from deepwide.architecture.ffn import FeedForward
from deepwide.architecture.model import Small
from deepwide.architecture.recurrent import GatedRecurrence
from deepwide.errors import BadInput
from deepwide.formats.families.decoders.dense import biased
from deepwide.formats.fields import Fields, read, says
from deepwide.formats.readers.decoder import decoder
from deepwide.formats.readers.layer_lists import among, by_index, listed_kinds
from deepwide.formats.readers.layer_patterns import (
    among_indices,
    attention_by_rule,
    attention_where,
    everywhere,
    experts_by_rule,
    nowhere,
    offset_in,
)
from deepwide.formats.readers.layers import DENSE, FULL, LINEAR, SLIDING, attention, experts, feed_forward, for_kinds
from deepwide.formats.readers.recurrent_mixers import divides, gated_convolution, mamba, mamba2, no_ffn

CONV, MOE, MLP = "conv", "moe", "mlp"
LETTERS = {"M": LINEAR, "E": MOE, "*": FULL, "-": MLP}  # Nemotron-H's layers as letters of a word


def side_by_side(c: Fields, kind: str) -> Beside:
    """Falcon-H1: attention and a state space side by side in every layer."""
    return Beside(mixers=(attention(c), mamba2(c)))


def shared_network(c: Fields, kind: str) -> FeedForward:
    """Granite 4 without experts: the shared network is all there is."""
    return replace(feed_forward(c), ffn=c.number("shared_ffn"), name="shared")


def one_each(c: Fields) -> list[str] | None:
    """Nemotron-H: one mixer or one network per layer."""
    return among(c, "layers_block_type", listed_kinds(c, "layer_types"), tuple(LETTERS.values()))


def lettered(c: Fields) -> Any:
    """Nemotron-H's layers: listed, or the letters of a word; a layer of each kind where the config has neither."""
    listed, word = c("layers_block_type", c.config.get("layer_types")), c("hybrid_override_pattern")
    if listed is not None:
        return listed
    return [LETTERS.get(letter, letter) for letter in word] if isinstance(word, str) else list(LETTERS.values())


def latent_experts(c: Fields, kind: str) -> Experts:
    """Nemotron-H: experts, which may work in a narrower space than the stream."""
    return replace(experts(c), width=c.maybe("moe_latent_size"))


def latent_projections(c: Fields, mixer: str, ffn: str) -> tuple[Small, ...]:
    """Nemotron-H: the way into the experts' space and back."""
    width, bias = c.maybe("moe_latent_size"), c.flag("ffn_bias")
    if mixer != MOE or width is None:
        return ()
    return (
        Linear(name="latent_down", outputs=width, bias=bias, part="ffn"),
        Linear(name="latent_up", inputs=width, bias=bias, part="ffn"),
    )


def recurrence(c: Fields, kind: str) -> GatedRecurrence:
    """RecurrentGemma's recurrent unit, as wide as the hidden size unless given."""
    width = c.number("lru_width", c.number("hidden"))
    heads = divides(c, "heads", width, "width of the unit")
    return GatedRecurrence(inner=width, heads=heads, kernel=c.number("kernel"))


def windowed_attention(c: Fields, kind: str) -> Any:
    """RecurrentGemma's attention: always through a window."""
    return attention(c, SLIDING)


def repeated_blocks(c: Fields) -> list[str] | None:
    """RecurrentGemma: a short list of block types, repeated; everything but "recurrent" is attention."""
    types = c.listed("block_types")
    if not types:
        raise BadInput(f"{c.where}: block_types must list at least one type")
    return by_index(c, lambda i: LINEAR if types[i % len(types)] == "recurrent" else FULL)


def adjusted_ffn(c: Fields) -> Any:
    """LFM2: two thirds of the width given, times a factor, rounded up to a multiple."""
    given = c.raw("block_ff_dim")
    width = c.checked("block_ff_dim", given) if isinstance(given, int | float) else c.number("intermediate_size")
    if not c.flag("block_auto_adjust_ff_dim", True):
        return width
    width, scale, multiple = 2 * width // 3, c.raw("block_ffn_dim_multiplier"), c.number("block_multiple_of", 256)
    if isinstance(scale, int | float) and 0 < scale < 1000:
        width, multiple = int(scale * width), max(multiple, 1)
        width = (width + multiple - 1) // multiple * multiple
    return width


QKVO = biased("attention_bias", "qkvo")
MAMBA_FIELDS = {
    "expand": read("mamba_expand"),
    "state": read("mamba_d_state"),
    "kernel": read("mamba_d_conv"),
    "state_bias": read("mamba_proj_bias"),
    "conv_bias": read("mamba_conv_bias"),
}
MAMBA2_FIELDS = {
    **MAMBA_FIELDS,
    "state_heads": read("mamba_n_heads"),
    "state_head_dim": read("mamba_d_head"),
    "groups": read("mamba_n_groups"),
    "chunk": read("mamba_chunk_size"),
}
LFM = {
    "reader": decoder,
    "layer_types": read("layer_types"),
    "kernel": read("conv_L_cache"),
    "qk_norm": True,
    "tied": read("tie_embedding", "tie_word_embeddings"),
    "mixers": {CONV: gated_convolution},
}

FAMILIES: dict[str, Mapping[str, Any]] = {
    "jamba": {
        "reader": decoder,
        **MAMBA_FIELDS,
        "positions": "none",
        "step_rank": read("mamba_dt_rank"),
        "inner_norm": True,
        "expert_ffn": read("intermediate_size"),
        "mixers": {LINEAR: mamba},
        "mixer_kinds": attention_by_rule(offset_in("attn_layer_period", "attn_layer_offset"), LINEAR),
        "ffn_kinds": experts_by_rule(offset_in("expert_layer_period", "expert_layer_offset"), least=2),
    },
    "bamba": {
        "reader": decoder,
        **MAMBA2_FIELDS,
        "attention_bias": QKVO,
        "ffn_bias": read("mlp_bias"),
        "mixers": {LINEAR: mamba2},
        "mixer_kinds": attention_by_rule(among_indices("attn_layer_indices"), LINEAR),
    },
    "falcon_h1": {
        "reader": decoder,
        **MAMBA2_FIELDS,
        "inner": read("mamba_d_ssm"),
        "inner_norm": read("mamba_rms_norm", otherwise=False),
        "state_output_bias": read("projectors_bias", otherwise=False),
        "attention_bias": QKVO,
        "ffn_bias": read("mlp_bias"),
        "mixers": {FULL: side_by_side},
    },
    "granitemoehybrid": {
        "reader": decoder,
        **MAMBA2_FIELDS,
        "layer_types": read("layers_block_type", "layer_types"),
        "experts": read("num_local_experts"),
        "attention_bias": QKVO,
        "expert_ffn": read("intermediate_size"),
        "shared_ffn": read("shared_intermediate_size"),
        "mixers": {LINEAR: mamba2},
        "mixer_kinds": attention_where(nowhere, LINEAR),
        "ffns": {DENSE: shared_network},
        "ffn_kinds": experts_by_rule(everywhere),
    },
    "nemotron_h": {
        "reader": decoder,
        "layers": lambda c: len(c.listed("layer_types")),
        "inner": lambda c: c.number("state_heads") * c.number("mamba_head_dim"),
        "state": read("ssm_state_size"),
        "state_heads": read("mamba_num_heads"),
        "groups": read("mamba_n_groups", "n_groups"),
        "kernel": read("mamba_d_conv", "conv_kernel"),
        "chunk": read("mamba_chunk_size", "chunk_size"),
        "state_bias": read("use_bias"),
        "conv_bias": read("mamba_conv_bias", "use_conv_bias"),
        "layer_types": lettered,
        "head_dim": read("head_dim"),
        "positions": "none",
        "gated": False,
        "ffn_bias": read("mlp_bias"),
        "shared_ffn": read("moe_shared_expert_intermediate_size"),
        "tied": False,
        "mixers": {LINEAR: mamba2, MOE: latent_experts, MLP: feed_forward},
        "mixer_kinds": one_each,
        "ffns": {DENSE: no_ffn},
        "layer_extra": for_kinds(latent_projections),
    },
    "lfm2": {
        **LFM,
        "ffn": adjusted_ffn,
        "mixer_kinds": attention_where(among_indices("full_attn_idxs", otherwise=True), CONV),
    },
    "lfm3": {
        **LFM,
        "attention_bias": QKVO,
        "attention_gate": says("use_attention_gate", "head", "", otherwise=True),
        "norms": says("use_sandwich_norm", "sandwich", "pre", otherwise=True),
        "mixer_kinds": lambda c: among(
            c,
            "layer_types",
            listed_kinds(c, "layer_types", lambda i: FULL if i % 4 == 2 else SLIDING if i and i % 4 == 0 else CONV),
            (CONV, FULL, SLIDING),
        ),
    },
    "recurrent_gemma": {
        "reader": decoder,
        "attention_bias": lambda c: "qkvo" if c.raw("attention_bias") is True else "o",
        "head_dim": read("head_dim"),
        "ffn": lambda c: c.number("intermediate_size") // 2,
        "ffn_bias": True,
        "window": read("attention_window_size"),
        "kernel": read("conv1d_width"),
        "mixers": {LINEAR: recurrence, FULL: windowed_attention},
        "mixer_kinds": repeated_blocks,
    },
}
