"""Decoders with latent attention: DeepSeek-V2, V3, V3.2 and their kin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from deepwide.architecture.experts import Experts
from deepwide.architecture.extras import Linear
from deepwide.architecture.latent import LatentAttention
from deepwide.architecture.model import Architecture, Branch, Layer, Run, Small, Stack
from deepwide.architecture.parts import RMS, NormLayer
from deepwide.errors import BadInput
from deepwide.formats.fields import PER_LAYER, Fields, read
from deepwide.formats.readers.assembled import assembled
from deepwide.formats.readers.decoder import decoder, embedding, head
from deepwide.formats.readers.layer_lists import INDEXED, among, listed_kinds
from deepwide.formats.readers.layer_patterns import dense_first, dense_first_then_every, experts_where
from deepwide.formats.readers.layer_sizes import Sizes, fields_by_layer, varying
from deepwide.formats.readers.layers import FULL, SLIDING, SPARSE, experts, feed_forward, for_kinds
from deepwide.formats.readers.text_only import language_part

CHOOSES, SHARES = "full", "shared"  # how configs name layers with an indexer, and those that reuse an earlier choice
PATTERN = {"F": CHOOSES, "S": SHARES}  # the same as letters of a word
# What a layer of dots.note may have of its own, in the project's words.
OWN = {
    "num_attention_heads": "heads",
    "q_lora_rank": "query_rank",
    "kv_lora_rank": "kv_rank",
    "qk_nope_head_dim": "nope_dim",
    "qk_rope_head_dim": "rope_dim",
    "v_head_dim": "value_dim",
    "attention_bias": "latent_bias",
    "sliding_window": "window",
}


def latent(c: Fields, kind: str = FULL) -> LatentAttention:
    """Latent attention, over the tokens that an indexer chooses where `kind` says so."""
    chooses = kind in (INDEXED, CHOOSES)
    return LatentAttention(
        heads=c.positive("heads"),
        query_rank=c.number("query_rank") if chooses else c.maybe("query_rank"),
        kv_rank=c.number("kv_rank"),
        nope_dim=c.number("nope_dim"),
        rope_dim=c.number("rope_dim"),
        value_dim=c.number("value_dim"),
        bias=c.flag("latent_bias"),
        output_bias=c.flag("latent_bias"),
        indexer_heads=c.number("index_n_heads") if chooses else None,
        indexer_dim=c.number("index_head_dim") if chooses else 0,
        indexer_top=c.number("index_topk") if chooses or kind == SHARES else None,
        window=c.maybe("window") if kind == SLIDING else None,
        rope_norm=c.flag("rope_norm"),
        sinks=c.flag("sinks"),
        gate=c.text("latent_gate"),
    )


def indexed(c: Fields, kind: str = FULL) -> LatentAttention:
    """Latent attention with an indexer in every layer."""
    return latent(c, INDEXED)


def value_dim(c: Fields) -> Any:
    """MiniCPM3: values as wide as a head of the hidden size, unless given."""
    return c.divided("hidden", "heads") if c("v_head_dim") is None else c("v_head_dim")


def shared_choices(c: Fields) -> list[str] | None:
    """GLM-5: an indexer in some layers; which, is a list, a word with a letter for each, or every so many."""
    period, offset = max(1, c.number("index_topk_freq", 1)), c.number("index_skip_topk_offset", 2)
    found = listed_kinds(c, "indexer_types", lambda i: SHARES if max(i - offset + 1, 0) % period else CHOOSES)
    return among(c, "indexer_types", found, (CHOOSES, SHARES))


def spelled_choices(c: Fields) -> Any:
    """GLM-5: the list itself, or the word spelled out."""
    found, word = c.config.get("indexer_types"), c("index_topk_pattern")
    if found is None and isinstance(word, str):
        return [PATTERN.get(letter, letter) for letter in word]
    return (word or []) if found is None else found


def dots_layers(c: Fields) -> list[Sizes]:
    """dots.note: layers with an indexer, and layers with a window that have sizes of their own."""
    kinds = _dots_kinds(c)
    if kinds is None:
        return []
    given = fields_by_layer(c)
    if given is None:
        sliding = _sliding_sizes(c)
        return [(kind, sliding if kind == SLIDING else {}) for kind in kinds]
    own = {i: {OWN.get(k, k): v for k, v in values.items()} for i, values in given.items()}
    return [(kind, own.get(i, {})) for i, kind in enumerate(kinds)]


def _dots_kinds(c: Fields) -> list[str] | None:
    """Indexed layers at the start and every fourth, windows between; `use_dsa` decides what a full layer is."""
    chooses = c("use_dsa", None if PER_LAYER in c.config else True)
    full, slides = FULL if chooses is False else INDEXED, c.flag("use_sliding_window", True)
    found = listed_kinds(c, "layer_types", lambda i: full if not slides or i < 2 or i % 4 == 1 else SLIDING)
    found = among(c, "layer_types", found, (INDEXED, SLIDING, FULL))
    if found is None or chooses is None:
        return found
    return [full if kind in (FULL, INDEXED) else kind for kind in found]


def _sliding_sizes(c: Fields) -> Mapping[str, Any]:
    """The sizes of dots.note's layers with a window, under the names of its first configs."""
    nope, whole = c.number("swa_qk_nope_head_dim", 192), c.number("swa_head_dim", 256)
    return {
        "heads": c.number("swa_num_attention_heads", 64),
        "query_rank": c.number("swa_q_lora_rank", 1024),
        "kv_rank": c.number("swa_kv_lora_rank", 1024),
        "nope_dim": nope,
        "rope_dim": c.number("swa_qk_rope_head_dim", whole - nope),
        "value_dim": c.number("swa_v_head_dim", 128),
    }


def dots_shared(c: Fields) -> Any:
    """dots.note: shared experts of a width of their own."""
    older, copies = c("moe_shared_expert_intermediate_size"), c.number("shared_experts", 0)
    return copies * c.number(
        "shared_experts_intermediate_size" if older is None else "moe_shared_expert_intermediate_size"
    )


def gated_norms(c: Fields, mixer: str, ffn: str) -> tuple[Small, ...]:
    """A.X-K2: a small gate on the norm before attention, and on the norm before experts."""
    rank = c.number("gated_norm_rank")
    return tuple(
        Linear(name=f"{role}_norm_{way}", inputs=inputs, outputs=outputs, part="norm")
        for role in (("attention", "ffn") if ffn == SPARSE else ("attention",))
        for way, inputs, outputs in (("down", None, rank), ("up", rank, None))
    )


def experts_norm(c: Fields, mixer: str, ffn: str) -> tuple[Small, ...]:
    """A.X-K1: a norm after the experts."""
    return (NormLayer(norm=RMS, name="experts_norm"),) if ffn == SPARSE else ()


def longcat_layers(c: Fields) -> Any:
    """LongCat-Flash: a layer counts as two where the config counts attentions."""
    return c.number("num_hidden_layers") // 2 if "num_hidden_layers" in c.config else c("num_layers")


def longcat(c: Fields) -> Architecture:
    """LongCat-Flash: two attentions and two dense networks per layer, with experts beside them (arXiv:2509.01322)."""
    stack = Stack(
        name="decoder",
        hidden=c.number("hidden"),
        runs=(Run(layer=_longcat_layer(c), layers=c.number("layers")),),
        after=(NormLayer(norm=RMS, name="final_norm"),),
    )
    return assembled(c, stack, embedding=embedding(c), head=head(c))


def _longcat_layer(c: Fields) -> Layer:
    """The experts read what the first dense network reads; their sum is added at the end of the layer."""
    first, second = (replace(latent(c), name=f"attention_{i}") for i in (1, 2))
    dense_1, dense_2 = (replace(feed_forward(c), name=f"ffn_{i}") for i in (1, 2))
    return Layer(
        branches=(
            Branch(body=first, before=RMS),
            Branch(body=_longcat_experts(c), before=RMS),
            Branch(body=dense_1),
            Branch(body=second, before=RMS),
            Branch(body=dense_2, before=RMS),
        )
    )


def _longcat_experts(c: Fields) -> Experts:
    """Some choices of the router are no experts; a token meets as many experts as when all are chosen as often."""
    number, zero, chosen = c.number("experts"), c.number("zero_expert_num", 0), c.number("active_experts", 1)
    choices = number + zero
    if isinstance(choices, int) and (choices < 1 or (isinstance(chosen, int) and chosen > choices)):
        raise BadInput(f"{c.where}: {c.spelled('active_experts')}={chosen} exceeds the router's {choices} choices")
    met = replace(c, changes={**c.changes, "active_experts": chosen * number // choices})
    return replace(experts(met), router_outputs=choices, idle_experts=zero, name="experts")


MLA = {
    "reader": decoder,
    "mixers": {FULL: latent},
    "query_rank": read("q_lora_rank"),
    "kv_rank": read("kv_lora_rank"),
    "nope_dim": read("qk_nope_head_dim"),
    "rope_dim": read("qk_rope_head_dim"),
    "value_dim": read("v_head_dim"),
    "latent_bias": read("attention_bias"),
}
DSA = {**MLA, "mixers": {FULL: indexed}, "experts": read("num_experts", "num_local_experts", "n_routed_experts")}

FAMILIES: dict[str, Mapping[str, Any]] = {
    "minicpm3": {**MLA, "value_dim": value_dim, "ffn_bias": read("mlp_bias")},
    "youtu": MLA,
    "deepseek_v2": {
        **MLA,
        "ffn_bias": read("mlp_bias"),
        "ffn_kinds": dense_first("first_k_dense_replace", otherwise=0),
    },
    "deepseek_v3": {**MLA, "ffn_kinds": dense_first("first_k_dense_replace", otherwise=3)},
    "glm4_moe_lite": {**MLA, "rope_dim": read("head_dim", "qk_rope_head_dim"), "ffn_kinds": dense_first()},
    "axk1": {**MLA, "ffn_kinds": experts_where(dense_first_then_every), "layer_extra": for_kinds(experts_norm)},
    "axk2": {
        **DSA,
        "latent_gate": "query",
        "ffn_kinds": experts_where(dense_first_then_every),
        "layer_extra": for_kinds(gated_norms),
    },
    "deepseek_v32": {**DSA, "ffn_kinds": dense_first("first_k_dense_replace", otherwise=3)},
    "glm_moe_dsa": {
        "like": "deepseek_v32",
        "indexer_types": spelled_choices,
        "mixer_kinds": shared_choices,
        "mixers": {FULL: indexed, CHOOSES: latent, SHARES: latent},
    },
    "dots3_note_text": {
        **MLA,
        "latent_gate": "head",
        "rope_norm": True,
        "shared_ffn": dots_shared,
        "window": read("sliding_window", "sliding_window_size", otherwise=512),
        "ffn_kinds": experts_where(dense_first_then_every),
        PER_LAYER: read(PER_LAYER),
        **varying(latent, dots_layers),
    },
    "dots3_note": {"reader": language_part("dots3_note_text", "text_config")},
    "longcat_flash": {
        **MLA,
        "reader": longcat,
        "layers": longcat_layers,
        "ffn": read("intermediate_size", "ffn_hidden_size"),
        "expert_ffn": read("moe_intermediate_size", "expert_ffn_hidden_size"),
        "router_bias": read("router_bias"),
    },
}
