"""Towers that see: the vision transformers in front of language models, each by the model type of its config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deepwide.architecture.extras import Linear, Operation, Vector
from deepwide.architecture.model import Small
from deepwide.architecture.parts import LAYER, NormLayer, Positions
from deepwide.formats.families.decoders.classic import all_heads
from deepwide.formats.families.decoders.dense import biased, hidden_over_heads
from deepwide.formats.fields import Fields, read, says
from deepwide.formats.readers.towers import grid, pixels, tower_model


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


def scales(c: Fields) -> tuple[Small, ...]:
    """A scale for each channel of the two branches' outputs."""
    return tuple(Vector(name=f"{name}_scale", shape=(c.number("hidden"),)) for name in ("attention", "ffn"))


def mask_token(c: Fields) -> tuple[Small, ...]:
    """InternVL: a vector for patches that are hidden, where the config has one."""
    mask = Vector(name="mask", shape=(c.number("hidden"),), part="embedding")
    return (mask,) if c.flag("use_mask_token") else ()


def axial_positions(c: Fields) -> tuple[Small, ...]:
    """Gemma 4: a table for each of the two axes."""
    return (Positions(kind="learned", rows=2 * c.number("position_embedding_size")),)


VIT: dict[str, Any] = {
    "reader": tower_model,
    "inputs": pixels,
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

FAMILIES: dict[str, Mapping[str, Any]] = {
    "siglip_vision_model": {**VIT, "after": pooling_head},
    "clip_vision_model": CLIP,
    "git_vision_model": CLIP,
    "phi4_multimodal_vision": {**VIT, "after": pooling_head, "vision_use_head": True},
    "siglip2_vision_model": {
        **VIT,
        "tokens": read("num_patches"),
        "patches": read("num_patches"),
        "after": pooling_head,
    },
    "idefics3_vision": VIT,
    "smolvlm_vision": VIT,
    "pixtral": {
        **VIT,
        "norm": "rms",
        "gated": True,
        "attention_bias": "",
        "ffn_bias": False,
        "patch_bias": False,
        "position_rows": 0,
        "input_norm": True,
        "final_norm": False,
    },
    "internvl_vision": {
        **VIT,
        "first_tokens": ("class",),
        "position_rows": lambda c: with_first(c) if c.flag("use_absolute_position_embeddings", True) else 0,
        "inputs_extra": mask_token,
        "norm": lambda c: "rms" if c.raw("norm_type") == "rms_norm" else "layer",
        "attention_bias": lambda c: biased("attention_bias", "qkv")(c) + "o",
        "qk_norm": says("use_qk_norm", "rms", None),
        "qk_norm_over": "width",
        "layer_extra": scales,
        "final_norm": False,
        "after": lambda c: () if c.flag("use_mean_pooling", True) else (NormLayer(norm=LAYER, name="final_norm"),),
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
