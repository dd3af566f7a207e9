"""Gemma 3n and Gemma 4: vectors for each layer, keys and values taken over from earlier layers, heads of two widths."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from deepwide.architecture.experts import Experts
from deepwide.architecture.extras import Linear, Operation, Table, Vector
from deepwide.architecture.model import Architecture, Body, Small, Stack
from deepwide.architecture.parts import LAYER, RMS, NormLayer
from deepwide.errors import BadInput
from deepwide.formats.defaults import declared
from deepwide.formats.families.decoders.dense import every
from deepwide.formats.fields import PER_LAYER, Fields, read, short
from deepwide.formats.readers.decoder import decoder
from deepwide.formats.readers.inner_configs import Inner, nested
from deepwide.formats.readers.layer_lists import per_layer
from deepwide.formats.readers.layer_sizes import Sizes, fields_by_layer, varying, varying_networks
from deepwide.formats.readers.layers import FULL, attention, feed_forward

TEXTS = ("gemma4_text", "gemma4_unified_text")
# What `per_layer_config` may give for a layer, in the project's words.
OWN = {"head_dim": "head_dim", "num_key_value_heads": "kv_heads"}


def gemma_attention(c: Fields, kind: str) -> Body:
    """Attention whose keys and values may be an earlier layer's, or whose values are the keys."""
    return replace(attention(c, kind), shared_kv=c.flag("shared_kv"), value_is_key=c.flag("value_is_key"))


def sharing(c: Fields, kinds: list[str]) -> list[bool]:
    """Layers that take over keys and values: the last `num_kv_shared_layers`, each from the last of its kind."""
    shared = c.number("num_kv_shared_layers", 0)
    said = f"{c.where}: {c.spelled('num_kv_shared_layers')}={shared}"
    first = len(kinds) - shared
    if first < 0:
        raise BadInput(f"{said} must be at most {c.spelled('layers')}={len(kinds)}")
    missing = set(kinds[first:]) - set(kinds[:first])
    if first and missing:
        raise BadInput(f"{said} leaves no {missing.pop()} layer to take keys from")
    return [i >= first for i in range(len(kinds))]


def gemma3n_layers(c: Fields) -> list[Sizes]:
    """Gemma 3n: full attention every fifth layer."""
    kinds = every("", 5)(c) or []
    return [(kind, {"shared_kv": shared}) for kind, shared in zip(kinds, sharing(c, kinds), strict=True)]


def gemma4_kinds(c: Fields) -> list[str]:
    """Gemma 4: full attention every sixth layer, and in the last one in any case."""
    kinds = every("", 6)(c) or []
    return [*kinds[:-1], FULL] if kinds else []


def gemma4_layers(c: Fields) -> list[Sizes]:
    """Gemma 4: full layers have wider heads, and may use keys as values."""
    kinds = gemma4_kinds(c)
    own, values_too = overrides(c, kinds), c.flag("attention_k_eq_v")
    return [
        (kind, {**own[i], "shared_kv": shared, "value_is_key": values_too and kind == FULL})
        for i, (kind, shared) in enumerate(zip(kinds, sharing(c, kinds), strict=True))
    ]


def overrides(c: Fields, kinds: list[str]) -> list[Mapping[str, Any]]:
    """Widths and groups of heads that differ from the config's own, layer by layer."""
    listed = fields_by_layer(c)
    if listed is None:
        full: dict[str, Any] = {"head_dim": c.number("global_head_dim", 512)}
        groups = c("num_global_key_value_heads") if c.flag("attention_k_eq_v") else None
        full |= {} if groups is None else {"kv_heads": groups}
        return [full if kind == FULL else {} for kind in kinds]
    unknown = {name for fields in listed.values() for name in fields} - set(OWN)
    if unknown:
        raise BadInput(f"{c.where}: {PER_LAYER} has {short(min(unknown, key=str))}; expected {' or '.join(OWN)}")
    own = {i: {OWN[name]: value for name, value in fields.items()} for i, fields in listed.items()}
    return [own.get(i, {}) for i in range(len(kinds))]


def gemma3n_widths(c: Fields) -> list[Any]:
    """Gemma 3n: one width for all layers, or a list."""
    return [c.checked("ffn", width) for width in per_layer(c, "ffn", None)]


def gemma4_widths(c: Fields) -> list[Any]:
    """Gemma 4: layers that take over keys and values may have a network twice as wide."""
    width, double = c.number("ffn"), c.flag("use_double_wide_mlp")
    return [width * (1 + (double and shared)) for shared in sharing(c, gemma4_kinds(c))]


def gemma4_network(c: Fields) -> Body:
    """A network for every token, and experts beside it where the config asks for them."""
    body = feed_forward(c)
    if not c.flag("enable_moe_block"):
        return body
    experts, active = c.number("experts"), c.number("active_experts")
    return Experts(
        experts=experts,
        active_experts=active,
        ffn=c.number("expert_ffn"),
        activation=body.activation,
        shared=replace(body, name="shared"),
    )


def router_scales(c: Fields) -> tuple[Small, ...]:
    """Gemma 4's experts bring scales of the router and three more norms."""
    if not c.flag("enable_moe_block"):
        return ()
    norms = (NormLayer(norm=RMS, name=f"expert_{name}") for name in ("norm", "norm_after", "shared_norm_after"))
    scale = Vector(name="router_scale", shape=(c.number("hidden"),), part="router")
    return (scale, Vector(name="expert_scale", shape=(c.number("experts"),), part="router"), *norms)


def layer_vectors(c: Fields) -> tuple[Small, ...]:
    """A table with a vector of each token for every layer, and the projection that is added to it."""
    width = c.number("hidden_size_per_layer_input", 0)
    if not width:
        return ()
    total = width * c.number("layers")
    table = Table(name="layer_tokens", rows=c.number("vocab_size_per_layer_input"), width=total)
    norm = NormLayer(norm=RMS, name="layer_projection_norm", width=width)
    return (table, Linear(name="layer_projection", outputs=total, part="embedding"), norm)


def layer_input(c: Fields) -> tuple[Small, ...]:
    """Where a layer takes in its own vector of the token."""
    width = c.number("hidden_size_per_layer_input", 0)
    if not width:
        return ()
    gate, projection = Linear(name="input_gate", outputs=width), Linear(name="input_projection", inputs=width)
    return (gate, projection, NormLayer(norm=RMS, name="input_norm"))


def alternating_updates(c: Fields) -> tuple[Small, ...]:
    """Gemma 3n: several residual streams, predicted and corrected by small matrices (AltUp, arXiv:2301.13310)."""
    streams, hidden = c.number("altup_num_inputs"), c.number("hidden")
    return (
        Vector(name="altup_scale", shape=(hidden,)),
        Linear(name="altup_correct", inputs=streams, outputs=streams),
        Linear(name="altup_predict", inputs=streams, outputs=streams * streams),
        Linear(name="altup_router", outputs=streams),
        Operation(name="altup_router_again", kind="matmul", k=hidden, n=streams, part="other"),
        Operation(name="altup_mixing", kind="matmul", k=streams, n=streams * hidden, part="other"),
        NormLayer(norm=RMS, name="altup_norm"),
    )


def low_rank_residual(c: Fields) -> tuple[Small, ...]:
    """Gemma 3n: a narrow path beside the attention (LAuReL, arXiv:2411.07501)."""
    rank = c.number("laurel_rank")
    left, right = Linear(name="laurel_left", outputs=rank), Linear(name="laurel_right", inputs=rank)
    return (left, right, NormLayer(norm=RMS, name="laurel_norm"))


def streams(name: str) -> Callable[[Fields], tuple[Small, ...]]:
    """The matrices that make the further residual streams from the first, or join them to it."""

    def parts(c: Fields) -> tuple[Small, ...]:
        further = max(0, c.number("altup_num_inputs") - 1)
        return (Linear(name=name, copies=further, active=further),) if further else ()

    return parts


def picture_patches(c: Fields, hidden: Any) -> Stack:
    """Gemma 4 unified: patches of a picture, normed, projected and given positions, without a tower of their own."""
    side = c.number("patch_size") * c.number("pooling_kernel_size")
    width, patch = c.number("mm_embed_dim"), 3 * side * side
    parts: tuple[Small, ...] = (
        NormLayer(norm=LAYER, name="patch_norm", width=patch),
        Linear(name="patches", inputs=patch, bias=True, part="embedding"),
        NormLayer(norm=LAYER, name="norm"),
        Vector(name="positions", shape=(c.number("mm_posemb_size"), 2, width), part="position"),
        NormLayer(norm=LAYER, name="position_norm"),
        Linear(name="projection", inputs=c.number("output_proj_dims"), outputs=hidden, part="embedding"),
    )
    return Stack(name="pictures", hidden=width, runs=(), before=parts, causal=False, tokens=0)


def sound_frames(c: Fields, hidden: Any) -> Stack:
    """Gemma 4 unified: frames of raw sound, projected."""
    width = c.number("audio_embed_dim")
    projection = Linear(name="projection", outputs=hidden, part="embedding")
    return Stack(name="sounds", hidden=width, runs=(), before=(projection,), causal=False, tokens=0)


def unified(c: Fields) -> Architecture:
    """The text model, and the projections of pictures and sounds that the config describes."""
    text = inner_text(c, "gemma4_unified_text")
    model = decoder(text)
    towers = (("vision_config", picture_patches), ("audio_config", sound_frames))
    hidden = model.main.hidden
    stacks = tuple(make(tower_fields(c, name), hidden) for name, make in towers if c.config.get(name) is not None)
    return replace(model, stacks=(*stacks, *model.stacks))


def tower_fields(c: Fields, name: str) -> Fields:
    """The fields of a tower, whose class has defaults of its own."""
    return replace(c.inside(name), defaults=declared(f"gemma4_unified_{name.removesuffix('_config')}"))


def inner_text(c: Fields, otherwise: str) -> Fields:
    """The fields of the text model inside, with the outer config's tying."""
    given = c.config.get("text_config")
    model_type = given.get("model_type", otherwise) if isinstance(given, Mapping) else otherwise
    if model_type not in ("gemma4_text", "gemma4_unified_text"):
        raise BadInput(
            f"{c.where}: text_config.model_type={short(model_type)} must be gemma4_text or gemma4_unified_text"
        )
    return nested(c, "text_config", Inner(otherwise, free=True), {"tied": c.flag("tied", True), **c.changes})


def assistant(otherwise: str) -> Callable[[Fields], Architecture]:
    """A small model that drafts for a large one: it reads the large one's hidden states, keys and values."""

    def reader(c: Fields) -> Architecture:
        text = inner_text(c, otherwise)
        shared = text.number("num_kv_shared_layers", 0) or text.number("layers")
        model = decoder(replace(text, changes={"num_kv_shared_layers": shared, **text.changes}))
        width = c.number("backbone_hidden_size")
        into = Linear(name="backbone", inputs=2 * width, part="embedding")
        out: tuple[Small, ...] = (Linear(name="backbone", outputs=width, part="head"),)
        if c.flag("use_ordered_embeddings"):
            out = (Linear(name="centroids", outputs=c.number("num_centroids"), part="head"), *out)
        return replace(model, embedding=(*model.embedding, into), head=(*model.head, *out))

    return reader


FAMILIES: dict[str, Mapping[str, Any]] = {
    "gemma3n_text": {
        "like": "gemma3_text",
        **varying(gemma_attention, gemma3n_layers),
        **varying_networks(gemma3n_widths, feed_forward),
        "layer_extra": lambda c: (*alternating_updates(c), *low_rank_residual(c), *layer_input(c)),
        "embedding_extra": lambda c: (*layer_vectors(c), *streams("stream_out")(c)),
        "head_extra": streams("stream_in"),
    },
    "gemma4_text": {
        "like": "gemma3_text",
        PER_LAYER: read(PER_LAYER),
        **varying(gemma_attention, gemma4_layers),
        **varying_networks(gemma4_widths, gemma4_network),
        "layer_extra": lambda c: (*layer_input(c), *router_scales(c)),
        "embedding_extra": layer_vectors,
    },
    "gemma4_unified_text": {"like": "gemma4_text", "layer_extra": (), "embedding_extra": ()},
    "gemma4_unified": {"reader": unified},
    "gemma4_assistant": {"reader": assistant("gemma4_text")},
    "gemma4_unified_assistant": {"reader": assistant("gemma4_unified_text")},
}
