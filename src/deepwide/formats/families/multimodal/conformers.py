"""Conformers that hear (Granite Speech, Gemma 3n and 4, Phi-4): what each does between attention and second network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deepwide.architecture.extras import Convolution, Linear, Table, Vector
from deepwide.architecture.model import Small
from deepwide.architecture.parts import LAYER_NO_BIAS, NormLayer
from deepwide.errors import BadInput
from deepwide.formats.families.decoders.classic import all_heads, four_hidden
from deepwide.formats.fields import Fields, read, short
from deepwide.formats.readers.conformer import conformer
from deepwide.formats.readers.layers import attention_heads, norm
from deepwide.formats.readers.towers import tower_model


def halved(size: Any, times: int) -> Any:
    """What is left of a size after so many convolutions of stride 2, rounded up each time."""
    for _ in range(times):
        size = (size + 1) // 2
    return size


def plane(
    name: str, channels: Any, source: Any = 1, kernel: Any = 9, bias: bool = True, groups: Any = 1
) -> Convolution:
    """A convolution over time and frequency [channels, source, kernel], whose outputs depend on the sound's length."""
    return Convolution(
        name=name,
        channels=channels,
        kernel=kernel,
        inputs_per_group=source,
        bias=bias,
        part="embedding",
        groups=groups,
        rows=0,
    )


def granite_attention(c: Fields) -> tuple[Small, ...]:
    """A vector per head channel for each distance."""
    _, head_dim = attention_heads(c)
    return (Table(name="relative", rows=2 * c.number("max_pos_emb") + 1, width=head_dim, part="position"),)


def granite_convolution(c: Fields) -> tuple[Small, ...]:
    """Up to a gate, a convolution over time in each channel, a norm over the batch, and down."""
    inner, kernel = c.number("hidden") * c.number("conv_expansion_factor"), c.number("conv_kernel_size")
    return (
        Linear(name="up", outputs=2 * inner, bias=True),
        Convolution(name="depthwise", channels=inner, kernel=kernel, part="other"),
        NormLayer(norm=norm(c), name="inner_norm", width=inner),
        Linear(name="down", inputs=inner, bias=True),
    )


def characters(c: Fields) -> tuple[Small, ...]:
    """Granite Speech: half-way up, a guess at the characters and the way back from it."""
    letters = c.number("output_dim")
    guess = Linear(name="characters", outputs=letters, bias=True)
    return (guess, Linear(name="characters_back", inputs=letters, bias=True))


def gemma_attention(c: Fields) -> tuple[Small, ...]:
    """A projection of relative positions, and a scale for each channel of a head."""
    heads, head_dim = attention_heads(c)
    return (
        Linear(name="relative", outputs=heads * head_dim, rows=c.number("window", 0), once=True),
        Vector(name="scale", shape=(head_dim,)),
    )


def gemma_convolution(c: Fields) -> tuple[Small, ...]:
    """Up to a gate, a convolution over time in each channel, a norm, and down."""
    hidden = c.number("hidden")
    return (
        Linear(name="up", outputs=2 * hidden),
        Convolution(name="depthwise", channels=hidden, kernel=c.number("kernel"), part="other"),
        NormLayer(norm=norm(c), name="inner_norm"),
        Linear(name="down"),
    )


def planes(channels: list[Any], kernels: list[Any]) -> tuple[Small, ...]:
    """Gemma's two convolutions over time and frequency, each with a norm of gains alone."""
    parts: list[Small] = []
    for i, (source, channel, kernel) in enumerate(zip((1, channels[0]), channels, kernels, strict=True), start=1):
        parts.append(plane(f"convolution_{i}", channel, source, kernel, bias=False))
        parts.append(NormLayer(norm=LAYER_NO_BIAS, name=f"norm_{i}", width=channel))
    return tuple(parts)


def gemma3n_frames(c: Fields) -> tuple[Small, ...]:
    """Two convolutions of the sizes that the config lists, then a projection of what is left of each frame."""
    channels, bands = pair(c, "sscp_conv_channel_size"), c.number("input_feat_size")
    kernels, strides = ([pair(c, name, size) for size in c.listed(name)] for name in GEMMA3N_CONVOLUTIONS)
    if len(kernels) != 2 or len(strides) != 2:
        raise BadInput(f"{c.where}: {' and '.join(GEMMA3N_CONVOLUTIONS)} must each list two convolutions")
    for (_, across), (_, step) in zip(kernels, strides, strict=True):
        bands = (bands + 2 - across) // max(1, step) + 1
    frames = Linear(name="frames", inputs=channels[1] * bands, part="embedding")
    return (*planes(channels, [high * wide for high, wide in kernels]), frames)


def gemma4_frames(c: Fields) -> tuple[Small, ...]:
    """Two convolutions of 3 by 3, then a projection of a quarter of the bands."""
    channels = pair(c, "subsampling_conv_channels")
    frames = Linear(name="frames", inputs=channels[0] // 4 * channels[1], part="embedding")
    return (*planes(channels, [9, 9]), frames)


def pair(c: Fields, name: str, value: Any = None) -> list[Any]:
    """Two whole numbers: the config's under `name`, or `value`."""
    value = c(name) if value is None else value
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise BadInput(f"{c.where}: {name}={short(value)} must be a list of two")
    return [c.checked(name, item) for item in value]


def gemma_window(c: Fields) -> Any:
    """Frames in view of a frame's chunk: the chunk, those before it and those after."""
    return c.number("chunk") + c.number("before") - 1 + c.number("behind")


def phi_convolution(c: Fields) -> tuple[Small, ...]:
    """A gate with biases of its own, a convolution over time in each channel and one across them, and a last matrix."""
    hidden, outer = c.number("hidden"), c.number("ext_pw_out_channel")
    inner, separable = hidden * c.number("depthwise_multiplier"), c.number("depthwise_separable_out_channel")
    kernel = c.number("kernel_size")
    return (
        Linear(name="up", outputs=2 * outer, bias=True),
        Vector(name="gate_bias", shape=(2 * outer,)),
        Convolution(name="depthwise", channels=inner, kernel=kernel, bias=True, part="other", groups=hidden),
        Linear(name="pointwise", inputs=inner, outputs=separable, bias=True),
        Linear(name="down", outputs=outer, bias=True),
    )


def phi_frames(c: Fields) -> tuple[Small, ...]:
    """Convolutions over time and frequency that halve both, a projection, and a bias for each distance and head."""
    channels, reduction = c.number("nemo_conv_channels"), c.number("time_reduction")
    if reduction < 2 or reduction % 2:
        raise BadInput(f"{c.where}: time_reduction={reduction} must be a multiple of 2")
    times = reduction.bit_length() - 1
    parts: list[Small] = [plane("convolution_1", channels)]
    for i in range(2, times + 1):
        parts.append(plane(f"convolution_{i}", channels, groups=channels))
        parts.append(plane(f"pointwise_{i}", channels, source=channels, kernel=1))
    left = halved(c.number("input_size"), times)
    buckets = c.number("bias_max_distance") * (1 if c.flag("bias_symmetric") else 2)
    return (
        *parts,
        Linear(name="frames", inputs=channels * left, bias=True, part="embedding"),
        Table(name="relative", rows=buckets, width=c.number("heads"), part="position"),
    )


GEMMA3N_CONVOLUTIONS = ("sscp_conv_kernel_size", "sscp_conv_stride_size")
CONFORMER: dict[str, Any] = {
    "reader": tower_model,
    "runs": conformer,
    "kv_heads": all_heads,
    "head_dim": None,
    "experts": None,
    "gated": False,
}
GEMMA: dict[str, Any] = {
    **CONFORMER,
    "norm": "rms",
    "norms": "sandwich",
    "ffn": four_hidden,
    "attention_extra": gemma_attention,
    "convolution": gemma_convolution,
    "window": gemma_window,
}

FAMILIES: dict[str, Mapping[str, Any]] = {
    "granite_speech_encoder": {
        **CONFORMER,
        "layers": read("num_layers", "num_hidden_layers"),
        "hidden": read("hidden_dim", "hidden_size"),
        "heads": read("num_heads", "num_attention_heads"),
        "head_dim": read("dim_head"),
        "ffn": lambda c: c.number("hidden") * c.number("feedforward_mult"),
        "norm": "layer",
        "ffn_bias": True,
        "attention_bias": "o",
        "attention_extra": granite_attention,
        "convolution": granite_convolution,
        "window": read("context_size"),
        "inputs": lambda c: (Linear(name="frames", inputs=c.number("bands"), bias=True, part="embedding"),),
        "bands": read("input_dim", "num_mel_bins"),
        "after": characters,
    },
    "granite_speech_plus_encoder": {"like": "granite_speech_encoder"},
    "gemma3n_audio": {
        **GEMMA,
        "layers": read("conf_num_hidden_layers"),
        "heads": read("conf_num_attention_heads"),
        "kernel": read("conf_conv_kernel_size"),
        "chunk": read("conf_attention_chunk_size"),
        "before": read("conf_attention_context_left"),
        "behind": read("conf_attention_context_right"),
        "inputs": gemma3n_frames,
    },
    "gemma4_audio": {
        **GEMMA,
        "kernel": read("conv_kernel_size"),
        "chunk": read("attention_chunk_size"),
        "before": read("attention_context_left"),
        "behind": read("attention_context_right"),
        "inputs": gemma4_frames,
        "after": lambda c: (Linear(name="output", outputs=c.number("output_proj_dims"), bias=True),),
    },
    "phi4_multimodal_audio": {
        **CONFORMER,
        "layers": read("num_blocks"),
        "norm": "layer",
        "gated": True,
        "ffn_bias": True,
        "attention_bias": "qkvo",
        "convolution": phi_convolution,
        "inputs": phi_frames,
    },
}
