"""The common models of pictures and text: LLaVA and its kin, PaliGemma, Mistral 3, Idefics 3, InternVL, Qwen-VL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deepwide.architecture.extras import Linear, Vector
from deepwide.architecture.model import Architecture, Small
from deepwide.architecture.parts import LAYER, RMS, NormLayer
from deepwide.formats.fields import Fields, read
from deepwide.formats.readers.inner_configs import Inner, Join, either_ties, unnested
from deepwide.formats.readers.projectors import matrices, shuffled, tokens
from deepwide.formats.readers.wrapped import wrapped


def kept_width(c: Fields, tower: Fields) -> Any:
    """The width of what is kept of the tower: of one layer, or of as many as the config lists."""
    kept = c("vision_feature_layer", c.rule.get("kept_layers"))
    return tower.number("hidden") * (len(kept) if isinstance(kept, list | tuple) else 1)


def llava(c: Fields, tower: Fields, hidden: Any) -> tuple[Small, ...]:
    """LLaVA: two matrices."""
    bias = c.flag("multimodal_projector_bias", True)
    return matrices(kept_width(c, tower), hidden, hidden, rows=tokens(tower), bias=bias)


def llava_in_rows(c: Fields, tower: Fields, hidden: Any) -> tuple[Small, ...]:
    """LLaVA-NeXT: two matrices, and a vector that ends a row of patches."""
    return (*llava(c, tower, hidden), Vector(name="row_end", shape=(hidden,), part="embedding"))


def vip_llava(c: Fields, tower: Fields, hidden: Any) -> tuple[Small, ...]:
    """VipLLaVA: what several layers saw, normed together, and two matrices."""
    width = kept_width(c, tower)
    norm = NormLayer(norm=LAYER, name="projector_norm", width=width)
    return (norm, *matrices(width, hidden, hidden, rows=tokens(tower), bias=True))


def to_own_width(c: Fields, tower: Fields, hidden: Any) -> tuple[Small, ...]:
    """PaliGemma: a matrix to the width that the outer config gives."""
    return matrices(tower.number("hidden"), c.number("projection_dim"), rows=tokens(tower), bias=True)


def merged_patches(c: Fields, tower: Fields, hidden: Any) -> tuple[Small, ...]:
    """Mistral 3: patches normed, joined in squares by a matrix, and two more matrices."""
    width, merged = tower.number("hidden"), c.number("spatial_merge_size") ** 2
    joins = Linear(name="merger", inputs=width * merged, outputs=width, rows=tokens(tower, merged))
    bias = c.flag("multimodal_projector_bias")
    network = matrices(kept_width(c, tower), hidden, hidden, rows=tokens(tower, merged), bias=bias)
    return (NormLayer(norm=RMS, name="projector_norm", width=width), joins, *network)


def cohere_projector(normed: bool) -> Join:
    """Cohere's: patches joined in squares, a matrix of two halves of which one gates the other, and a second matrix."""

    def join(c: Fields, tower: Fields, hidden: Any) -> tuple[Small, ...]:
        merged = c.number("downsample_factor") ** 2
        width, inner = tower.number("hidden") * merged, c.number("alignment_intermediate_size", hidden)
        up, down = (
            Linear(name=name, inputs=inputs, outputs=outputs, bias=True, rows=tokens(tower, merged))
            for name, inputs, outputs in (("projector_1", width, inner), ("projector_2", inner // 2, hidden))
        )
        norm = (NormLayer(norm=LAYER, name="projector_norm", width=width),) if normed else ()
        return (*norm, up, down)

    return join


def joined_in_squares(c: Fields, tower: Fields, hidden: Any) -> tuple[Small, ...]:
    """InternVL: patches joined in squares and normed, and two matrices."""
    merged = int(1 / c.ratio("downsample_ratio", 0.5, least=SMALLEST_RATIO)) ** 2
    width = tower.number("hidden") * merged
    norm = NormLayer(norm=LAYER, name="projector_norm", width=width)
    return (norm, *matrices(width, hidden, hidden, rows=tokens(tower, merged), bias=True))


def lfm2_projector(c: Fields, tower: Fields, hidden: Any) -> tuple[Small, ...]:
    """LFM2-VL: patches joined in squares, normed where the config wants it, and two matrices."""
    merged = c.number("downsample_factor") ** 2
    width, inner = tower.number("hidden") * merged, c.number("projector_hidden_size")
    norm = (NormLayer(norm=LAYER, name="projector_norm", width=width),) if c.flag("projector_use_layernorm") else ()
    return (*norm, *matrices(width, inner, hidden, rows=tokens(tower, merged), bias=c.flag("projector_bias")))


def once_flat(c: Fields) -> Architecture:
    """Qwen-VL's first configs have the text's fields among their own."""
    return wrapped(unnested(c))


def seeing(kind: str, join: Join | None = None, free: bool = True) -> Mapping[str, Inner]:
    """One tower: of the kind that its config says, else `kind`; always `kind` where it is not `free`."""
    return {"vision_config": Inner(kind, join, free=free)}


SMALLEST_RATIO = 0.01
CLIP, SIGLIP = "clip_vision_model", "siglip_vision_model"

FAMILIES: dict[str, Mapping[str, Any]] = {
    "llava": {
        "reader": wrapped,
        "tied": either_ties,
        "text": Inner("llama", free=True),
        "towers": seeing(CLIP, llava),
    },
    "llava_next": {"like": "llava", "tied": read("tie_word_embeddings"), "towers": seeing(CLIP, llava_in_rows)},
    "llava_onevision": {"like": "llava", "text": Inner("qwen2", free=True), "towers": seeing(SIGLIP, llava_in_rows)},
    "vipllava": {"like": "llava_next", "kept_layers": (-2, -5, -8, -11, 6), "towers": seeing(CLIP, vip_llava)},
    "paligemma": {"reader": wrapped, "text": Inner("gemma", free=True), "towers": seeing(SIGLIP, to_own_width)},
    "mistral3": {"reader": wrapped, "text": Inner("mistral", free=True), "towers": seeing("pixtral", merged_patches)},
    "aya_vision": {
        "reader": wrapped,
        "text": Inner("cohere2", free=True),
        "towers": seeing(SIGLIP, cohere_projector(normed=True)),
    },
    "cohere2_vision": {"like": "aya_vision", "towers": seeing(SIGLIP, cohere_projector(normed=False))},
    "idefics3": {
        "reader": wrapped,
        "text": Inner("llama", free=True),
        "towers": seeing("idefics3_vision", shuffled("scale_factor"), free=False),
    },
    "smolvlm": {"like": "idefics3", "towers": seeing("smolvlm_vision", shuffled("scale_factor"), free=False)},
    "internvl": {
        "reader": wrapped,
        "text": Inner("qwen2", free=True),
        "towers": seeing("internvl_vision", joined_in_squares, free=False),
    },
    "lfm2_vl": {
        "reader": wrapped,
        "tied": read("tie_embedding", "tie_word_embeddings"),
        "text": Inner("lfm2", free=True),
        "towers": seeing("siglip2_vision_model", lfm2_projector),
    },
    "qwen2_vl_text": {"like": "qwen2"},
    "qwen2_vl": {
        "reader": once_flat,
        "tied": either_ties,
        "text": Inner("qwen2_vl_text"),
        "towers": seeing("qwen2_vl_vision", free=False),
    },
    "qwen2_5_vl_text": {"like": "qwen2"},
    "qwen2_5_vl": {
        "like": "qwen2_vl",
        "text": Inner("qwen2_5_vl_text"),
        "towers": seeing("qwen2_5_vl_vision", free=False),
    },
    "qwen3_vl_text": {"like": "qwen3"},
    "qwen3_vl": {"reader": wrapped, "text": Inner("qwen3_vl_text"), "towers": seeing("qwen3_vl_vision", free=False)},
    "qwen3_vl_moe_text": {"like": "qwen3_moe"},
    "qwen3_vl_moe": {
        "reader": wrapped,
        "text": Inner("qwen3_vl_moe_text"),
        "towers": seeing("qwen3_vl_moe_vision", free=False),
    },
    "qwen3_5": {
        "reader": wrapped,
        "text": Inner("qwen3_5_text"),
        "text_by_task": True,
        "towers": seeing("qwen3_5_vision", free=False),
    },
    "qwen3_5_moe": {
        "like": "qwen3_5",
        "text": Inner("qwen3_5_moe_text"),
        "towers": seeing("qwen3_5_moe_vision", free=False),
    },
}
