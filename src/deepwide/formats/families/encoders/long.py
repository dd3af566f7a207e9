"""Encoders for long texts: a token attends a window, a few blocks, or those of its own hash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from deepwide.architecture.composite import Assembly
from deepwide.architecture.extras import Linear, Operation, Table
from deepwide.architecture.model import Body, Small
from deepwide.architecture.parts import LAYER, NormLayer
from deepwide.errors import BadInput
from deepwide.formats.families.encoders.bert import BERT, PLAIN
from deepwide.formats.fields import Fields, read, says
from deepwide.formats.readers.encoder import pooler
from deepwide.formats.readers.layer_lists import listed_kinds
from deepwide.formats.readers.layers import FULL, attention, attention_heads


def hashed(c: Fields, kind: str) -> Body:
    """Queries that are the keys too, attended within their bucket."""
    heads, head_dim = attention_heads(c)
    width, window = heads * head_dim, chunks(c, "lsh_attn_chunk_length", "lsh_num_chunks")
    parts = (
        Linear(name="query_key", outputs=width, part="attention", split="column"),
        Linear(name="value", outputs=width, part="attention", split="column"),
        Operation(name="scores", kind="attention", k=width, n=width, window=window),
        Linear(name="output", inputs=width, part="attention", split="row"),
    )
    return Assembly(parts=parts, name="attention")


def chunked(c: Fields, kind: str) -> Body:
    """Attention to a token's own chunk and the chunks beside it."""
    return replace(attention(c, kind), window=chunks(c, "local_attn_chunk_length", "local_num_chunks"))


def chunks(c: Fields, length: str, number: str) -> Any:
    """Tokens in the chunks that are attended."""
    return c.number(length, 64) * (1 + c.number(f"{number}_before", 1) + c.number(f"{number}_after", 0))


def reformer_kinds(c: Fields) -> list[str] | None:
    """The config's list of layers: local or lsh."""
    kinds = listed_kinds(c, "attn_layers")
    if not kinds or not set(kinds) <= {"local", "lsh"}:
        raise BadInput(f"{c.where}: attn_layers must be a list of 'local' and 'lsh'")
    return kinds


def axial_positions(c: Fields) -> tuple[Small, ...]:
    """Positions as points of a grid: a table for each axis, side by side they fill the hidden size."""
    if not c.flag("axial_pos_embds"):
        return ()
    shape, widths = c.listed("axial_pos_shape"), c.listed("axial_pos_embds_dim")
    widths = [c.checked("axial_pos_embds_dim", width) for width in widths]
    if sum(widths) != c.number("hidden") or len(shape) < len(widths):
        raise BadInput(
            f"{c.where}: axial_pos_embds_dim={widths} must sum to hidden_size={c.number('hidden')}, "
            "with one entry of axial_pos_shape for each"
        )
    rows = [c.checked("axial_pos_shape", axis) for axis in shape]
    return tuple(Table(name=f"axis{i}", rows=rows[i], width=width, part="position") for i, width in enumerate(widths))


def both_streams(c: Fields) -> tuple[Small, ...]:
    """The two streams of the reversible layers are joined and normed."""
    return (NormLayer(norm=LAYER, name="final_norm", width=2 * c.number("hidden")),)


def windows(c: Fields) -> list[str] | None:
    """Longformer: a window for each layer, or one for all."""
    given = c("attention_window", 512)
    if isinstance(given, list | tuple):
        kinds = listed_kinds(c, "attention_window")
        if len(given) != c.number("layers"):
            raise BadInput(f"{c.where}: attention_window has {len(given)} entries for {c.number('layers')} layers")
        sizes = [c.checked("attention_window", window) for window in given]
    else:
        sizes = [c.checked("attention_window", given)]
        kinds = None
    if any(size < 2 or size % 2 for size in sizes):
        raise BadInput(f"{c.where}: attention_window={given} must be even and above 0")
    return kinds


def with_global_queries(c: Fields, kind: str) -> Body:
    """Attention in a window, and projections for tokens that see all others: none, unless the caller marks some."""
    given = c("attention_window", 512)
    window = int(kind) if isinstance(given, list | tuple) else given
    body = replace(attention(c, kind), window=window + 1)
    roles = ("query", "key", "value")
    extra = (Linear(name=f"global_{role}", bias=True, part="attention", rows=0) for role in roles)
    return Assembly(parts=(body, *extra), name="attention")


def windowed_mixers(c: Fields) -> dict[str, Any]:
    """Each window is a kind of layer of its own."""
    return dict.fromkeys(windows(c) or [FULL], with_global_queries)


def block_window(c: Fields) -> Any:
    """BigBird: three blocks around a token, two at the ends of the text, and some at random."""
    if c.text("attention_type") == "original_full":
        return None
    return c.number("block_size", 64) * (5 + c.number("num_random_blocks", 3))


FAMILIES: dict[str, Mapping[str, Any]] = {
    "big_bird": {
        **BERT,
        "attention_bias": says("use_bias", "qkvo", "o"),
        "window": block_window,
        "window_everywhere": True,
        "after": pooler,
    },
    "longformer": {**PLAIN, "mixer_kinds": windows, "mixers": windowed_mixers},
    "reformer": {
        **PLAIN,
        "causal": says("is_decoder"),
        "layers": lambda c: len(c.listed("attn_layers")),
        "norms": "pre",
        "head_dim": read("attention_head_size"),
        "attention_bias": "",
        "ffn": read("feed_forward_size"),
        "positions": says("axial_pos_embds", "axial", "learned"),
        "types": 0,
        "embedding_extra": axial_positions,
        "embedding_norm": False,
        "mixer_kinds": reformer_kinds,
        "mixers": {"lsh": hashed, "local": chunked},
        "after": both_streams,
        "head_transform": False,
        "head_width": lambda c: 2 * c.number("hidden"),
        "tied": False,
        "spare_bias": False,
    },
}
