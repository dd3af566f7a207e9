"""Blocks that remember one state per channel instead of every token: Mamba, Mamba-2, RG-LRU, RWKV, short convolutions.

What they keep of a sequence has a fixed size. Where a scan is a contraction with the state (Mamba), its
multiply-adds per token are k * n; recurrences of single numbers (RG-LRU, RWKV) are elementwise and cost no matrix work.
"""

from __future__ import annotations

from dataclasses import dataclass

from deepwide.architecture.parts import Norm, norm
from deepwide.architecture.rows import Chunks, Taps
from deepwide.architecture.site import Site, lowers
from deepwide.units import Num


@dataclass(frozen=True, slots=True, kw_only=True)
class Mamba:
    """The selective state space of Gu and Dao 2023 (arXiv:2312.00752).

    inner, state      channels, and the numbers that each keeps
    kernel            taps of the short convolution before it; conv_bias says whether that has a bias
    step_rank         width that the step size passes through
    bias              of the input and output projections
    inner_norm        norm of step, B and C (Jamba)
    name              the word for its rows in the ledger
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
    """The state-space duality of Dao and Gu 2024 (arXiv:2405.21060): heads share B and C in groups.

    inner, heads      channels, and the heads that share them out
    state             numbers that each channel keeps
    groups            pairs of B and C; the heads of a group share one
    kernel            taps of the short convolution before it; conv_bias says whether that has a bias
    chunk             tokens taken at a time
    bias              of the input projection, and of the output projection unless output_bias says otherwise
    inner_norm        norm of what is read from the state, None for none
    name              the word for its rows in the ledger
    """

    inner: Num
    heads: Num
    state: Num
    groups: Num
    kernel: Num
    chunk: Num = 256
    bias: bool = False
    output_bias: bool | None = None
    conv_bias: bool = True
    inner_norm: Norm | None = Norm()
    name: str = "mamba2"


@dataclass(frozen=True, slots=True, kw_only=True)
class GatedRecurrence:
    """The real-gated linear recurrent unit of Griffin (arXiv:2402.19427): one number per channel, gates per head.

    `inner` channels in `heads`, behind a short convolution of `kernel` taps; `name` is the word for its rows.
    """

    inner: Num
    heads: Num
    kernel: Num
    name: str = "rglru"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeMix:
    """The token mixing of RWKV-4 (arXiv:2305.13048): a decaying average of values per channel, and the token before.

    `inner` channels; `name` is the word for its rows in the ledger.
    """

    inner: Num
    name: str = "time_mix"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortConvolution:
    """A gated short convolution (LFM2): three projections of the hidden size, one convolved between two gates.

    `kernel` taps; `bias` is that of the projections and of the convolution; `name` is the word for its rows.
    """

    kernel: Num
    bias: bool = False
    name: str = "convolution"


@lowers(Mamba)
def mamba(at: Site, m: Mamba) -> None:
    """in [hidden, 2 inner], conv [inner, kernel], x [inner, step_rank + 2 state], step [step_rank, inner], out."""
    at.part = "recurrent"
    at.matrix("input", at.hidden, 2 * m.inner, bias=m.bias, split="column")
    causal_convolution(at, m.inner, m.kernel, m.conv_bias)
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


@lowers(Mamba2)
def mamba2(at: Site, m: Mamba2) -> None:
    """in [hidden, 2 inner + 2 groups * state + heads], conv over [inner + 2 groups * state], out [inner, hidden].

    The scan writes and reads a state of inner * state; within a chunk each head weighs pairs of tokens.
    """
    at.part = "recurrent"
    mixed = m.inner + 2 * m.groups * m.state
    at.matrix("input", at.hidden, m.inner + mixed + m.heads, bias=m.bias, split="column")
    causal_convolution(at, mixed, m.kernel, m.conv_bias)
    for role in ("step_bias", "decay", "skip"):
        at.vector(role, m.heads)
    if m.inner_norm:
        norm(at, m.inner_norm, m.inner, "inner_norm")
    pairs = m.heads * m.state + m.inner
    at.op("scan", "scan", 2 * m.state, m.inner, how=Chunks(tokens=m.chunk, pairs=pairs, carried=m.inner * m.state))
    at.cache("state", m.inner * m.state + mixed * m.kernel, fixed=True)
    at.matrix("output", m.inner, at.hidden, bias=m.bias if m.output_bias is None else m.output_bias, split="row")


@lowers(GatedRecurrence)
def gated_recurrence(at: Site, r: GatedRecurrence) -> None:
    """gate and input [hidden, inner], conv [inner, kernel], output [inner, hidden], all with a bias.

    input_gate and recurrent_gate [inner / heads, inner / heads] in each head   recurrence [inner]
    """
    at.part = "recurrent"
    at.matrix("gate", at.hidden, r.inner, bias=True, split="column")
    at.matrix("input", at.hidden, r.inner, bias=True, split="column")
    causal_convolution(at, r.inner, r.kernel, True)
    width = r.inner // r.heads
    for role in ("input_gate", "recurrent_gate"):
        at.matrix(role, width, width, bias=True, split="column", copies=r.heads, active=r.heads)
    at.vector("recurrence", r.inner)
    at.op("activation", "recurrence", 2, r.inner)
    at.cache("state", r.inner * (1 + r.kernel), fixed=True)
    at.matrix("output", r.inner, at.hidden, bias=True, split="row")


@lowers(TimeMix)
def time_mix(at: Site, t: TimeMix) -> None:
    """key, value and receptance [hidden, inner], output [inner, hidden]; how much of the token before is mixed in.

    The state is the average, its weight and the largest exponent; and the token before, for this mixing and the next.
    """
    at.part = "recurrent"
    for role in ("key", "value", "receptance"):
        at.vector(f"{role}_mix", at.hidden)
        at.matrix(role, at.hidden, t.inner, split="column")
    at.vector("decay", t.inner)
    at.vector("first", t.inner)
    at.op("activation", "recurrence", 4, t.inner)
    at.cache("state", 3 * t.inner + 2 * at.hidden, fixed=True)
    at.matrix("output", t.inner, at.hidden, split="row")


@lowers(ShortConvolution)
def short_convolution(at: Site, s: ShortConvolution) -> None:
    """in [hidden, 3 hidden], conv [hidden, kernel], out [hidden, hidden]."""
    at.part = "recurrent"
    at.matrix("input", at.hidden, 3 * at.hidden, bias=s.bias, split="column")
    causal_convolution(at, at.hidden, s.kernel, s.bias)
    at.cache("state", at.hidden * s.kernel, fixed=True)
    at.matrix("output", at.hidden, at.hidden, bias=s.bias, split="row")


def causal_convolution(at: Site, channels: Num, kernel: Num, bias: bool) -> None:
    """A causal depthwise convolution [channels, 1, kernel]."""
    at.vector("convolution", channels, 1, kernel)
    at.op(
        "conv",
        "convolution",
        kernel,
        channels,
        weight=f"{at.prefix}.convolution",
        how=Taps(groups=channels, padding=kernel - 1),
    )
    if bias:
        at.vector("convolution.bias", channels)
