"""Towers that see by more than a plain vision transformer: tiles, windows, merged patches, queries to an encoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from deepwide.architecture.extras import Linear, Table, Vector
from deepwide.architecture.model import Run, Small
from deepwide.architecture.parts import LAYER, NormLayer
from deepwide.errors import BadInput
from deepwide.formats.families.decoders.dense import biased
from deepwide.formats.families.multimodal.vision_towers import CLIP, VIT, with_first
from deepwide.formats.fields import Fields, read
from deepwide.formats.readers.layer_lists import by_index, indices
from deepwide.formats.readers.layers import DENSE, FULL, SLIDING, attention, attention_heads, for_kinds, layer, norm
from deepwide.formats.readers.projectors import tokens
from deepwide.formats.readers.towers import across_channels, grid, patch_sides


def tiled_positions(c: Fields) -> tuple[Small, ...]:
    """Mllama: a picture is cut in tiles; each arrangement of tiles has vectors of its own, beside those of patches.

    Rows are the arrangements and one more, for padding; gates weigh the two kinds of positions.
    """
    hidden, tiles = c.number("hidden"), c.number("max_num_tiles")
    rows, patches = len(c.listed("supported_aspect_ratios") or tile_arrangements(c)) + 1, with_first(c)
    before = Table(name="tile_before", rows=rows, width=tiles * hidden, part="position")
    after = Table(name="tile_after", rows=rows, width=tiles * hidden, part="position")
    positions = Table(name="tile_positions", rows=rows, width=tiles * patches * hidden, part="position")
    gates = (Vector(name=f"{name}_gate", shape=(1,), part="position") for name in ("position", "before", "after"))
    return (positions, before, after, *gates)


def tile_arrangements(c: Fields) -> list[tuple[int, int]]:
    """Arrangements of at most 4 tiles, which the class takes where the config lists none."""
    if c.number("max_num_tiles") != 4:
        tiles = c.number("max_num_tiles")
        raise BadInput(f"{c.where}: max_num_tiles={tiles} needs supported_aspect_ratios; without them it must be 4")
    return [(high, wide) for high in range(1, 5) for wide in range(1, 5) if high * wide <= 4]


def local_then_global(c: Fields) -> tuple[tuple[Run, ...], tuple[int, ...]]:
    """Mllama: layers within a tile, then layers over all, whose branches are gated."""
    plain = layer(c, FULL, DENSE)
    gates = tuple(Vector(name=name, shape=(1,)) for name in ("attention_gate", "ffn_gate"))
    gated = replace(plain, extra=gates)
    near, wide = c.number("layers"), c.number("num_global_layers")
    return (Run(layer=plain, layers=near, name="local"), Run(layer=gated, layers=wide, name="global")), ()


def llama4_adapter(c: Fields) -> tuple[Small, ...]:
    """Llama 4: neighbouring patches joined into one, and a network of two matrices."""
    inner, outer = c.number("projector_input_dim"), c.number("projector_output_dim")
    rows = int(grid(c) * c.ratio("pixel_shuffle_ratio", 0.5) ** 2)
    return (
        Linear(name="adapter.up", inputs=c.number("ffn"), outputs=inner, rows=rows),
        Linear(name="adapter.down", inputs=outer, outputs=outer, rows=rows),
    )


def mergers(c: Fields) -> tuple[Small, ...]:
    """Qwen's joining of neighbouring patches, on top and, in some models, after layers further down."""
    deeper = len(c.listed("deepstack_visual_indexes"))
    parts = (merger(c, f"deep_{i}", after_joining=True) for i in range(1, deeper + 1))
    return (*merger(c, "merger"), *(part for merged in parts for part in merged))


def merger(c: Fields, name: str, after_joining: bool = False) -> tuple[Small, ...]:
    """A norm of patches or of what is joined of them, and a network as wide as the patches together."""
    merged = c.number("spatial_merge_size") ** 2
    wide, rows = c.number("hidden") * merged, tokens(c, merged)
    return (
        NormLayer(norm=norm(c), name=f"{name}.norm", width=wide if after_joining else None),
        Linear(name=f"{name}.up", inputs=wide, outputs=wide, bias=True, rows=rows),
        Linear(name=f"{name}.down", inputs=wide, outputs=c.number("merged"), bias=True, rows=rows),
    )


def ffn_by_ratio(c: Fields) -> Any:
    """Qwen2-VL gives the network's width as a multiple of the tower's."""
    return int(c.number("hidden") * c.ratio("mlp_ratio", most=MOST_TIMES))


def pixels_of_window(c: Fields) -> Any:
    """Qwen2.5-VL: a window's side is given in pixels."""
    side = c.number("patch_size")
    return (c.number("window_size") // max(1, side)) ** 2


def windows_but_in(name: str) -> Callable[[Fields], list[str] | None]:
    """Windows everywhere but in the layers that the config's field `name` lists."""

    def kinds(c: Fields) -> list[str] | None:
        everywhere = frozenset(indices(c, name))
        return by_index(c, lambda i: FULL if i in everywhere else SLIDING)

    return kinds


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
    return (
        Linear(name="neck.down", outputs=inner),
        NormLayer(norm=LAYER, name="neck.norm_1", width=inner),
        across_channels("neck.convolution", inner, inner, 9, bias=False),
        NormLayer(norm=LAYER, name="neck.norm_2", width=inner),
    )


def qformer_layers(c: Fields) -> tuple[tuple[Run, ...], tuple[int, ...]]:
    """A Q-Former: every so many layers, the queries also attend to what the encoder saw or heard."""
    plain, width = layer(c, FULL, DENSE), c.number("encoder_hidden_size")
    cross = replace(attention(c), keys="encoder", keys_width=width, name="cross_attention")
    own, network = plain.branches
    asks = replace(plain, branches=(own, replace(own, body=cross), network))
    layers, every = c.number("layers"), c.positive("cross_attention_frequency", 2)
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


MOST_TIMES = 1000  # how many times as wide as its tower a network may be
QWEN: dict[str, Any] = {
    **VIT,
    "layers": read("depth", "num_hidden_layers"),
    "heads": read("num_heads", "num_attention_heads"),
    "channels": read("in_channels"),
    "frames_to_patch": read("temporal_patch_size"),
    "tokens": read("num_position_embeddings"),
    "patches": read("num_position_embeddings"),
    "position_rows": read("num_position_embeddings"),
    "final_norm": False,
    "merged": read("out_hidden_size"),
    "after": mergers,
}
UNPLACED = {"tokens": 0, "patches": 0, "position_rows": 0, "patch_bias": False}

FAMILIES: dict[str, Mapping[str, Any]] = {
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
    "llama4_vision_model": {**CLIP, "after": llama4_adapter},
    "qwen3_5_vision": QWEN,
    "qwen3_5_moe_vision": QWEN,
    "qwen3_vl_vision": QWEN,
    "qwen3_vl_moe_vision": QWEN,
    "qwen2_vl_vision": {
        **QWEN,
        **UNPLACED,
        "hidden": read("embed_dim"),
        "ffn": ffn_by_ratio,
        "merged": read("hidden_size"),
    },
    "qwen2_5_vl_vision": {
        **QWEN,
        **UNPLACED,
        "norm": "rms",
        "gated": True,
        "mixer_kinds": windows_but_in("fullatt_block_indexes"),
        "window": pixels_of_window,
    },
    "blip_2_qformer": {
        **VIT,
        "norms": "post",
        "inputs": (NormLayer(norm=LAYER),),
        "tokens": 0,
        "runs": qformer_layers,
        "layer_extra": text_network,
    },
    "got_ocr2_vision": {
        **VIT,
        "ffn": read("mlp_dim"),
        "attention_bias": lambda c: biased("qkv_bias", "qkv")(c) + "o",
        "position_rows": lambda c: grid(c) if c.flag("use_abs_pos", True) else 0,
        "mixer_kinds": windows_but_in("global_attn_indexes"),
        "window": lambda c: c.number("window_size") ** 2,
        "layer_extra": for_kinds(relative_rows),
        "final_norm": False,
        "after": neck,
    },
}
