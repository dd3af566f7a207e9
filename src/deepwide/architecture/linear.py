"""Linear attention: each head keeps one matrix instead of all keys and values, and updates it token by token.

The delta rule with a gate (Qwen3-Next, OLMo hybrid, Kimi Linear), lightning attention (MiniMax) and the matrix LSTM
(xLSTM). A scan's k * n is the work on that matrix per token; many tokens are taken in chunks, as the published
implementations do.
"""

from __future__ import annotations

from dataclasses import dataclass

from deepwide.architecture.parts import RMS, Norm, norm
from deepwide.architecture.recurrent import causal_convolution
from deepwide.architecture.rows import Chunks
from deepwide.architecture.site import Site, lowers
from deepwide.units import Num

# Chunk lengths of the published implementations where their configs do not say.
DELTA_CHUNK = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaNet:
    """The gated delta rule (arXiv:2412.06464): what a key already recalls is taken off before its value is written.

    key_heads, value_heads   heads of queries and keys, and the more numerous heads of values
    key_dim, value_dim       widths of a key head and of a value head
    kernel                   taps of the short convolution over queries, keys and values
    per_channel              the state decays by a number per channel of the key (Kimi Delta Attention,
                             arXiv:2510.26692), not by one per value head
    decay_rank, gate_rank    widths that decay and output gate pass through where their projections are narrow
    name                     the word for its rows in the ledger
    """

    key_heads: Num
    value_heads: Num
    key_dim: Num
    value_dim: Num
    kernel: Num
    per_channel: bool = False
    decay_rank: Num | None = None
    gate_rank: Num | None = None
    name: str = "delta"


@dataclass(frozen=True, slots=True, kw_only=True)
class LightningAttention:
    """Linear attention with a fixed decay per head (MiniMax-01, arXiv:2501.08313).

    `heads` of width `head_dim`; `block` tokens are taken at a time; `name` is the word for its rows in the ledger.
    """

    heads: Num
    head_dim: Num
    block: Num = 256
    name: str = "lightning"


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixLSTM:
    """The mLSTM of xLSTM-7B (arXiv:2503.13427): exponential gates per head, a matrix and a normaliser as memory.

    `heads` share `key_width` channels of queries and keys and `value_width` of values; `chunk` tokens are taken at a
    time; `bias` is that of all matrices and the norm; `name` is the word for its rows in the ledger.
    """

    heads: Num
    key_width: Num
    value_width: Num
    chunk: Num = 64
    bias: bool = False
    name: str = "mlstm"


@lowers(DeltaNet)
def delta_net(at: Site, d: DeltaNet) -> None:
    """query and key [hidden, key_heads * key_dim], value and gate [hidden, value_heads * value_dim], output.

    beta [hidden, value_heads]   decay [hidden, value_heads or value_heads * key_dim]   conv over query, key and value
    """
    at.part = "recurrent"
    key_width, value_width = d.key_heads * d.key_dim, d.value_heads * d.value_dim
    for role, width in (("query", key_width), ("key", key_width), ("value", value_width)):
        at.matrix(role, at.hidden, width, split="column")
    causal_convolution(at, 2 * key_width + value_width, d.kernel, False)
    at.matrix("beta", at.hidden, d.value_heads, split="column")
    decay_width = d.value_heads * d.key_dim if d.per_channel else d.value_heads
    _narrowed(at, "decay", d.decay_rank, decay_width)
    at.vector("decay_rate", d.value_heads)
    at.vector("step_bias", decay_width)
    pairs = d.value_heads * (2 * d.key_dim + d.value_dim)
    at.op("scan", "scan", 3 * d.key_dim, value_width, how=Chunks(tokens=DELTA_CHUNK, pairs=pairs))
    state = value_width * d.key_dim + (2 * key_width + value_width) * d.kernel
    at.cache("state", state, fixed=True)
    _narrowed(at, "gate", d.gate_rank, value_width)
    norm(at, RMS, d.value_dim, "inner_norm")
    at.matrix("output", value_width, at.hidden, split="row")


def _narrowed(at: Site, role: str, rank: Num | None, width: Num) -> None:
    """A matrix [hidden, width], or two of them with `rank` between."""
    if rank is None:
        at.matrix(role, at.hidden, width, split="column")
    else:
        at.matrix(f"{role}_down", at.hidden, rank)
        at.matrix(role, rank, width, split="column")


@lowers(LightningAttention)
def lightning_attention(at: Site, a: LightningAttention) -> None:
    """query, key, value and gate [hidden, heads * head_dim], output [heads * head_dim, hidden]."""
    at.part = "recurrent"
    width = a.heads * a.head_dim
    for role in ("query", "key", "value", "gate"):
        at.matrix(role, at.hidden, width, split="column")
    at.op("scan", "scan", 2 * a.head_dim, width, how=Chunks(tokens=a.block, pairs=2 * width))
    at.cache("state", width * a.head_dim, fixed=True)
    norm(at, RMS, width, "inner_norm")
    at.matrix("output", width, at.hidden, split="row")


@lowers(MatrixLSTM)
def matrix_lstm(at: Site, m: MatrixLSTM) -> None:
    """query and key [hidden, key_width], value and gate [hidden, value_width], output [value_width, hidden].

    input_gate and forget_gate [hidden, heads], always with a bias
    """
    at.part = "recurrent"
    for role in ("query", "key"):
        at.matrix(role, at.hidden, m.key_width, bias=m.bias, split="column")
    for role in ("value", "gate"):
        at.matrix(role, at.hidden, m.value_width, bias=m.bias, split="column")
    for role in ("input_gate", "forget_gate"):
        at.matrix(role, at.hidden, m.heads, bias=True, split="column")
    chunks = Chunks(tokens=m.chunk, pairs=m.key_width + m.value_width)
    at.op("scan", "scan", 2 * (m.key_width // m.heads), m.value_width, how=chunks)
    at.op("scan", "normaliser", 1, m.key_width)
    at.cache("state", (m.key_width // m.heads) * m.value_width + m.key_width + m.heads, fixed=True)
    norm(at, Norm(bias=m.bias), m.value_width, "inner_norm")
    at.matrix("output", m.value_width, at.hidden, bias=m.bias, split="row")
