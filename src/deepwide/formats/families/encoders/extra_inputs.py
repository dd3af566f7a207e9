"""Encoders that read more than words of one language: languages, entities, tables, pages, images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from deepwide.architecture.composite import Assembly
from deepwide.architecture.extras import Linear, Table, Vector
from deepwide.architecture.model import Body, Small
from deepwide.architecture.parts import LAYER, Head, Norm, NormLayer
from deepwide.errors import BadInput
from deepwide.formats.families.decoders.classic import four_hidden
from deepwide.formats.families.decoders.dense import biased
from deepwide.formats.families.encoders.bert import BERT, PLAIN, ROTARY
from deepwide.formats.fields import PER_LAYER, Fields, read, says, short
from deepwide.formats.readers.encoder import pooler
from deepwide.formats.readers.layer_lists import listed_kinds
from deepwide.formats.readers.layer_sizes import fields_by_layer
from deepwide.formats.readers.layers import FULL, SLIDING, attention


def languages(c: Fields) -> tuple[Small, ...]:
    """A table of languages, where there are several and it is used."""
    several = c.number("n_langs", 1) > 1 and c.flag("use_lang_emb")
    return (Table(name="languages", rows=c.number("n_langs")),) if several else ()


def adaptive_head(c: Fields) -> tuple[Small, ...]:
    """An adaptive softmax: rare words in clusters, each with a narrower projection (arXiv:1609.04309)."""
    hidden, vocab, ratio = c.number("hidden"), c.number("vocab"), c("asm_div_value", 4)
    cuts = [c.checked("asm_cutoffs", cut) for cut in c.listed("asm_cutoffs")]
    if not cuts or sorted(set(cuts)) != cuts or cuts[-1] >= vocab or not isinstance(ratio, int | float) or ratio <= 0:
        raise BadInput(f"{c.where}: asm=true needs rising asm_cutoffs below vocab_size={vocab}, asm_div_value above 0")
    parts: list[Small] = [Linear(name="output", outputs=cuts[0] + len(cuts), bias=True, part="head")]
    for i, (low, high) in enumerate(zip(cuts, [*cuts[1:], vocab], strict=True), start=1):
        width = int(hidden // ratio**i)
        parts.append(Linear(name=f"cluster{i}_down", outputs=width, part="head"))
        parts.append(Linear(name=f"cluster{i}", inputs=width, outputs=high - low, part="head"))
    return tuple(parts)


def xlm_head(c: Fields) -> tuple[Small, ...]:
    """A plain output unless the adaptive one is asked for."""
    if not c.flag("is_encoder", True):
        raise BadInput(f"{c.where}: is_encoder=false has no layers to attend an encoder with; set it to true")
    if c("asm", False) is not False:
        return adaptive_head(c)
    return (Head(vocab=c.number("vocab"), tied=c.flag("tied"), bias=True),)


def boxes(c: Fields) -> tuple[Small, ...]:
    """LayoutLM: where a token stands on the page, and how large it is."""
    rows = c.number("max_2d_position_embeddings")
    return tuple(Table(name=f"page_{axis}", rows=rows, part="position") for axis in "xyhw")


def table_types(c: Fields) -> tuple[Small, ...]:
    """TAPAS: token types of several sorts (segment, column, row, rank ...), a table for each."""
    sorts = c.listed("type_vocab_sizes")
    return tuple(Table(name=f"types{i}", rows=c.checked("type_vocab_sizes", n)) for i, n in enumerate(sorts))


def sound_and_shape(c: Fields) -> tuple[Small, ...]:
    """RoCBert: how a character sounds and looks, joined to its vector."""
    sound, shape = c.number("pronunciation_embed_dim"), c.number("shape_embed_dim")
    parts: tuple[Small, ...] = (
        Table(name="sounds", rows=c.number("pronunciation_vocab_size"), width=sound),
        Table(name="shapes", rows=c.number("shape_vocab_size"), width=shape),
    )
    if not c.flag("concat_input"):
        return parts
    joined = c.number("hidden")
    joined += sound if c.flag("enable_pronunciation") else 0
    joined += shape if c.flag("enable_shape") else 0
    return (*parts, Linear(name="joined", inputs=joined, bias=True, part="embedding"))


def language_adapters(c: Fields) -> tuple[Small, ...]:
    """X-MOD: two small matrices for each language; a token passes those of its own."""
    languages, hidden = len(c.listed("languages")), c.number("hidden")
    narrow = hidden // c.positive("adapter_reduction_factor", 2)
    down = Linear(name="adapter_down", outputs=narrow, bias=True, part="ffn", copies=languages)
    up = Linear(name="adapter_up", inputs=narrow, bias=True, part="ffn", copies=languages)
    norm: tuple[Small, ...] = (NormLayer(norm=LAYER, name="adapter_norm"),) if c.flag("adapter_layer_norm") else ()
    return (down, up, *norm)


def entities(c: Fields) -> tuple[Small, ...]:
    """LUKE: a table of entities beside that of tokens, with positions and types of its own."""
    width, hidden = c.number("entity_emb_size"), c.number("hidden")
    wide: tuple[Small, ...] = (Linear(name="entity_projection", inputs=width, part="embedding", rows=0),)
    return (
        Table(name="entities", rows=c.number("entity_vocab_size"), width=width),
        *(wide if width != hidden else ()),
        Table(name="entity_positions", rows=c.number("context"), part="position"),
        Table(name="entity_types", rows=c.number("types")),
        NormLayer(norm=LAYER, name="entity_norm"),
    )


def entity_aware(c: Fields, kind: str) -> Body:
    """LUKE's attention, with queries of their own between tokens and entities: no rows in plain text."""
    body = attention(c, kind)
    if not c.flag("use_entity_aware_attention"):
        return body
    pairs = ("word_to_entity", "entity_to_word", "entity_to_entity")
    queries = (Linear(name=f"{pair}_query", bias=True, part="attention", rows=0) for pair in pairs)
    return Assembly(parts=(body, *queries), name="attention")


def entity_head(c: Fields) -> tuple[Small, ...]:
    """LUKE: its word head owns a matrix whatever the config says, the head for entities shares their table."""
    width, number, vocab = c.number("entity_emb_size"), c.number("entity_vocab_size"), c.number("vocab")
    tied = c.flag("tie_word_embeddings")
    shared = "embedding.entities" if tied else ""
    spare: tuple[Small, ...] = () if tied else (Vector(name="spare_bias", shape=(vocab,), part="head"),)
    return (
        *spare,
        Linear(name="entity_transform", outputs=width, bias=True, part="head", rows=0),
        NormLayer(norm=LAYER, name="entity_norm", width=width),
        Linear(name="entity_output", inputs=width, outputs=number, part="head", rows=0, tied=shared),
        Vector(name="entity_output.bias", shape=(number,), part="head"),
    )


def neomme_kinds(c: Fields) -> list[str] | None:
    """NeoMME: full attention in every sixth layer and the last; between them short and long windows take turns."""
    layers = c.number("layers")
    kinds = listed_kinds(c, "layer_types", lambda i: FULL if (i + 1) % 6 == 0 or i == layers - 1 else SLIDING)
    if not kinds or not set(kinds) <= {FULL, SLIDING} or FULL not in kinds:
        raise BadInput(f"{c.where}: layer_types must list {FULL} and {SLIDING} layers, {FULL} at least once")
    turns, windowed = [], 0
    for kind in kinds:
        turns.append(LONG if kind == SLIDING and windowed % 2 else kind)
        windowed += kind == SLIDING
    _check_windows(c, turns)
    return turns


def _check_windows(c: Fields, kinds: list[str]) -> None:
    """Refuses windows, written out layer by layer, that are not those of the layers' kinds."""
    usual: dict[str, Mapping[str, Any]] = {LONG: {"sliding_window": LONG_SIDE}, FULL: {"sliding_window": None}}
    for i, fields in (fields_by_layer(c) or {}).items():
        if i < len(kinds) and fields != usual.get(kinds[i], {}):
            raise BadInput(
                f"{c.where}: {PER_LAYER} gives layer {i} {short(fields)}, not what its kind has; leave it out"
            )


def both_sides(c: Fields) -> Any:
    """The config's window is one side of it; the token itself comes on top."""
    side = c.maybe("sliding_window")
    return None if side is None else 2 * side + 1


def long_window(c: Fields, kind: str) -> Body:
    """A window of fixed length, both sides and the token itself."""
    return gated_attention(c, FULL, 2 * LONG_SIDE + 1)


def gated_attention(c: Fields, kind: str, window: int | None = None) -> Body:
    """NeoMME: an output gate, norms without gains, and a number per head that removes a token's own value."""
    body = attention(c, kind)
    body = body if window is None else replace(body, window=window)
    alpha = Vector(name="own_value", shape=(c.number("heads"),), part="attention")
    return Assembly(parts=(body, alpha), name="attention")


def patches(c: Fields) -> tuple[Small, ...]:
    """NeoMME: a second table for values, and a small network for patches of images: no rows in plain text."""
    hidden, patch = c.number("hidden"), 3 * c.number("patch_size") ** 2
    values = c.number("kv_heads") * c.number("head_dim")
    return (
        Table(name="values", rows=c.number("vocab"), width=values, part="attention"),
        NormLayer(norm=LAYER, name="patch_norm", width=patch),
        Linear(name="patch_up", inputs=patch, outputs=2 * hidden, part="other", rows=0),
        Linear(name="patch_down", inputs=2 * hidden, bias=True, part="other", rows=0),
    )


def narrow_head(c: Fields) -> tuple[Small, ...]:
    """NeoMME: back through the embedding's own projection, then to the vocabulary."""
    width, tied = c.number("embedding_rank"), c.flag("tied")
    shared = "embedding.projection" if tied else ""
    back = Linear(name="projection", outputs=width, part="head", tied=shared)
    return (back, Head(vocab=c.number("vocab"), width=width, tied=tied))


LONG = "long_attention"
LONG_SIDE = 1024  # configuration_neomme.py: default_long_sliding_window
XLM = {
    **PLAIN,
    "hidden": read("emb_dim", "hidden_size"),
    "vocab": read("vocab_size", "n_words"),
    "causal": read("causal"),
    "ffn": four_hidden,
    "types": 0,
    "embedding_extra": languages,
    "head_parts": xlm_head,
}

FAMILIES: dict[str, Mapping[str, Any]] = {
    "xlm": XLM,
    "flaubert": {**XLM, "norms": says("pre_norm", "pre", "post")},
    "tapas": {**BERT, "types": 0, "embedding_extra": table_types},
    "roc_bert": {**BERT, "embedding_extra": sound_and_shape},
    "layoutlm": {**PLAIN, "embedding_extra": boxes, "after": pooler},
    "xmod": {
        **BERT,
        "norms": says("pre_norm", "pre", "post"),
        "final_norm": says("pre_norm"),
        "layer_extra": language_adapters,
    },
    "luke": {
        **PLAIN,
        "embedding_extra": entities,
        "mixers": {FULL: entity_aware},
        "after": pooler,
        "tied": False,
        "spare_bias": False,
        "head_extra": entity_head,
    },
    "neomme": {
        **ROTARY,
        "norm": Norm(scale=False),
        "norms": "pre",
        "final_norm": True,
        "kv_heads": read("num_key_value_heads"),
        "attention_bias": biased("attention_bias", "qkvo"),
        "attention_gate": "width",
        "qk_norm": True,
        "window": both_sides,
        PER_LAYER: read(PER_LAYER),
        "mixer_kinds": neomme_kinds,
        "mixers": {FULL: gated_attention, SLIDING: gated_attention, LONG: long_window},
        "ffn_bias": read("mlp_bias"),
        "layer_extra": (Vector(name="residual_mix", shape=(2,)),),
        "types": 0,
        "embedding_width": read("embedding_rank"),
        "always_projected": True,
        "projection_bias": False,
        "embedding_extra": patches,
        "head_parts": narrow_head,
    },
}
