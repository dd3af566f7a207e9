"""Language models that hear, each a line: the text, the tower, and what joins them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deepwide.architecture.extras import Linear, Vector
from deepwide.architecture.model import Small
from deepwide.architecture.parts import LAYER, RMS, NormLayer
from deepwide.formats.fields import Fields
from deepwide.formats.readers.inner_configs import Inner
from deepwide.formats.readers.projectors import matrices, one_matrix, tokens, two_matrices
from deepwide.formats.readers.wrapped import wrapped


def merged_frames(c: Fields, tower: Fields, hidden: Any) -> tuple[Small, ...]:
    """MOSS: frames joined, two matrices, and a norm."""
    merged = c.number("audio_merge_size")
    widths = (tower.number("hidden") * merged, hidden, hidden)
    network = matrices(*widths, rows=tokens(tower, merged), bias=c.flag("projector_bias"))
    return (*network, NormLayer(norm=LAYER, name="projector_norm", width=hidden))


def flamingo(c: Fields, tower: Fields, hidden: Any) -> tuple[Small, ...]:
    """Audio Flamingo: frames averaged in twos, then two matrices."""
    return matrices(tower.number("hidden"), hidden, hidden, rows=tokens(tower, 2), bias=c.flag("projector_bias"))


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


def qformer_answers(c: Fields, tower: Fields, hidden: Any) -> tuple[Small, ...]:
    """Granite Speech: learned queries for each window of sound, whose answers are projected."""
    queries = c.number("window_size") // max(1, c.number("downsample_rate"))
    query = Vector(name="queries", shape=(queries, tower.number("hidden")))
    return (query, *matrices(tower.number("hidden"), hidden, rows=tokens(tower), bias=True))


def delay_scales(c: Fields) -> tuple[Small, ...]:
    """Voxtral Realtime: in each layer two matrices, 32 numbers between, scale by how long the text waits for sound."""
    down = Linear(name="delay_down", outputs=32, part="norm", rows=1)
    return (down, Linear(name="delay_up", inputs=32, part="norm", rows=1))


TOKENIZER = "vibevoice_acoustic_tokenizer_encoder"

FAMILIES: dict[str, Mapping[str, Any]] = {
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
    "voxtral_realtime_text": {"like": "mistral", "layer_extra": delay_scales},
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
            "projector_config": Inner("blip_2_qformer", qformer_answers, free=True),
        },
    },
    "granite_speech_plus": {
        "like": "granite_speech",
        "towers": {
            "encoder_config": Inner("granite_speech_plus_encoder"),
            "projector_config": Inner("blip_2_qformer", qformer_answers, free=True),
        },
    },
}
