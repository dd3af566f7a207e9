"""Language models that see, each a line: the text, the towers, and what joins them; some hear as well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from deepwide.architecture.extras import Convolution, Linear, Table, Vector
from deepwide.architecture.model import Body, Small, Stack
from deepwide.architecture.parts import LAYER, RMS, NormLayer
from deepwide.formats.families.encoders.bert import PLAIN
from deepwide.formats.fields import Fields
from deepwide.formats.readers.inner_configs import Inner, inner_ties, nested, unnested
from deepwide.formats.readers.layer_lists import by_index, indices
from deepwide.formats.readers.layers import FULL, attention, for_kinds
from deepwide.formats.readers.projectors import matrices, one_matrix, shuffled, soft_tokens, tokens
from deepwide.formats.readers.towers import grid
from deepwide.formats.readers.wrapped import wrapped


def got_ocr_projector(c: Fields, tower: Fields, hidden: Any) -> tuple[Small, ...]:
    """GOT-OCR: two convolutions of stride 2 and a matrix."""
    inner, rows = tower.number("output_channels"), tokens(tower, 4)
    widths = ((1, inner, 2 * inner, rows), (2, 2 * inner, hidden, tokens(tower, 16)))
    first, second = (
        Convolution(
            name=f"upsampler_{i}", channels=outputs, kernel=9, inputs_per_group=inputs, groups=1, part="other", rows=n
        )
        for i, inputs, outputs, n in widths
    )
    return (first, second, *matrices(hidden, hidden, rows=tokens(tower, 16), bias=True))


def git_projector(c: Fields, tower: Fields, hidden: Any) -> tuple[Small, ...]:
    """GIT: a matrix and a norm; a vector for each frame of a video where the config counts them."""
    frames = c.number("num_image_with_embedding", 0)
    times = (Vector(name="times", shape=(frames, tower.number("hidden")), part="position"),) if frames else ()
    norm = NormLayer(norm=LAYER, name="projector_norm", width=hidden)
    return (*times, *matrices(tower.number("hidden"), hidden, rows=tokens(tower), bias=True), norm)


def shuffled_and_normed(c: Fields, tower: Fields, hidden: Any) -> tuple[Small, ...]:
    """UltraVBERT: squares of patches joined and projected, and a norm."""
    return (
        *shuffled("pixel_shuffle_factor")(c, tower, hidden),
        NormLayer(norm=RMS, name="projector_norm", width=hidden),
    )


def phi_pictures(c: Fields, tower: Fields, hidden: Any) -> tuple[Small, ...]:
    """Phi-4: patches averaged in fours, two matrices, and vectors that part the whole picture from its pieces."""
    width = tower.number("hidden")
    parting = tuple(Vector(name=name, shape=(width,)) for name in ("whole", "piece"))
    return (*parting, *matrices(width, hidden, hidden, rows=tokens(tower, 4), bias=True))


def phi_sounds(c: Fields, tower: Fields, hidden: Any) -> tuple[Small, ...]:
    """Phi-4: two matrices for sound alone, and two for sound with pictures."""
    width = tower.number("hidden") * tower.number("downsample_rate")
    alone, seen = (matrices(width, hidden, hidden, rows=0, bias=True, name=name) for name in ("sound", "film"))
    return (*alone, *seen)


def soft_and_hard(c: Fields, tower: Fields, hidden: Any) -> tuple[Small, ...]:
    """Gemma 3n: a table for tokens that stand for pictures or sounds, norms for both kinds, and a matrix."""
    width = tower.number("hidden")
    table = Table(name="hard", rows=tower.number("vocab"), width=width)
    norms = tuple(NormLayer(norm=RMS, name=f"{kind}_norm", width=width) for kind in ("hard", "soft"))
    return (table, *norms, *matrices(width, hidden, rows=tokens(tower)))


def bare_patches(c: Fields, hidden: Any) -> tuple[Stack, ...]:
    """Fuyu: patches of the picture, projected, are tokens at once."""
    side = c.number("patch_size")
    patches = Linear(name="patches", inputs=c.number("num_channels") * side * side, bias=True, part="embedding")
    return (Stack(name="vision", hidden=hidden, runs=(), before=(patches,), causal=False, tokens=grid(c)),)


def tile_tokens(tower: Fields) -> Any:
    """Mllama: the tokens of all tiles of a picture, without those that pad each."""
    return tower.number("position_rows") * tower.number("max_num_tiles")


def mllama_projector(c: Fields, tower: Fields, hidden: Any) -> tuple[Small, ...]:
    """Mllama: one matrix, as wide as the layers together whose output is kept."""
    return matrices(tower.number("vision_output_dim"), hidden, rows=tile_tokens(tower), bias=True)


def seen_tokens(c: Fields) -> Mapping[str, Any]:
    """Mllama: how many tokens of a picture the text looks at."""
    return {"key_rows": tile_tokens(nested(c, "vision_config", Inner("mllama_vision_model")))}


def picture_attention(c: Fields, kind: str) -> Body:
    """Mllama: a layer whose keys and values are the picture's."""
    rows = c.maybe("key_rows")
    return replace(attention(c), keys="vision", keys_width=c.number("hidden"), key_rows=rows, qk_norm=RMS)


def picture_layers(c: Fields) -> list[str] | None:
    """Mllama: which layers look at the picture instead of the text."""
    listed = indices(c, "cross_attention_layers")
    given = frozenset(MLLAMA_PICTURE_LAYERS if c("cross_attention_layers") is None else listed)
    return by_index(c, lambda i: PICTURE if i in given else FULL)


def picture_gates(c: Fields, mixer_kind: str, ffn_kind: str) -> tuple[Small, ...]:
    """Mllama: the layers that look at the picture gate both of their branches."""
    if mixer_kind != PICTURE:
        return ()
    return tuple(Vector(name=f"{name}_gate", shape=(1,)) for name in ("attention", "ffn"))


PICTURE = "cross_attention"
MLLAMA_PICTURE_LAYERS = (3, 8, 13, 18, 23, 28, 33, 38)  # where the config does not say (MllamaTextConfig)
SIGLIP = "siglip_vision_model"
# GIT's text is BERT's, read from left to right, with a plain output head.
GIT: dict[str, Any] = {
    **PLAIN,
    "causal": True,
    "types": 0,
    "head_transform": False,
    "spare_bias": False,
}

FAMILIES: dict[str, Mapping[str, Any]] = {
    "gemma3": {
        "reader": wrapped,
        "text": Inner("gemma3_text"),
        "towers": {"vision_config": Inner(SIGLIP, soft_tokens, free=True)},
    },
    "shieldgemma2": {"like": "gemma3"},
    "gemma3n": {
        "reader": wrapped,
        "text": Inner("gemma3n_text"),
        "towers": {
            "vision_config": Inner("gemma3n_vision", soft_and_hard),
            "audio_config": Inner("gemma3n_audio", soft_and_hard),
        },
    },
    "gemma4": {
        "reader": wrapped,
        "text": Inner("gemma4_text"),
        "towers": {
            "vision_config": Inner("gemma4_vision", one_matrix("hidden"), optional=True),
            "audio_config": Inner("gemma4_audio", one_matrix("output_proj_dims"), optional=True),
        },
    },
    "llama4": {
        "reader": wrapped,
        "text": Inner("llama4_text"),
        "text_by_task": True,
        "tied": inner_ties,
        "towers": {"vision_config": Inner("llama4_vision_model", one_matrix("vision_output_dim", merged=4))},
    },
    "mllama_text_model": {
        "like": "llama",
        "head_dim": None,
        "attention_bias": "",
        "ffn_bias": False,
        "embedding_vocab": lambda c: c.number("vocab") + 8,
        "tied": False,
        "mixer_kinds": picture_layers,
        "mixers": {PICTURE: picture_attention},
        "layer_extra": for_kinds(picture_gates),
    },
    "mllama": {
        "reader": wrapped,
        "text": Inner("mllama_text_model"),
        "told": seen_tokens,
        "text_by_task": True,
        "tied": False,
        "towers": {"vision_config": Inner("mllama_vision_model", mllama_projector)},
    },
    "fuyu": {
        "reader": lambda c: wrapped(unnested(c)),
        "whole": True,
        "text": Inner("persimmon", free=True),
        "stacks": bare_patches,
    },
    "got_ocr2": {
        "reader": wrapped,
        "text": Inner("qwen2", free=True),
        "towers": {"vision_config": Inner("got_ocr2_vision", got_ocr_projector)},
    },
    "git": {
        "reader": wrapped,
        "whole": True,
        "own_head": True,
        "text": GIT,
        "towers": {"vision_config": Inner("git_vision_model", git_projector)},
    },
    "modernvbert": {
        "reader": wrapped,
        "own_head": True,
        "text": Inner("modernbert", free=True),
        "towers": {"vision_config": Inner(SIGLIP, shuffled("pixel_shuffle_factor"), free=True)},
    },
    "ultravbert": {
        "reader": wrapped,
        "own_head": True,
        "text": Inner("ultrabert", free=True),
        "towers": {"vision_config": Inner(SIGLIP, shuffled_and_normed, free=True)},
    },
    "phi4_multimodal": {
        "reader": wrapped,
        "whole": True,
        "text": "phi3",
        "towers": {
            "vision_config": Inner("phi4_multimodal_vision", phi_pictures),
            "audio_config": Inner("phi4_multimodal_audio", phi_sounds),
        },
    },
}
