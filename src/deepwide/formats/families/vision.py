"""Towers that see: the vision transformers in front of language models, each by the model type of its config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from deepwide.architecture.model import Run, Small
from deepwide.architecture.parts import LAYER, Convolution, Linear, NormLayer, Operation, Positions, Table, Vector
from deepwide.errors import BadInput
from deepwide.formats.families.classic import all_heads
from deepwide.formats.families.dense import biased, hidden_over_heads
from deepwide.formats.fields import Fields, read
from deepwide.formats.readers.layers import DENSE, FULL, SLIDING, attention, attention_heads, layer
from deepwide.formats.readers.patterns import by_index, for_kinds, indices, step
from deepwide.formats.readers.towers import grid, patch_sides, picture, tower_model


def with_first(c: Fields) -> Any:
    """The patches of a picture and the tokens before them."""
    return grid(c) + len(c("first_tokens", ()))


def pooling_head(c: Fields) -> tuple[Small, ...]:
    """SigLIP's pooling: one learned query attends to all patches, and a network follows, where the config wants it."""
    if not c.flag("vision_use_head", True):
        return ()
    hidden, ffn = c.number("hidden"), c.number("ffn")
    return (
        Vector(name="head.probe", shape=(hidden,)),
        Linear(name="head.query", bias=True, rows=1),
        Linear(name="head.key", bias=True),
        Linear(name="head.value", bias=True),
        Operation(name="head.scores", kind="attention", k=hidden, n=hidden, key_rows=1),
        Linear(name="head.output", bias=True, rows=1),
        NormLayer(norm=LAYER, name="head.norm"),
        Linear(name="head.up", outputs=ffn, bias=True, rows=1),
        Linear(name="head.down", inputs=ffn, bias=True, rows=1),
    )


def tiled_positions(c: Fields) -> tuple[Small, ...]:
    """Mllama: a picture is cut in tiles; each arrangement of tiles has vectors of its own, beside those of patches.

    Rows are the arrangements and one more, for padding; gates weigh the two kinds of positions.
    """
    hidden, tiles = c.number("hidden"), c.number("max_num_tiles")
    rows, patches = len(c.listed("supported_aspect_ratios") or ratios(tiles)) + 1, with_first(c)
    before = Table(name="tile_before", rows=rows, width=tiles * hidden, part="position")
    after = Table(name="tile_after", rows=rows, width=tiles * hidden, part="position")
    positions = Table(name="tile_positions", rows=rows, width=tiles * patches * hidden, part="position")
    gates = (Vector(name=f"{name}_gate", shape=(1,), part="position") for name in ("position", "before", "after"))
    return (positions, before, after, *gates)


def ratios(tiles: Any) -> list[tuple[int, int]]:
    """Arrangements of at most 4 tiles, which the class takes where the config lists none."""
    if tiles != 4:
        raise BadInput(f"max_num_tiles={tiles} needs supported_aspect_ratios; without them it must be 4")
    return [(high, wide) for high in range(1, 5) for wide in range(1, 5) if high * wide <= 4]


def local_then_global(c: Fields) -> tuple[tuple[Run, ...], tuple[int, ...]]:
    """Mllama: layers within a tile, then layers over all, whose branches are gated."""
    plain = layer(c, FULL, DENSE)
    gates = tuple(Vector(name=name, shape=(1,)) for name in ("attention_gate", "ffn_gate"))
    gated = replace(plain, extra=gates)
    near, wide = c.number("layers"), c.number("num_global_layers")
    return (Run(layer=plain, layers=near, name="local"), Run(layer=gated, layers=wide, name="global")), ()


def shuffled(c: Fields) -> tuple[Small, ...]:
    """Llama 4: neighbouring patches joined into one, and a network of two matrices."""
    inner, outer = c.number("projector_input_dim"), c.number("projector_output_dim")
    ratio = c("pixel_shuffle_ratio", 0.5)
    if not isinstance(ratio, int | float) or not 0 < ratio <= 1:
        raise BadInput(f"{c.where}: pixel_shuffle_ratio={str(ratio)[:40]} must lie between 0 and 1")
    rows = int(grid(c) * ratio**2)
    return (
        Linear(name="adapter.up", inputs=c.number("ffn"), outputs=inner, rows=rows),
        Linear(name="adapter.down", inputs=outer, outputs=outer, rows=rows),
    )


def merger(c: Fields) -> tuple[Small, ...]:
    """Qwen's joining of neighbouring patches: a norm, and a network as wide as the patches together."""
    wide = c.number("hidden") * c.number("spatial_merge_size") ** 2
    rows = c.number("tokens", 0) // max(1, c.number("spatial_merge_size") ** 2)
    return (
        NormLayer(norm=c("merger_norm", LAYER), name="merger.norm"),
        Linear(name="merger.up", inputs=wide, outputs=wide, bias=True, rows=rows),
        Linear(name="merger.down", inputs=wide, outputs=c.number("merged"), bias=True, rows=rows),
    )


def windowed(c: Fields) -> list[str] | None:
    """SAM: windows everywhere but in the layers of `global_attn_indexes`."""
    everywhere = frozenset(indices(c, "global_attn_indexes"))
    return by_index(c, lambda i: FULL if i in everywhere else SLIDING)


def relative_rows(c: Fields, mixer_kind: str, ffn_kind: str) -> tuple[Small, ...]:
    """SAM: in each layer a vector per head channel for each distance, down and across."""
    if not c.flag("use_rel_pos", True):
        return ()
    side = c.number("window_size") if mixer_kind == SLIDING else patch_sides(c)[0]
    _, head_dim = attention_heads(c)
    return tuple(
        Table(name=f"relative_{way}", rows=2 * side - 1, width=head_dim, part="position") for way in ("down", "across")
    )


def neck(c: Fields) -> tuple[Small, ...]:
    """SAM: two convolutions to fewer channels, each with a norm."""
    inner = c.number("output_channels")
    wide = Convolution(
        name="neck.convolution", channels=inner, kernel=9, inputs_per_group=inner, part="other", groups=1
    )
    return (
        Linear(name="neck.down", outputs=inner),
        NormLayer(norm=LAYER, name="neck.norm_1", width=inner),
        wide,
        NormLayer(norm=LAYER, name="neck.norm_2", width=inner),
    )


def axial_positions(c: Fields) -> tuple[Small, ...]:
    """Gemma 4: a table for each of the two axes."""
    return (Positions(kind="learned", rows=2 * c.number("position_embedding_size")),)


def asking(c: Fields) -> tuple[tuple[Run, ...], tuple[int, ...]]:
    """A Q-Former: every so many layers, the queries also attend to what the encoder saw or heard."""
    plain, width = layer(c, FULL, DENSE), c.number("encoder_hidden_size")
    cross = replace(attention(c), keys="encoder", keys_width=width, name="cross_attention")
    own, network = plain.branches
    asks = replace(plain, branches=(own, replace(own, body=cross), network))
    layers, every = c.number("layers"), step(c, "cross_attention_frequency", 2)
    order = tuple(int(i % every != 0) for i in range(layers))
    runs = (Run(layer=asks, layers=order.count(0), name="asks"), Run(layer=plain, layers=order.count(1), name="plain"))
    return runs, order


def text_network(c: Fields) -> tuple[Small, ...]:
    """A Q-Former that also reads text has a second network for it in each layer."""
    if not c.flag("use_qformer_text_input"):
        return ()
    ffn = c.number("ffn")
    return (
        Linear(name="text.up", outputs=ffn, bias=True, part="ffn", rows=0),
        Linear(name="text.down", inputs=ffn, bias=True, part="ffn", rows=0),
        NormLayer(norm=LAYER, name="text.norm"),
    )


VIT: dict[str, Any] = {
    "reader": tower_model,
    "inputs": picture,
    "tokens": with_first,
    "patches": grid,
    "channels": read("num_channels", "in_channels", "in_chans"),
    "kv_heads": all_heads,
    "head_dim": hidden_over_heads,
    "experts": None,
    "norm": "layer",
    "gated": False,
    "attention_bias": "qkvo",
    "ffn_bias": True,
}
CLIP: dict[str, Any] = {**VIT, "first_tokens": ("class",), "patch_bias": False, "input_norm": True}
QWEN: dict[str, Any] = {
    **VIT,
    "layers": read("depth"),
    "heads": read("num_heads"),
    "frames_to_patch": read("temporal_patch_size"),
    "tokens": 0,
    "patches": 0,
    "position_rows": 0,
    "final_norm": False,
    "merged": read("out_hidden_size"),
    "after": merger,
}

FAMILIES: dict[str, Mapping[str, Any]] = {
    "siglip_vision_model": {**VIT, "after": pooling_head},
    "clip_vision_model": CLIP,
    "git_vision_model": CLIP,
    "phi4_multimodal_vision": {**VIT, "after": pooling_head, "vision_use_head": True},
    "mllama_vision_model": {
        **CLIP,
        "heads": read("attention_heads", "num_attention_heads"),
        "attention_bias": "",
        "tokens": lambda c: -(-with_first(c) // 8) * 8 * c.number("max_num_tiles"),  # a tile's are padded to eights
        "patches": lambda c: grid(c) * c.number("max_num_tiles"),
        "position_rows": with_first,
        "inputs_extra": tiled_positions,
        "runs": local_then_global,
        "after": (NormLayer(norm=LAYER, name="final_norm"),),
    },
    "llama4_vision_model": {**CLIP, "after": shuffled},
    "qwen3_5_vision": {**QWEN, "position_rows": read("num_position_embeddings")},
    "qwen3_5_moe_vision": {"like": "qwen3_5_vision"},
    "blip_2_qformer": {
        **VIT,
        "norms": "post",
        "inputs": (NormLayer(norm=LAYER),),
        "tokens": 0,
        "runs": asking,
        "layer_extra": text_network,
    },
    "got_ocr2_vision": {
        **VIT,
        "ffn": read("mlp_dim"),
        "attention_bias": lambda c: biased("qkv_bias", "qkv")(c) + "o",
        "position_rows": lambda c: grid(c) if c.flag("use_abs_pos", True) else 0,
        "mixer_kinds": windowed,
        "window": lambda c: c.number("window_size") ** 2,
        "layer_extra": for_kinds(relative_rows),
        "final_norm": False,
        "after": neck,
    },
    "gemma4_vision": {
        **VIT,
        "channels": 3,
        "kv_heads": read("num_key_value_heads"),
        "head_dim": read("head_dim"),
        "norm": "rms",
        "norms": "sandwich",
        "qk_norm": True,
        "gated": True,
        "attention_bias": "",
        "ffn_bias": False,
        "patch_bias": False,
        "tokens": 0,
        "patches": 0,
        "inputs_extra": axial_positions,
        "final_norm": False,
    },
}
