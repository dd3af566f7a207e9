"""Towers: stacks of layers over the patches of a picture or the frames of a sound, which a language model reads.

A tower's rule answers the questions of any decoder, and these:

    inputs                   the parts that make tokens of pixels or frames: `pixels`, unless the family has others
    tokens                   how many there are; 0 where the size of the picture or sound is not fixed, and none counted
    runs                     its layers where they are not the usual ones
    stages                   its stacks, where it grows wider step by step
    channels, frames_to_patch, patches   colours, pictures and patches of an input; patch_bias is their matrix's
    first_tokens             names of learned tokens before the patches
    position_rows            rows of the table of positions; 0 for none
    input_norm, inputs_extra   a norm after all that, and further parts
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from deepwide.architecture.extras import Convolution, Linear, Vector
from deepwide.architecture.model import Architecture, Small, Stack
from deepwide.architecture.parts import NormLayer, Positions
from deepwide.errors import BadInput
from deepwide.formats.fields import Fields, short
from deepwide.formats.readers.assembled import assembled
from deepwide.formats.readers.decoder import decoder_stack
from deepwide.formats.readers.layers import norm


def tower(c: Fields, name: str) -> tuple[Stack, ...]:
    """The stacks of a tower, the top one under its own name: one, unless the family grows wider in `stages`."""
    stages: tuple[Stack, ...] = c.rule["stages"](c, name) if "stages" in c.rule else (single(c, name),)
    return stages


def single(c: Fields, name: str) -> Stack:
    """The tower as a stack of that name, which its own tokens run through."""
    if "runs" in c.rule:
        runs, order = c.rule["runs"](c)
        stack = Stack(name=name, hidden=c.number("hidden"), runs=runs, order=order, after=c("after", ()), causal=False)
    else:
        stack = decoder_stack(c, name, causal=False)
    tokens = c.number("tokens", 0)
    if tokens == 0:
        c.notes.append(f"{name}: the size of its input is not fixed, so no operation of it is counted")
    return replace(stack, before=c("inputs", ()), tokens=tokens)


def tower_model(c: Fields) -> Architecture:
    """A tower by itself."""
    return assembled(c, *tower(c, "tower"), vocab=0)


def pixels(c: Fields) -> tuple[Small, ...]:
    """Patches [channels * frames * side^2, hidden], a class token where the family has one, positions, and a norm."""
    hidden, patches = c.number("hidden"), c.number("patches", 0)
    high, wide = sides(c, "patch_size")
    inputs = c.number("channels", 3) * c.number("frames_to_patch", 1) * high * wide
    parts: list[Small] = [
        Linear(name="patches", inputs=inputs, bias=c.flag("patch_bias", True), part="embedding", rows=patches)
    ]
    first = c("first_tokens", ())
    parts.extend(Vector(name=token, shape=(hidden,), part="embedding") for token in first)
    rows = c.number("position_rows", patches + len(first))
    if rows:
        parts.append(Positions(kind="learned", rows=rows))
    if c.flag("input_norm"):
        parts.append(NormLayer(norm=norm(c), name="norm"))
    return (*parts, *c("inputs_extra", ()))


def across_channels(name: str, inputs: Any, outputs: Any, kernel: Any, bias: bool = True) -> Convolution:
    """A convolution that reads all channels [outputs, inputs, kernel]."""
    return Convolution(
        name=name, channels=outputs, kernel=kernel, inputs_per_group=inputs, bias=bias, part="other", groups=1
    )


def grid(c: Fields) -> Any:
    """Patches of one picture of the size that the config gives."""
    down, across = patch_sides(c)
    return down * across


def patch_sides(c: Fields) -> tuple[Any, Any]:
    """Patches down a picture and across it."""
    patch, picture = sides(c, "patch_size"), sides(c, "image_size")
    if 0 in patch:
        raise BadInput(f"{c.where}: patch_size=0 must be at least 1")
    return picture[0] // patch[0], picture[1] // patch[1]


def sides(c: Fields, name: str) -> tuple[Any, Any]:
    """Height and width, which a config may give as one number."""
    value = c(name)
    if not isinstance(value, list | tuple):
        return c.number(name), c.number(name)
    if len(value) != 2:
        raise BadInput(f"{c.where}: {name}={short(value)} must be one number, or height and width")
    return c.checked(name, value[0]), c.checked(name, value[1])
