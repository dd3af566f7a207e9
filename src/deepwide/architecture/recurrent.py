"""Blocks that remember a state of fixed size instead of every token: Mamba, Mamba-2.

A scan's multiply-adds per token are k * n: the state is read once for every channel.
"""

from __future__ import annotations

from dataclasses import dataclass

from deepwide.architecture.parts import Norm, norm
from deepwide.architecture.rows import Site
from deepwide.units import Num


@dataclass(frozen=True, slots=True, kw_only=True)
class Mamba:
    """The selective state space of Gu and Dao 2023 (arXiv:2312.00752).

    `inner` channels, each with `state` numbers; the step size goes through `step_rank`.
    `inner_norm` norms step, B and C (Jamba).
    """

    inner: Num
    state: Num
    kernel: Num
    step_rank: Num
    bias: bool = False
    conv_bias: bool = True
    inner_norm: Norm | None = None
    name: str = "mamba"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mamba2:
    """The state-space duality of Dao and Gu 2024 (arXiv:2405.21060): heads share B and C in groups."""

    inner: Num
    heads: Num
    state: Num
    groups: Num
    kernel: Num
    bias: bool = False
    conv_bias: bool = True
    inner_norm: Norm | None = Norm()
    name: str = "mamba2"


def mamba(at: Site, m: Mamba) -> None:
    """in [hidden, 2 inner], conv [inner, kernel], x [inner, step_rank + 2 state], step [step_rank, inner], out."""
    at.part = "recurrent"
    at.matrix("input", at.hidden, 2 * m.inner, bias=m.bias, split="column")
    _short_convolution(at, m.inner, m.kernel, m.conv_bias)
    at.matrix("selection", m.inner, m.step_rank + 2 * m.state, split="row")
    if m.inner_norm:
        norm(at, m.inner_norm, m.step_rank, "step_norm")
        norm(at, m.inner_norm, m.state, "b_norm")
        norm(at, m.inner_norm, m.state, "c_norm")
    at.matrix("step", m.step_rank, m.inner, bias=True, split="column")
    at.vector("decay", m.inner, m.state)
    at.vector("skip", m.inner)
    at.op("scan", "scan", m.state, m.inner)
    at.cache("state", m.inner * (m.state + m.kernel), fixed=True)
    at.matrix("output", m.inner, at.hidden, bias=m.bias, split="row")


def mamba2(at: Site, m: Mamba2) -> None:
    """in [hidden, 2 inner + 2 groups * state + heads], conv over [inner + 2 groups * state], out [inner, hidden]."""
    at.part = "recurrent"
    mixed = m.inner + 2 * m.groups * m.state
    at.matrix("input", at.hidden, m.inner + mixed + m.heads, bias=m.bias, split="column")
    _short_convolution(at, mixed, m.kernel, m.conv_bias)
    for role in ("step_bias", "decay", "skip"):
        at.vector(role, m.heads)
    if m.inner_norm:
        norm(at, m.inner_norm, m.inner, "inner_norm")
    at.op("scan", "scan", m.state, m.inner)
    at.cache("state", m.inner * m.state + mixed * m.kernel, fixed=True)
    at.matrix("output", m.inner, at.hidden, bias=m.bias, split="row")


def _short_convolution(at: Site, channels: Num, kernel: Num, bias: bool) -> None:
    """A causal depthwise convolution [channels, 1, kernel]."""
    at.vector("convolution", channels, 1, kernel)
    at.op("conv", "convolution", kernel, channels, weight=f"{at.prefix}.convolution")
    if bias:
        at.vector("convolution.bias", channels)
