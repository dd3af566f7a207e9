"""Decoders whose residual is several streams, mixed by small learned weights: DeepSeek-V4, Hunyuan V4, Qwen4.

Hyper-connections (arXiv:2409.19606; held to a manifold in arXiv:2512.24880): every block reads one mix of the
streams and writes to all of them; a last mix joins them before the head.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from deepwide.architecture.attention import Attention
from deepwide.architecture.extras import Convolution, Linear, Table, Vector
from deepwide.architecture.linear import DeltaNet
from deepwide.architecture.model import Small
from deepwide.architecture.parts import RMS, NormLayer
from deepwide.architecture.sparse import CompressedAttention, Indexer
from deepwide.errors import BadInput
from deepwide.formats.families.decoders.dense import biased
from deepwide.formats.families.decoders.latent import CHOOSES, DSA, SHARES, indexed, latent
from deepwide.formats.fields import Fields, read
from deepwide.formats.readers.decoder import decoder
from deepwide.formats.readers.layers import FULL, LINEAR, SLIDING, SPARSE, attention, listed_kinds
from deepwide.formats.readers.patterns import (
    INDEXED,
    MOST_VARIANTS,
    among,
    by_index,
    dense_first,
    for_kinds,
    indices,
    step,
)
from deepwide.formats.readers.primes import primes_from

NGRAMS = f"{LINEAR}_ngrams_"  # a layer of Qwen4 with tables of n-grams, and which of them it is
MOST_TABLES = 4096  # far above any published model; bounds the search for primes
COMPRESSED, HEAVILY = "compressed_sparse_attention", "heavily_compressed_attention"
BY_RATE = {0: SLIDING, 4: COMPRESSED, 128: HEAVILY}  # how DeepSeek-V4's first configs name the kinds of layers
# Tokens to a summed key unless the config says otherwise, and the field of its first configs that does.
RATES = {COMPRESSED: ("compress_rate_csa", 4), HEAVILY: ("compress_rate_hca", 128)}


def mixed_streams(weights: Callable[[int], int], scales: int) -> Any:
    """Before attention and before the network: mixing weights from all streams at once, and a few scales."""

    def extra(c: Fields) -> tuple[Small, ...]:
        streams, hidden = step(c, "hc_mult", 4), c.number("hidden")
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
    streams = step(c, "hc_mult", 4)
    mix = Linear(name="join_streams", inputs=streams * c.number("hidden"), outputs=streams, bias=True)
    return (mix, Vector(name="join_streams_scale", shape=(1,)))


def compressed(c: Fields, kind: str) -> CompressedAttention:
    """DeepSeek-V4's attention: a window, and sums of 4 tokens of which some are chosen, or of 128 that are all read."""
    heads, head_dim, groups = c.number("heads"), c.number("head_dim"), step(c, "o_groups", 8)
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


def _rate(c: Fields, kind: str) -> int:
    """Tokens to a summed key."""
    older, usual = RATES[kind]
    given = c.inside("compress_rates", {})
    return step(c, older, 1) if c(older) is not None else step(given, kind, usual)


def compressed_kinds(c: Fields) -> list[str] | None:
    """Two layers of heavy sums, then light and heavy ones in turn, unless listed."""
    found = listed_kinds(c, "layer_types", lambda i: COMPRESSED if i > 2 and i % 2 else HEAVILY)
    return among(c, "layer_types", found, (SLIDING, COMPRESSED, HEAVILY))


def listed_or_by_rate(c: Fields) -> Any:
    """The kinds of the layers, or how many tokens each sums."""
    found, rates = c.config.get("layer_types"), c("compress_ratios")
    if found is not None or not isinstance(rates, list | tuple):
        return found or []
    for rate in rates:
        if rate not in (0, 4, 128):
            raise BadInput(f"{c.where}: compress_ratios has {str(rate)[:40]}; expected 0, 4 or 128")
    return [BY_RATE[rate] for rate in rates]


def usual_choices(c: Fields) -> list[str] | None:
    """Hunyuan V4: an indexer in the first layer and every fourth from the second on."""
    found = listed_kinds(c, "indexer_types", lambda i: CHOOSES if i == 0 or (i - 1) % 4 == 0 else SHARES)
    return among(c, "indexer_types", found, (CHOOSES, SHARES))


def interleaved(c: Fields) -> list[str] | None:
    """Qwen4: linear attention but in every fourth layer; each layer with tables of n-grams is a kind of its own."""
    period = step(c, "full_attention_interval", 4)
    found = listed_kinds(c, "layer_types", lambda i: LINEAR if (i + 1) % period else INDEXED)
    if found is not None and FULL in found:
        found = [INDEXED if kind == FULL else kind for kind in found]
    found = among(c, "layer_types", found, (LINEAR, INDEXED))
    for index, layer in enumerate(_ngram_layers(c) if found else ()):
        if not 1 <= layer <= len(found or ()) or (found or [])[layer - 1] != LINEAR:
            raise BadInput(f"{c.where}: ple_layer_ids has {layer}; expected layers of {LINEAR}, counted from 1")
        (found or [])[layer - 1] = f"{NGRAMS}{index}"
    return found


def _ngram_layers(c: Fields) -> list[int]:
    """The layers with tables of n-grams, counted from 1."""
    layers = sorted(set(indices(c, "ple_layer_ids")))
    if len(layers) > MOST_VARIANTS:
        raise BadInput(f"{c.where}: ple_layer_ids has {len(layers)} entries, more than {MOST_VARIANTS}")
    return layers


def linear_or_indexed(c: Fields) -> dict[str, Any]:
    """What builds each kind of layer."""
    tables = {f"{NGRAMS}{index}": delta for index in range(len(_ngram_layers(c)))}
    return {LINEAR: delta, INDEXED: indexed_attention, FULL: indexed_attention, **tables}


def delta(c: Fields, kind: str) -> DeltaNet:
    """The gated delta rule."""
    return DeltaNet(
        key_heads=c.number("linear_num_key_heads"),
        value_heads=c.number("linear_num_value_heads"),
        key_dim=c.number("linear_key_head_dim"),
        value_dim=c.number("linear_value_head_dim"),
        kernel=c.number("linear_conv_kernel_dim"),
    )


def indexed_attention(c: Fields, kind: str) -> Attention:
    """Gated attention over the tokens that an indexer chooses."""
    return replace(attention(c), window=c.number("indexer_budget"))


def low_rank_streams(c: Fields, mixer: str, ffn: str) -> tuple[Small, ...]:
    """Before each block: a norm over all streams, a narrow mix of them, and weights for writing back."""
    streams, hidden = step(c, "hc_count", 4), c.number("hidden")
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
        extra.extend(_ngrams(c, int(mixer.removeprefix(NGRAMS))))
    return tuple(extra)


def _mix(c: Fields, name: str) -> tuple[Small, ...]:
    """A norm over all streams, and a mix of them through a narrow middle."""
    width, rank = step(c, "hc_count", 4) * c.number("hidden"), c.number("hc_lowrank")
    return (
        NormLayer(norm=RMS, name=f"{name}_norm", width=width),
        Linear(name=f"{name}_down", inputs=width, outputs=rank),
        Linear(name=f"{name}_up", inputs=rank, outputs=width),
    )


def _ngrams(c: Fields, index: int) -> tuple[Small, ...]:
    """Tables of n-grams read by hash, a prime number of rows for each head; keys and values from what they say."""
    dim, rows = _ngram_table(c, index)
    width, embed = step(c, "hc_count", 4) * c.number("hidden"), c.number("ple_embed_dim", c.number("hidden"))
    return (
        Table(name="ngrams", rows=rows, width=dim),
        Linear(name="ngram_key", inputs=embed, outputs=width),
        Linear(name="ngram_value", inputs=embed),
        *(NormLayer(norm=RMS, name=f"ngram_{role}_norm", width=width) for role in ("key", "query", "convolution")),
        Convolution(name="ngram_convolution", channels=width, kernel=c.number("ple_conv_kernel_size")),
    )


def _ngram_table(c: Fields, index: int) -> tuple[int, int]:
    """Width and rows of the `index`-th table: the primes from `ngram_vocab_size_base` on, one per head, padded."""
    heads = (c.number("ngram_size") - 1) * c.number("heads_per_ngram")
    embed = c.number("ple_embed_dim", c.number("hidden"))
    if heads < 1 or embed % heads or heads * (index + 1) > MOST_TABLES:
        raise BadInput(
            f"{c.where}: (ngram_size - 1) * heads_per_ngram={heads} must divide ple_embed_dim={embed}, "
            f"and all heads together be at most {MOST_TABLES}"
        )
    sizes = primes_from(c.number("ngram_vocab_size_base"), heads * (index + 1))[heads * index :]
    multiple = step(c, "make_ngram_vocab_size_divisible_by", 1)
    return embed // heads, -(-sum(sizes) // multiple) * multiple


FAMILIES: dict[str, Mapping[str, Any]] = {
    "deepseek_v4": {
        "reader": decoder,
        "expert_ffn": read("intermediate_size", "moe_intermediate_size"),
        "shared_ffn": read("intermediate_size", "moe_intermediate_size"),
        "ffn_bias": read("mlp_bias"),
        "layer_types": listed_or_by_rate,
        "mixer_kinds": compressed_kinds,
        "mixers": dict.fromkeys((FULL, SLIDING, COMPRESSED, HEAVILY), compressed),
        "ffn_kinds": lambda c: by_index(c, lambda i: SPARSE),
        "layer_extra": mixed_streams(lambda streams: (2 + streams) * streams, scales=3),
        "after": joined_streams,
    },
    "hy_v4": {
        **DSA,
        "experts": read("n_routed_experts", "num_local_experts"),
        "sinks": True,
        "latent_gate": "width",
        "mixer_kinds": usual_choices,
        "mixers": {FULL: indexed, CHOOSES: latent, SHARES: latent},
        "ffn_kinds": dense_first(),
        "layer_extra": mixed_streams(lambda streams: 2 * streams, scales=2),
        "after": joined_streams,
    },
    "qwen4_exp_text": {
        "reader": decoder,
        "norms": "none",
        "final_norm": False,
        "attention_bias": biased("attention_bias", "qkvo"),
        "attention_gate": "width",
        "qk_norm": True,
        "mixer_kinds": interleaved,
        "mixers": linear_or_indexed,
        "ffn_kinds": lambda c: by_index(c, lambda i: SPARSE),
        "shared_ffn": read("shared_expert_intermediate_size"),
        "shared_gate": True,
        "layer_extra": for_kinds(low_rank_streams),
        "after": lambda c: _mix(c, "join_streams"),
    },
}
