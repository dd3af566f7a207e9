"""Text models with towers for pictures or sound in front, each a line: the text, the towers, and what joins them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

from deepwide.architecture.model import Architecture, Body, Small, Stack
from deepwide.architecture.parts import LAYER, RMS, Convolution, Linear, NormLayer, Table, Vector
from deepwide.formats.families.encoders import PLAIN
from deepwide.formats.fields import Fields
from deepwide.formats.readers.layers import FULL, attention
from deepwide.formats.readers.nested import Inner, Join, nested
from deepwide.formats.readers.patterns import by_index, for_kinds, indices
from deepwide.formats.readers.towers import grid
from deepwide.formats.readers.wrapped import wrapped


def matrices(*widths: Any, rows: Any, bias: bool = False) -> tuple[Small, ...]:
    """Matrices one after the other, from each width to the next, on so many tokens."""
    return tuple(
        Linear(name=f"projector_{i}", inputs=inputs, outputs=outputs, bias=bias, rows=rows)
        for i, (inputs, outputs) in enumerate(pairwise(widths), start=1)
    )


def tokens(tower: Fields, merged: Any = 1) -> Any:
    """Tokens that a tower hands over, one for every `merged` of its own."""
    return tower.number("tokens", 0) // max(1, merged)


def soft_tokens(c: Fields, tower: Fields, hidden: Any) -> tuple[Small, ...]:
    """Gemma 3: patches averaged to a fixed number of tokens, normed and projected."""
    width = tower.number("hidden")
    norm = NormLayer(norm=RMS, name="projector_norm", width=width)
    return (*matrices(width, hidden, rows=c.number("mm_tokens_per_image", 256)), norm)


def merged_frames(c: Fields, tower: Fields, hidden: Any) -> tuple[Small, ...]:
    """MOSS: frames joined, two matrices, and a norm."""
    merged = c.number("audio_merge_size")
    widths = (tower.number("hidden") * merged, hidden, hidden)
    network = matrices(*widths, rows=tokens(tower, merged), bias=c.flag("projector_bias"))
    return (*network, NormLayer(norm=LAYER, name="projector_norm", width=hidden))


def flamingo(c: Fields, tower: Fields, hidden: Any) -> tuple[Small, ...]:
    """Audio Flamingo: frames averaged in twos, then two matrices."""
    return matrices(tower.number("hidden"), hidden, hidden, rows=tokens(tower, 2), bias=c.flag("projector_bias"))


def one_matrix(width: str, merged: int = 1, bias: bool = False) -> Join:
    """A matrix from the tower's field `width`, on one token for every `merged`."""
    return lambda c, tower, hidden: matrices(tower.number(width), hidden, rows=tokens(tower, merged), bias=bias)


def two_matrices(width: str, wide: int = 1, bias: bool = False) -> Join:
    """Four frames as wide together as the tower's `width`, and two matrices, `wide` times the text's width between."""
    return lambda c, tower, hidden: matrices(
        tower.number(width), wide * hidden, hidden, rows=tokens(tower, 4), bias=bias
    )


def joined_frames(c: Fields, tower: Fields, hidden: Any) -> tuple[Small, ...]:
    """Voxtral Realtime: as many frames as `downsample_factor` joined, and two matrices."""
    merged = c.number("downsample_factor")
    return matrices(tower.number("hidden") * merged, hidden, hidden, rows=tokens(tower, merged))


def to_own_width(c: Fields, tower: Fields, hidden: Any) -> tuple[Small, ...]:
    """Qwen3-ASR: two matrices to the width that the tower's config gives."""
    width = tower.number("hidden")
    return matrices(width, width, tower.number("output_dim"), rows=tokens(tower), bias=True)


def two_matrices_and_norm(c: Fields, tower: Fields, hidden: Any) -> tuple[Small, ...]:
    """VibeVoice: each tokenizer has two matrices and a norm of its own."""
    norm = NormLayer(norm=RMS, name="projector_norm", width=hidden)
    return (*matrices(tower.number("hidden"), hidden, hidden, rows=0, bias=True), norm)


def asked(c: Fields, tower: Fields, hidden: Any) -> tuple[Small, ...]:
    """Granite Speech: learned queries for each window of sound, whose answers are projected."""
    queries = c.number("window_size") // max(1, c.number("downsample_rate"))
    query = Vector(name="queries", shape=(queries, tower.number("hidden")))
    return (query, *matrices(tower.number("hidden"), hidden, rows=tokens(tower), bias=True))


def upsampled(c: Fields, tower: Fields, hidden: Any) -> tuple[Small, ...]:
    """GOT-OCR: two convolutions of stride 2 and a matrix."""
    inner, rows = tower.number("output_channels"), tokens(tower, 4)
    first = Convolution(name="upsampler_1", channels=2 * inner, kernel=9, inputs_per_group=inner, groups=1, rows=rows)
    second = Convolution(
        name="upsampler_2", channels=hidden, kernel=9, inputs_per_group=2 * inner, groups=1, rows=tokens(tower, 16)
    )
    return (first, second, *matrices(hidden, hidden, rows=tokens(tower, 16), bias=True))


def described(c: Fields, tower: Fields, hidden: Any) -> tuple[Small, ...]:
    """GIT: a matrix and a norm; a vector for each frame of a video where the config counts them."""
    frames = c.number("num_image_with_embedding", 0)
    times = (Vector(name="times", shape=(frames, tower.number("hidden")), part="position"),) if frames else ()
    norm = NormLayer(norm=LAYER, name="projector_norm", width=hidden)
    return (*times, *matrices(tower.number("hidden"), hidden, rows=tokens(tower), bias=True), norm)


def shuffled(c: Fields, tower: Fields, hidden: Any) -> tuple[Small, ...]:
    """ModernVBERT: neighbouring patches joined and projected."""
    merged = c.number("pixel_shuffle_factor") ** 2
    return matrices(tower.number("hidden") * merged, hidden, rows=tokens(tower, merged))


def shuffled_and_normed(c: Fields, tower: Fields, hidden: Any) -> tuple[Small, ...]:
    """UltraVBERT: the same, and a norm."""
    return (*shuffled(c, tower, hidden), NormLayer(norm=RMS, name="projector_norm", width=hidden))


def phi_pictures(c: Fields, tower: Fields, hidden: Any) -> tuple[Small, ...]:
    """Phi-4: patches averaged in fours, two matrices, and vectors that part the whole picture from its pieces."""
    width = tower.number("hidden")
    parting = tuple(Vector(name=name, shape=(width,)) for name in ("whole", "piece"))
    return (*parting, *matrices(width, hidden, hidden, rows=tokens(tower, 4), bias=True))


def phi_sounds(c: Fields, tower: Fields, hidden: Any) -> tuple[Small, ...]:
    """Phi-4: two matrices for sound alone, and two for sound with pictures."""
    width = tower.number("hidden") * tower.number("downsample_rate")
    pairs = (matrices(width, hidden, hidden, rows=0, bias=True) for _ in range(2))
    return tuple(part for pair in pairs for part in pair)


def soft_and_hard(c: Fields, tower: Fields, hidden: Any) -> tuple[Small, ...]:
    """Gemma 3n: a table for tokens that stand for pictures or sounds, norms for both kinds, and a matrix."""
    width = tower.number("hidden")
    table = Table(name="hard", rows=tower.number("vocab"), width=width)
    norms = tuple(NormLayer(norm=RMS, name=f"{kind}_norm", width=width) for kind in ("hard", "soft"))
    return (table, *norms, *matrices(width, hidden, rows=tokens(tower)))


def delayed(c: Fields) -> tuple[Small, ...]:
    """Voxtral Realtime: in each layer two matrices, 32 numbers between, scale by how long the text waits for sound."""
    down = Linear(name="delay_down", outputs=32, part="norm", rows=1)
    return (down, Linear(name="delay_up", inputs=32, part="norm", rows=1))


def bare_patches(c: Fields, hidden: Any) -> tuple[Stack, ...]:
    """Fuyu: patches of the picture, projected, are tokens at once."""
    side = c.number("patch_size")
    patches = Linear(name="patches", inputs=c.number("num_channels") * side * side, bias=True, part="embedding")
    return (Stack(name="vision", hidden=hidden, runs=(), before=(patches,), causal=False, tokens=grid(c)),)


def flat_or_nested(c: Fields) -> Architecture:
    """Fuyu's first configs have the text model's fields among their own."""
    own = c.defaults.get("text_config", {})
    flat = {name: value for name, value in c.config.items() if name in own and name != "model_type"}
    nests = c.config.get("text_config") is not None or not flat
    return wrapped(c if nests else replace(c, config={**c.config, "text_config": flat}))


def tile_tokens(tower: Fields) -> Any:
    """Mllama: the tokens of all tiles of a picture, without those that pad each."""
    return tower.number("position_rows") * tower.number("max_num_tiles")


def kept_layers(c: Fields, tower: Fields, hidden: Any) -> tuple[Small, ...]:
    """Mllama: one matrix, as wide as the layers together whose output is kept."""
    return matrices(tower.number("vision_output_dim"), hidden, rows=tile_tokens(tower), bias=True)


def seen_tokens(c: Fields) -> Mapping[str, Any]:
    """Mllama: how many tokens of a picture the text looks at."""
    tower = nested(c, "vision_config", Inner("mllama_vision_model"))
    return {} if tower is None else {"key_rows": tile_tokens(tower)}


def seeing(c: Fields, kind: str) -> Body:
    """Mllama: a layer whose keys and values are the picture's."""
    rows = c.maybe("key_rows")
    return replace(attention(c), keys="vision", keys_width=c.number("hidden"), key_rows=rows, qk_norm=RMS)


def seeing_kinds(c: Fields) -> list[str] | None:
    """Mllama: which layers look at the picture instead of the text."""
    listed = indices(c, "cross_attention_layers")
    given = frozenset(MLLAMA_SEES if c("cross_attention_layers") is None else listed)
    return by_index(c, lambda i: SEEING if i in given else FULL)


def seeing_gates(c: Fields, mixer_kind: str, ffn_kind: str) -> tuple[Small, ...]:
    """Mllama: the layers that look at the picture gate both of their branches."""
    if mixer_kind != SEEING:
        return ()
    return tuple(Vector(name=f"{name}_gate", shape=(1,)) for name in ("attention", "ffn"))


def text_tied(c: Fields) -> bool:
    """Whether the config inside ties the output head, which the outer class leaves to it."""
    text = nested(c, "text_config", c.rule["text"])
    return text is not None and text.flag("tied")


SEEING = "cross_attention"
MLLAMA_SEES = (3, 8, 13, 18, 23, 28, 33, 38)  # where the config does not say (MllamaTextConfig)
TOKENIZER = "vibevoice_acoustic_tokenizer_encoder"
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
        "tied": text_tied,
        "towers": {"vision_config": Inner("llama4_vision_model", one_matrix("vision_output_dim", merged=4))},
    },
    "mllama_text_model": {
        "like": "llama",
        "head_dim": None,
        "attention_bias": "",
        "ffn_bias": False,
        "embedding_vocab": lambda c: c.number("vocab") + 8,
        "tied": False,
        "mixer_kinds": seeing_kinds,
        "mixers": {SEEING: seeing},
        "layer_extra": for_kinds(seeing_gates),
    },
    "mllama": {
        "reader": wrapped,
        "text": Inner("mllama_text_model"),
        "told": seen_tokens,
        "text_by_task": True,
        "tied": False,
        "towers": {"vision_config": Inner("mllama_vision_model", kept_layers)},
    },
    "fuyu": {
        "reader": flat_or_nested,
        "whole": True,
        "text": Inner("persimmon", free=True),
        "stacks": bare_patches,
    },
    "got_ocr2": {
        "reader": wrapped,
        "text": Inner("qwen2", free=True),
        "towers": {"vision_config": Inner("got_ocr2_vision", upsampled)},
    },
    "git": {
        "reader": wrapped,
        "whole": True,
        "own_head": True,
        "text": GIT,
        "towers": {"vision_config": Inner("git_vision_model", described)},
    },
    "modernvbert": {
        "reader": wrapped,
        "own_head": True,
        "text": Inner("modernbert", free=True),
        "towers": {"vision_config": Inner(SIGLIP, shuffled, free=True)},
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
    "qwen2_audio": {
        "reader": wrapped,
        "tied": False,
        "text": Inner("qwen2", free=True),
        "towers": {"audio_config": Inner("qwen2_audio_encoder", one_matrix("hidden", bias=True, merged=2), free=True)},
    },
    "audioflamingo3": {
        "reader": wrapped,
        "tied": False,
        "text": Inner("qwen2", free=True),
        "towers": {"audio_config": Inner("audioflamingo3_encoder", flamingo, free=True)},
    },
    "musicflamingo": {"like": "audioflamingo3"},
    "voxtral": {
        "reader": wrapped,
        "tied": False,
        "text": Inner("llama", free=True, merged=True),
        "towers": {"audio_config": Inner("voxtral_encoder", two_matrices("ffn"), free=True)},
    },
    "voxtral_realtime_text": {"like": "mistral", "layer_extra": delayed},
    "voxtral_realtime": {
        "reader": wrapped,
        "text": Inner("voxtral_realtime_text", free=True, merged=True),
        "towers": {"audio_config": Inner("voxtral_realtime_encoder", joined_frames)},
    },
    "glmasr": {
        "reader": wrapped,
        "text": Inner("llama", free=True, merged=True),
        "towers": {"audio_config": Inner("glmasr_encoder", two_matrices("ffn", wide=2, bias=True), free=True)},
    },
    "moss_transcribe_diarize": {
        "reader": wrapped,
        "text": Inner("qwen3", free=True),
        "towers": {"audio_config": Inner("moss_transcribe_diarize_audio", merged_frames)},
    },
    "qwen3_asr": {
        "reader": wrapped,
        "text": Inner("qwen3", free=True),
        "towers": {"audio_config": Inner("qwen3_asr_encoder", to_own_width, free=True)},
    },
    "vibevoice_asr": {
        "reader": wrapped,
        "tied": False,
        "text": Inner("qwen2", free=True),
        "towers": {
            "acoustic_tokenizer_encoder_config": Inner(TOKENIZER, two_matrices_and_norm, free=True),
            "semantic_tokenizer_encoder_config": Inner(TOKENIZER, two_matrices_and_norm, free=True),
        },
    },
    "granite_speech": {
        "reader": wrapped,
        "text": Inner("granite", free=True),
        "towers": {
            "encoder_config": Inner("granite_speech_encoder"),
            "projector_config": Inner("blip_2_qformer", asked, free=True),
        },
    },
    "granite_speech_plus": {
        "like": "granite_speech",
        "towers": {
            "encoder_config": Inner("granite_speech_plus_encoder"),
            "projector_config": Inner("blip_2_qformer", asked, free=True),
        },
    },
}
