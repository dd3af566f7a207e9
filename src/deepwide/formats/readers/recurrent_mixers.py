"""Mixers with a state of fixed size, as configs describe them: state spaces, delta rules, short convolutions.

The questions to a family's rule:

    inner, expand                channels, or how many times the hidden size they are
    state, kernel                numbers that each channel keeps; taps of the short convolution
    state_heads, state_head_dim, groups, chunk   heads, their width, groups and chunk length of Mamba-2
    step_rank                    width that Mamba's step size passes through
    state_bias, state_output_bias, conv_bias   of the projections, of the last where it differs, of the convolution
    inner_norm                   whether what is inside is normed
    linear_key_heads, linear_value_heads, linear_key_dim, linear_value_dim   heads of linear attention and their widths
    linear_heads, linear_head_dim, narrow_gates   the same where one number serves both; gates through a narrow middle
"""

from __future__ import annotations

from typing import Any

from deepwide.architecture.linear import DeltaNet
from deepwide.architecture.parts import RMS
from deepwide.architecture.recurrent import Mamba, Mamba2, ShortConvolution
from deepwide.errors import BadInput
from deepwide.formats.fields import Fields, read
from deepwide.formats.readers.layers import FULL

# How Qwen3-Next and its kin spell the sizes of the gated delta rule.
DELTA_FIELDS = {
    "linear_key_heads": read("linear_num_key_heads"),
    "linear_value_heads": read("linear_num_value_heads"),
    "linear_key_dim": read("linear_key_head_dim"),
    "linear_value_dim": read("linear_value_head_dim"),
    "kernel": read("linear_conv_kernel_dim"),
}


def no_ffn(c: Fields, kind: str) -> None:
    """Layers of a mixer alone."""


def inner(c: Fields) -> Any:
    """Channels of a state space: as given, or a multiple of the hidden size."""
    return c.number("inner", c.number("expand", 2) * c.number("hidden"))


def divides(c: Fields, name: str, total: Any, what: str) -> Any:
    """The number called `name`, which must divide `total`."""
    parts = c.number(name)
    if isinstance(parts, int) and isinstance(total, int) and (parts < 1 or total % parts):
        raise BadInput(f"{c.where}: {c.spelled(name)}={parts} must divide the {what}, which is {total}")
    return parts


def mamba(c: Fields, kind: str = FULL) -> Mamba:
    """A Mamba block; the rank of its step size is a sixteenth of the hidden size, rounded up, unless given."""
    rank = c("step_rank")
    return Mamba(
        inner=inner(c),
        state=c.number("state"),
        kernel=c.number("kernel"),
        step_rank=(c.number("hidden") + 15) // 16 if rank in (None, "auto") else c.checked("step_rank", rank),
        bias=c.flag("state_bias"),
        conv_bias=c.flag("conv_bias", True),
        inner_norm=RMS if c.flag("inner_norm") else None,
    )


def mamba2(c: Fields, kind: str = FULL) -> Mamba2:
    """A Mamba-2 block; the width of a head, where it is given as a number, must agree."""
    channels = inner(c)
    heads, width = divides(c, "state_heads", channels, "channels of the state space"), c("state_head_dim")
    if type(width) is int and isinstance(heads, int) and width * heads != channels:
        raise BadInput(
            f"{c.where}: {c.spelled('state_heads')}={heads} times {c.spelled('state_head_dim')}={width} must be the "
            f"channels of the state space, {channels}"
        )
    return Mamba2(
        inner=channels,
        heads=heads,
        state=c.number("state"),
        groups=divides(c, "groups", channels, "channels of the state space"),
        kernel=c.number("kernel"),
        chunk=max(1, c.number("chunk", 256)),
        bias=c.flag("state_bias"),
        output_bias=c.flag("state_output_bias", c.flag("state_bias")),
        conv_bias=c.flag("conv_bias", True),
        inner_norm=RMS if c.flag("inner_norm", True) else None,
    )


def gated_delta(c: Fields, kind: str = FULL) -> DeltaNet:
    """The gated delta rule of Qwen3-Next: more value heads than key heads, one decay for each."""
    keys, values = c.number("linear_key_heads"), c.number("linear_value_heads")
    c.multiple_of("linear_value_heads", values, "linear_key_heads", keys)
    return DeltaNet(
        key_heads=keys,
        value_heads=values,
        key_dim=c.number("linear_key_dim"),
        value_dim=c.number("linear_value_dim"),
        kernel=c.number("kernel"),
    )


def kimi_delta(c: Fields, kind: str = FULL) -> DeltaNet:
    """Kimi Delta Attention: a decay per channel.

    Where `narrow_gates`, the decay and the output gate pass through the width of one head.
    """
    heads, width = c.number("linear_heads"), c.number("linear_head_dim")
    rank = width if c.flag("narrow_gates") else None
    return DeltaNet(
        key_heads=heads,
        value_heads=heads,
        key_dim=width,
        value_dim=width,
        kernel=c.number("kernel"),
        per_channel=True,
        decay_rank=rank,
        gate_rank=rank,
    )


def gated_convolution(c: Fields, kind: str = FULL) -> ShortConvolution:
    """The short convolution of LFM2."""
    return ShortConvolution(kernel=c.number("kernel"), bias=c.flag("conv_bias"))
