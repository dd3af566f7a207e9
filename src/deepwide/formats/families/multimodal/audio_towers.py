"""Towers that hear: Whisper's encoder and its kin, each by the model type of its config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deepwide.architecture.extras import Linear, Vector
from deepwide.architecture.model import Small
from deepwide.architecture.parts import NormLayer, Positions
from deepwide.formats.families.multimodal.conformers import halved, plane
from deepwide.formats.families.multimodal.vision_towers import VIT
from deepwide.formats.families.sequence.bart import spectrogram
from deepwide.formats.fields import Fields, read
from deepwide.formats.readers.layers import norm


def stacked(c: Fields) -> tuple[Small, ...]:
    """Frames of a spectrogram joined to one token, projected and normed."""
    inputs = c.number("subsampling_factor") * c.number("num_mel_bins")
    return (Linear(name="frames", inputs=inputs, part="embedding"), NormLayer(norm=norm(c), name="norm"))


def thinned(c: Fields) -> tuple[Small, ...]:
    """Qwen3-ASR: three convolutions over time and frequency, each of stride 2, then a projection."""
    inner = c.number("downsample_hidden_size")
    planes = tuple(plane(f"convolution_{i}", inner, source) for i, source in enumerate((1, inner, inner), start=1))
    left = halved(c.number("num_mel_bins"), 3)
    return (*planes, Linear(name="frames", inputs=inner * left, part="embedding"))


def unplaced(c: Fields) -> tuple[Small, ...]:
    """Whisper's two convolutions, without its table of positions."""
    return tuple(part for part in spectrogram(c) if not isinstance(part, Positions))


WHISPER: dict[str, Any] = {
    **VIT,
    "layers": read("encoder_layers", "num_hidden_layers"),
    "hidden": read("d_model", "hidden_size"),
    "heads": read("encoder_attention_heads", "num_attention_heads"),
    "ffn": read("encoder_ffn_dim", "intermediate_size"),
    "attention_bias": "qvo",
    "inputs": spectrogram,
    "tokens": lambda c: c.number("max_source_positions"),
}
STACKED: dict[str, Any] = {
    **VIT,
    "inputs": stacked,
    "tokens": 0,
    "attention_bias": "o",
    "kv_heads": read("num_key_value_heads"),
    "head_dim": read("head_dim"),
}

FAMILIES: dict[str, Mapping[str, Any]] = {
    "qwen2_audio_encoder": WHISPER,
    "voxtral_encoder": WHISPER,
    "audioflamingo3_encoder": WHISPER,
    "moss_transcribe_diarize_audio": WHISPER,
    "glmasr_encoder": {
        **WHISPER,
        "kv_heads": read("num_key_value_heads"),
        "head_dim": read("head_dim"),
        "inputs": unplaced,
        "max_source_positions": read("max_position_embeddings"),
    },
    "voxtral_realtime_encoder": {
        **WHISPER,
        "head_dim": read("head_dim"),
        "norm": "rms",
        "gated": True,
        "window_everywhere": True,
        "ffn_bias": False,
        "layer_extra": lambda c: (Vector(name="ffn.down.bias", shape=(c.number("hidden"),), part="ffn"),),
        "inputs": unplaced,
        "max_source_positions": read("max_position_embeddings"),
    },
    "qwen3_asr_encoder": {**WHISPER, "attention_bias": "qkvo", "inputs": thinned, "tokens": 0},
    "nemotron3_5_transcribe_asr_audio": {**STACKED, "qk_norm": True},
    "nemotron3_diarization_audio": STACKED,
}
