"""Nemotron 3.5 Transcribe: an encoder that hears words, one that hears who speaks, a language model, and word times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from deepwide.architecture.extras import Linear, Vector
from deepwide.architecture.model import Small, Stack
from deepwide.architecture.parts import LAYER, NormLayer
from deepwide.formats.fields import Fields
from deepwide.formats.readers.inner_configs import Inner, nested
from deepwide.formats.readers.towers import across_channels, single
from deepwide.formats.readers.wrapped import wrapped


def towers(c: Fields, hidden: Any) -> tuple[Stack, ...]:
    """The three towers: words, speakers, and the times of words."""
    audio = replace(c.inside("audio_config", {}), changes={})
    speakers = audio.inside("diarization_config", {})
    head = speakers.inside("head_config", {})
    words, voices = tower_fields(audio, "asr_config"), tower_fields(speakers, "audio_config")
    times = tower_fields(c, "word_timestamp_config")
    width, people = words.number("hidden"), head.number("num_speakers")
    heard = single(words, "words")
    joined = (
        NormLayer(norm=LAYER, name="words_norm"),
        NormLayer(norm=LAYER, name="speakers_norm", width=people),
        Linear(name="projector", inputs=width, outputs=hidden, bias=True),
    )
    return (diarization(voices, head), replace(heard, after=(*heard.after, *joined)), single(times, "times"))


def tower_fields(c: Fields, name: str) -> Fields:
    """The fields of the tower under `name`."""
    return nested(c, name, Inner(TOWERS[name]))


def diarization(c: Fields, head: Fields) -> Stack:
    """Who speaks: a tower, a convolution back to the sound's own rate, and a classifier of speakers."""
    stack, inner, factor = single(c, "speakers"), head.number("hidden"), head.number("subsampling_factor")
    silence = Vector(name="silence", shape=(c.number("hidden"),))
    parts: tuple[Small, ...] = (
        Linear(name="narrow", inputs=head.number("audio_hidden_size"), outputs=inner, bias=True),
        across_channels("upsampler", inner, inner * factor, 3),
        Linear(name="classifier", inputs=inner, outputs=inner, bias=True),
        Linear(name="classifier_2", inputs=inner, outputs=head.number("num_speakers"), bias=True),
    )
    return replace(stack, before=(*stack.before, silence), after=(*stack.after, *parts))


def upsampled(c: Fields) -> tuple[Small, ...]:
    """A convolution that makes several moments of each frame, and a norm."""
    factor, hidden = c.number("upsampling_factor"), c.number("hidden")
    return (across_channels("upsampler", hidden, hidden, factor), NormLayer(norm=LAYER))


TOWERS = {
    "asr_config": "nemotron3_5_transcribe_asr_audio",
    "audio_config": "nemotron3_diarization_audio",
    "word_timestamp_config": "nemotron3_5_transcribe_word_timestamp",
}
FAMILIES: dict[str, Mapping[str, Any]] = {
    "nemotron3_5_transcribe_word_timestamp": {
        "like": "nemotron3_5_transcribe_asr_audio",
        "inputs": upsampled,
        "after": lambda c: (Linear(name="head", outputs=c.number("vocab"), bias=True, part="head"),),
    },
    "nemo_speechlm": {
        "reader": wrapped,
        "tied": False,
        "text": Inner("nemotron_h", free=True),
        "stacks": towers,
    },
}
