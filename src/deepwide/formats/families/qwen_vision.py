"""Qwen 3.5: a hybrid language model with a tower for pictures and films in front."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from deepwide.architecture.attention import Attention
from deepwide.architecture.ffn import FeedForward
from deepwide.architecture.model import Architecture, Branch, Layer, Run, Stack
from deepwide.architecture.parts import LAYER, Linear, NormLayer, Table
from deepwide.formats.fields import Fields
from deepwide.formats.readers.layers import attention_heads
from deepwide.formats.readers.states import divides
from deepwide.formats.readers.text import text_model

TOWER = {"layers": lambda c: c("depth"), "heads": lambda c: c("num_heads")}


def with_pictures(text: str) -> Callable[[Fields], Architecture]:
    """A reader for a language model of type `text` with the tower, or without where only the language is asked for."""
    language = text_model(text)

    def reader(c: Fields) -> Architecture:
        if c.text("task") == "causal" or c.text("architecture").endswith("ForCausalLM"):
            return language(c)
        model = language(replace(c, config=_tied_as_a_whole(c)))
        return replace(model, stacks=(tower(replace(c.inside("vision_config", TOWER), changes={})), *model.stacks))

    return reader


def _tied_as_a_whole(c: Fields) -> Mapping[str, Any]:
    """The config, its language part tied as the whole says."""
    tied, text = c.raw("tie_word_embeddings"), c.config.get("text_config") or {}
    return (
        c.config
        if not isinstance(text, Mapping)
        else {
            **c.config,
            "text_config": {**text, "tie_word_embeddings": tied is True},
        }
    )


def tower(c: Fields) -> Stack:
    """A vision transformer over patches in space and time; four patches (or so) are merged into one token.

    patches [channels * time * height * width, hidden]   merger [merged * hidden, merged * hidden], then to the text
    """
    hidden, heads = c.number("hidden"), divides(c, "heads", c.number("hidden"), "hidden size")
    tokens, merged = c.number("num_position_embeddings"), c.number("spatial_merge_size") ** 2
    pixels = c.number("in_channels") * c.number("temporal_patch_size") * c.number("patch_size") ** 2
    mixer = Attention(heads=heads, kv_heads=heads, head_dim=attention_heads(c)[1], bias="qkvo")
    network = FeedForward(ffn=c.number("ffn"), gated=False, bias=True, activation=c.text("activation", "gelu"))
    layer = Layer(branches=(Branch(body=mixer, before=LAYER), Branch(body=network, before=LAYER)))
    width, rows = merged * hidden, tokens // max(merged, 1)
    return Stack(
        name="vision",
        hidden=hidden,
        runs=(Run(layer=layer, layers=c.number("layers")),),
        before=(
            Linear(name="patches", inputs=pixels, bias=True, part="embedding"),
            Table(name="positions", rows=tokens, part="position"),
        ),
        after=(
            NormLayer(norm=LAYER, name="merger_norm"),
            Linear(name="merger_up", inputs=width, outputs=width, bias=True, rows=rows),
            Linear(name="merger_down", inputs=width, outputs=c.number("out_hidden_size"), bias=True, rows=rows),
        ),
        causal=False,
        tokens=tokens,
    )


FAMILIES: dict[str, Mapping[str, Any]] = {
    "qwen3_5": {"reader": with_pictures("qwen3_5_text")},
    "qwen3_5_moe": {"reader": with_pictures("qwen3_5_moe_text")},
}
