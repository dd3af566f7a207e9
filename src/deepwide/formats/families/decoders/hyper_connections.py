"""Decoders whose residual is several streams, mixed by small learned weights: DeepSeek-V4, Hunyuan V4, Qwen4.

Hyper-connections (arXiv:2409.19606; held to a manifold in arXiv:2512.24880): every block reads one mix of the
streams and writes to all of them; a last mix joins them before the head.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from deepwide.architecture.attention import Attention
from deepwide.architecture.extras import Linear, Vector
from deepwide.architecture.model import Small
from deepwide.architecture.parts import RMS, NormLayer
from deepwide.architecture.sparse import CompressedAttention, Indexer
from deepwide.errors import BadInput
from deepwide.formats.families.decoders.dense import biased
from deepwide.formats.families.decoders.latent import CHOOSES, DSA, SHARES, indexed, latent
from deepwide.formats.fields import Fields, read, short
from deepwide.formats.readers.decoder import decoder
from deepwide.formats.readers.layer_lists import INDEXED, among, by_index, listed_kinds
from deepwide.formats.readers.layer_patterns import dense_first
from deepwide.formats.readers.layers import FULL, LINEAR, SLIDING, SPARSE, attention, for_kinds
from deepwide.formats.readers.ngram_tables import ngram_layers, ngram_parts
from deepwide.formats.readers.recurrent_mixers import DELTA_FIELDS, gated_delta
from deepwide.formats.readers.text_only import language_part

NGRAMS = f"{LINEAR}_ngrams_"  # a layer of Qwen4 with tables of n-grams, and which of them it is
COMPRESSED, HEAVILY = "compressed_sparse_attention", "heavily_compressed_attention"
BY_RATE = {0: SLIDING, 4: COMPRESSED, 128: HEAVILY}  # how DeepSeek-V4's first configs name the kinds of layers
# Tokens to a summed key unless the config says otherwise, and the field of its first configs that does.
RATES = {COMPRESSED: ("compress_rate_csa", 4), HEAVILY: ("compress_rate_hca", 128)}


def mixed_streams(weights: Callable[[int], int], scales: int) -> Any:
    """Before attention and before the network: mixing weights from all streams at once, and a few scales."""

    def extra(c: Fields) -> tuple[Small, ...]:
        streams, hidden = c.positive("hc_mult", 4), c.number("hidden")
        return tuple(
            part
            for role in ("attention", "ffn")
            for part in (
                Linear(name=f"{role}_streams", inputs=streams * hidden, outputs=weights(streams), bias=True),
                Vector(name=f"{role}_streams_scale", shape=(scales,)),
            )
        )

    return extra


def joined_streams(c: Fields) -> tuple[Small, ...]:
    """The last mix: one weight per stream."""
    streams = c.positive("hc_mult", 4)
    mix = Linear(name="join_streams", inputs=streams * c.number("hidden"), outputs=streams, bias=True)
    return (mix, Vector(name="join_streams_scale", shape=(1,)))


def compressed_attention(c: Fields, kind: str) -> CompressedAttention:
    """DeepSeek-V4's attention: a window, and sums of 4 tokens of which some are chosen, or of 128 that are all read."""
    heads, head_dim, groups = c.number("heads"), c.number("head_dim"), c.positive("o_groups", 8)
    if isinstance(heads, int) and isinstance(head_dim, int) and (heads < 1 or heads * head_dim % groups):
        raise BadInput(f"{c.where}: o_groups={groups} must divide num_attention_heads * head_dim={heads * head_dim}")
    chooses = kind == COMPRESSED
    return CompressedAttention(
        heads=heads,
        head_dim=head_dim,
        query_rank=c.number("q_lora_rank"),
        groups=groups,
        output_rank=c.number("o_lora_rank"),
        window=c.number("window"),
        rate=_rate(c, kind) if kind in RATES else None,
        spans=2 if chooses else 1,
        indexer_heads=c.number("index_n_heads") if chooses else None,
        indexer_dim=c.number("index_head_dim") if chooses else 0,
        indexer_top=c.number("index_topk") if chooses else None,
    )


def _rate(c: Fields, kind: str) -> Any:
    """Tokens to a summed key."""
    older, usual = RATES[kind]
    given = c.inside("compress_rates", {})
    return c.positive(older, 1) if c(older) is not None else given.positive(kind, usual)


def compressed_kinds(c: Fields) -> list[str] | None:
    """DeepSeek-V4: two layers of heavy sums, then light and heavy ones in turn, unless listed."""
    found = listed_kinds(c, "layer_types", lambda i: COMPRESSED if i > 2 and i % 2 else HEAVILY)
    return among(c, "layer_types", found, (SLIDING, COMPRESSED, HEAVILY))


def listed_or_by_rate(c: Fields) -> Any:
    """DeepSeek-V4: the kinds of the layers, or how many tokens each sums."""
    found, rates = c.config.get("layer_types"), c("compress_ratios")
    if found is not None or not isinstance(rates, list | tuple):
        return found or []
    for rate in rates:
        if rate not in (0, 4, 128):
            raise BadInput(f"{c.where}: compress_ratios has {short(rate)}; expected 0, 4 or 128")
    return [BY_RATE[rate] for rate in rates]


def hunyuan_choices(c: Fields) -> list[str] | None:
    """Hunyuan V4: an indexer in the first layer and every fourth from the second on."""
    found = listed_kinds(c, "indexer_types", lambda i: CHOOSES if i == 0 or (i - 1) % 4 == 0 else SHARES)
    return among(c, "indexer_types", found, (CHOOSES, SHARES))


def qwen4_layers(c: Fields) -> list[str] | None:
    """Qwen4: linear attention but in every fourth layer; each layer with tables of n-grams is a kind of its own."""
    period = c.positive("full_attention_interval", 4)
    found = listed_kinds(c, "layer_types", lambda i: LINEAR if (i + 1) % period else INDEXED)
    if found is not None and FULL in found:
        found = [INDEXED if kind == FULL else kind for kind in found]
    found = among(c, "layer_types", found, (LINEAR, INDEXED))
    if not found:
        return found
    for index, layer in enumerate(ngram_layers(c)):
        if not 1 <= layer <= len(found) or found[layer - 1] != LINEAR:
            raise BadInput(f"{c.where}: ple_layer_ids has {layer}; expected layers of {LINEAR}, counted from 1")
        found[layer - 1] = f"{NGRAMS}{index}"
    return found


def linear_or_indexed(c: Fields) -> dict[str, Any]:
    """Qwen4: what builds each kind of layer."""
    tables = {f"{NGRAMS}{index}": gated_delta for index in range(len(ngram_layers(c)))}
    return {LINEAR: gated_delta, INDEXED: indexed_attention, FULL: indexed_attention, **tables}


def indexed_attention(c: Fields, kind: str) -> Attention:
    """Qwen4: gated attention over the tokens that an indexer chooses."""
    return replace(attention(c), window=c.number("indexer_budget"))


def low_rank_streams(c: Fields, mixer: str, ffn: str) -> tuple[Small, ...]:
    """Qwen4, before each block: a norm over all streams, a narrow mix of them, and weights for writing back."""
    streams, hidden = c.positive("hc_count", 4), c.number("hidden")
    extra: list[Small] = []
    for role in ("attention", "ffn"):
        extra.extend(_mix(c, f"{role}_streams"))
        extra.append(Linear(name=f"{role}_streams_write", inputs=streams * hidden, outputs=streams))
    if mixer in (INDEXED, FULL):
        extra.append(Indexer(heads=c.number("indexer_n_heads"), dim=c.number("indexer_head_dim")))
        if c.text("attention_bias"):
            width = c.number("heads") * c.number("head_dim")
            extra.append(Vector(name="attention_gate_bias", shape=(width,), part="attention"))
    if mixer.startswith(NGRAMS):
        extra.extend(ngram_parts(c, int(mixer.removeprefix(NGRAMS)), streams * hidden))
    return tuple(extra)


def _mix(c: Fields, name: str) -> tuple[Small, ...]:
    """A norm over all streams, and a mix of them through a narrow middle."""
    width, rank = c.positive("hc_count", 4) * c.number("hidden"), c.number("hc_lowrank")
    return (
        NormLayer(norm=RMS, name=f"{name}_norm", width=width),
        Linear(name=f"{name}_down", inputs=width, outputs=rank),
        Linear(name=f"{name}_up", inputs=rank, outputs=width),
    )


FAMILIES: dict[str, Mapping[str, Any]] = {
    "deepseek_v4": {
        "reader": decoder,
        "expert_ffn": read("intermediate_size", "moe_intermediate_size"),
        "shared_ffn": read("intermediate_size", "moe_intermediate_size"),
        "ffn_bias": read("mlp_bias"),
        "layer_types": listed_or_by_rate,
        "mixer_kinds": compressed_kinds,
        "mixers": dict.fromkeys((FULL, SLIDING, COMPRESSED, HEAVILY), compressed_attention),
        "ffn_kinds": lambda c: by_index(c, lambda i: SPARSE),
        "layer_extra": mixed_streams(lambda streams: (2 + streams) * streams, scales=3),
        "after": joined_streams,
    },
    "hy_v4": {
        **DSA,
        "experts": read("n_routed_experts", "num_local_experts"),
        "sinks": True,
        "latent_gate": "width",
        "mixer_kinds": hunyuan_choices,
        "mixers": {FULL: indexed, CHOOSES: latent, SHARES: latent},
        "ffn_kinds": dense_first(),
        "layer_extra": mixed_streams(lambda streams: 2 * streams, scales=2),
        "after": joined_streams,
    },
    "qwen4_exp": {"reader": language_part("qwen4_exp_text", "text_config")},
    "qwen4_exp_text": {
        "reader": decoder,
        **DELTA_FIELDS,
        "norms": "none",
        "final_norm": False,
        "attention_bias": biased("attention_bias", "qkvo"),
        "attention_gate": "width",
        "qk_norm": True,
        "mixer_kinds": qwen4_layers,
        "mixers": linear_or_indexed,
        "ffn_kinds": lambda c: by_index(c, lambda i: SPARSE),
        "shared_ffn": read("shared_expert_intermediate_size"),
        "shared_gate": True,
        "layer_extra": for_kinds(low_rank_streams),
        "after": lambda c: _mix(c, "join_streams"),
    },
}
