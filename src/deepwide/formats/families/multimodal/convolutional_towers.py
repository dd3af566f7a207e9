"""Towers that grow wider stage by stage, each stage a stack: MobileNet-V5 (Gemma 3n), VibeVoice's tokenizers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from deepwide.architecture.composite import Assembly
from deepwide.architecture.extras import Convolution, Linear, Operation, Vector
from deepwide.architecture.ffn import FeedForward
from deepwide.architecture.model import Branch, Layer, Run, Small, Stack
from deepwide.architecture.parts import RMS, NormLayer
from deepwide.errors import BadInput
from deepwide.formats.fields import Fields
from deepwide.formats.readers.towers import across_channels, tower_model

# ---- MobileNet-V5, the `mobilenetv5_300m_enc` of timm: stages of inverted bottlenecks, the upper two with attention

PICTURE = 768  # height and width that Gemma 3n's processor makes of every picture
MOST_STAGES = 32  # a width doubled more often than that is no tower
MOBILENET = "mobilenetv5_300m_enc"


def depthwise(name: str, channels: int, kernel: int, rows: int) -> tuple[Small, ...]:
    """A convolution within each channel, and its norm."""
    convolution = Convolution(name=name, channels=channels, kernel=kernel * kernel, part="ffn", rows=rows)
    return (convolution, NormLayer(norm=RMS, name=f"{name}.norm", width=channels))


def pointwise(name: str, inputs: int, outputs: int, rows: int) -> tuple[Small, ...]:
    """A matrix across channels, and its norm."""
    matrix = Linear(name=name, inputs=inputs, outputs=outputs, part="ffn", rows=rows)
    return (matrix, NormLayer(norm=RMS, name=f"{name}.norm", width=outputs))


def edge_bottleneck(inputs: int, outputs: int, rows: int) -> Assembly:
    """A bottleneck whose first convolution crosses channels as well: 3 by 3 to four times the width, and back."""
    wide = 4 * inputs
    expand = Convolution(
        name="expand", channels=wide, kernel=9, inputs_per_group=inputs, part="ffn", groups=1, rows=rows
    )
    norm = NormLayer(norm=RMS, name="expand.norm", width=wide)
    return Assembly(parts=(expand, norm, *pointwise("project", wide, outputs, rows)), name="edge")


def inverted_bottleneck(inputs: int, outputs: int, factor: int, rows: int, start: int = 0, middle: int = 0) -> Assembly:
    """An inverted bottleneck, `factor` times as wide inside, with convolutions of side `start` and `middle`."""
    wide, before = factor * inputs, 4 * rows if middle else rows
    parts = (
        *(depthwise("start", inputs, start, before) if start else ()),
        *pointwise("expand", inputs, wide, before),
        *(depthwise("middle", wide, middle, rows) if middle else ()),
        *pointwise("project", wide, outputs, rows),
        Vector(name="scale", shape=(outputs,), part="ffn"),
    )
    return Assembly(parts=parts, name="bottleneck")


def mobile_attention(width: int, heads: int, head_dim: int, rows: int, key_rows: int) -> Assembly:
    """Attention with one head of keys and values, which may come from a picture of half the side."""
    inner, parts = heads * head_dim, []
    for role in ("key", "value"):
        down = depthwise(f"{role}_down", width, 3, key_rows) if key_rows != rows else ()
        parts += [*down, Linear(name=role, outputs=head_dim, part="attention", rows=key_rows)]
    return Assembly(
        parts=(
            Linear(name="query", outputs=inner, part="attention"),
            *parts,
            Operation(name="scores", kind="attention", k=inner, n=inner, part="attention", key_rows=key_rows),
            Linear(name="output", inputs=inner, part="attention"),
            Vector(name="scale", shape=(width,), part="attention"),
        ),
        name="attention",
    )


def stage(number: int, width: int, rows: int, first: Assembly, layers: Sequence[tuple[Branch, ...]]) -> Stack:
    """A stage: a block that halves the picture and widens it, then the others, equal ones together."""
    runs = [Run(layer=Layer(branches=(Branch(body=first),)), layers=1, name="first")]
    for i, (branches, equal) in enumerate(groupby(layers), start=1):
        runs.append(Run(layer=Layer(branches=branches), layers=len(list(equal)), name=f"then_{i}"))
    return Stack(name=f"vision_{number}", hidden=width, runs=tuple(runs), causal=False, tokens=rows)


def mobilenet(c: Fields, name: str) -> tuple[Stack, ...]:
    """The four stages of MobileNet-V5, and the fusion of the upper two to 16 by 16 tokens."""
    made = c.text("architecture", MOBILENET)
    if made != MOBILENET or c("model_args"):
        raise BadInput(f"{c.where}: architecture={made[:40]!r} must be {MOBILENET}, without model_args")
    rows = [(PICTURE >> halvings) ** 2 for halvings in range(1, 6)]  # after the stem and after each stage
    stem = Convolution(
        name="stem", channels=64, kernel=9, inputs_per_group=3, bias=True, groups=1, part="embedding", rows=rows[0]
    )
    edges = [(Branch(body=edge_bottleneck(128, 128, rows[1])),)] * 2
    starts = [(Branch(body=inverted_bottleneck(256, 256, 4, rows[2], start=side)),) for side in (5, 3, 5, 3)]
    lower = [(Branch(body=inverted_bottleneck(640, 640, 4, rows[3], start=5)),)] * 7
    upper = [
        *lower,
        (Branch(body=inverted_bottleneck(640, 640, 1, rows[3])),),
        *attention_layer(640, 12, 64, rows[3], 4) * 14,
    ]
    return (
        replace(
            stage(1, 128, rows[1], edge_bottleneck(64, 128, rows[1]), edges),
            before=(stem, NormLayer(norm=RMS, name="stem.norm", width=64)),
        ),
        stage(2, 256, rows[2], inverted_bottleneck(128, 256, 6, rows[2], start=3, middle=5), starts),
        stage(3, 640, rows[3], inverted_bottleneck(256, 640, 6, rows[3], 5, 5), upper),
        stage(
            4,
            1280,
            rows[4],
            inverted_bottleneck(640, 1280, 6, rows[4], 5, 5),
            attention_layer(1280, 16, 96, rows[4], 1) * 19,
        ),
        fusion(name, 640 + 1280, 2048, rows[3]),
    )


def attention_layer(width: int, heads: int, head_dim: int, rows: int, fewer: int) -> list[tuple[Branch, ...]]:
    """A layer of attention, its keys and values `fewer` times fewer, and a bottleneck without convolutions."""
    mixer = Branch(body=mobile_attention(width, heads, head_dim, rows, rows // fewer), before=RMS)
    return [(mixer, Branch(body=inverted_bottleneck(width, width, 2, rows)))]


def fusion(name: str, inputs: int, outputs: int, rows: int) -> Stack:
    """The upper stages side by side, through a bottleneck, averaged and normed."""
    wide = 2 * inputs
    parts = (*pointwise("expand", inputs, wide, rows), *pointwise("project", wide, outputs, rows))
    top = NormLayer(norm=RMS, name="final_norm")
    return Stack(name=name, hidden=outputs, runs=(), before=parts, after=(top,), causal=False, tokens=16 * 16)


# ---- VibeVoice's tokenizers: convolutions over raw sound, each stage twice as wide and some times shorter


def tokenizer(c: Fields, name: str) -> tuple[Stack, ...]:
    """A stage for the raw sound and one for each ratio of shortening; the last hands over `hidden_size` channels."""
    ratios, depths = c.listed("downsampling_ratios"), c.listed("depths")
    if not len(ratios) < len(depths) <= MOST_STAGES:
        raise BadInput(
            f"{c.where}: depths has {len(depths)} entries for {len(ratios)} downsampling_ratios and a stem; "
            f"it must have one for each, and at most {MOST_STAGES}"
        )
    c.notes.append(f"{name}: the length of the sound is not fixed, so no operation of it is counted")
    first, side, last = c.number("num_filters"), c.number("kernel_size"), len(ratios)
    kernels = [side, *(2 * c.checked("downsampling_ratios", ratio) for ratio in ratios)]
    channels = [c.number("channels"), *(first << i for i in range(last + 1))]
    stages = [
        Stack(
            name=name if i == last else f"{name}_{i + 1}",
            hidden=channels[i + 1],
            runs=(Run(layer=convnext(c, channels[i + 1]), layers=c.checked("depths", depths[i])),),
            before=(across_channels("shorten", channels[i], channels[i + 1], kernels[i]),),
            causal=False,
            tokens=0,
        )
        for i in range(last + 1)
    ]
    out = across_channels("output", channels[-1], c.number("hidden"), side)
    return (*stages[:-1], replace(stages[-1], after=(out,)))


def convnext(c: Fields, width: int) -> Layer:
    """A convolution within each channel, then a network, each with a norm before and a scale after."""
    kernel = Convolution(name="convolution", channels=width, kernel=c.number("kernel_size"), bias=True, part="other")
    network = FeedForward(ffn=c.number("ffn_expansion") * width, gated=False, bias=True)
    return Layer(
        branches=(
            Branch(body=kernel, before=RMS, extra=(Vector(name="scale", shape=(width,)),)),
            Branch(body=network, before=RMS, extra=(Vector(name="scale", shape=(width,)),)),
        )
    )


FAMILIES: dict[str, Mapping[str, Any]] = {
    "gemma3n_vision": {"reader": tower_model, "stages": mobilenet},
    "vibevoice_acoustic_tokenizer_encoder": {"reader": tower_model, "stages": tokenizer},
}
