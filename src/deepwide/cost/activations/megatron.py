"""Activations by the accounting of training engines: Korthikanti et al. 2022 (arXiv:2205.05198), generalised.

The paper counts what a layer of GPT keeps in 16-bit with fused kernels: s b h (34 + 5 a s / h) bytes for s tokens,
batch b, width h, a heads. Here keys may have fewer heads, the network may be gated, and a flash kernel may keep no
scores. Every size may be an array: no formula branches on a value.
"""

from __future__ import annotations

from dataclasses import dataclass

from deepwide.architecture.attention import Attention
from deepwide.architecture.composite import Beside
from deepwide.architecture.experts import Experts
from deepwide.architecture.ffn import FeedForward
from deepwide.architecture.latent import LatentAttention
from deepwide.architecture.model import Architecture, Body, Layer
from deepwide.architecture.site import LOWER, Site
from deepwide.units import Num, Real

MASK_BYTES = 1  # a dropout keeps a byte per element
STATISTIC_BYTES = 4  # what a flash kernel keeps of each softmax: one float32 per row and head (arXiv:2205.14135)
LOGIT_BYTES = 4  # the loss is taken in float32 (section 4.3 of the paper)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharding:
    """How one layer's activations are cut: `tp` tensor-parallel and `cp` context-parallel devices.

    With `sequence_parallel` what tensor parallelism leaves whole (norms, dropouts, inputs) is cut along the tokens.
    """

    tp: Num = 1
    cp: Num = 1
    sequence_parallel: bool = False

    def token_bytes(self, whole: Num, split: Num) -> Real:
        """Bytes per token on one device, of what tensor parallelism leaves whole and of what it cuts."""
        return (whole / self.tp if self.sequence_parallel else whole) + split / self.tp


ONE_DEVICE = Sharding()


def layer_activation_bytes_megatron(
    *,
    batch: Num,
    tokens: Num,
    hidden: Num,
    heads: Num,
    ffn: Num,
    kv_heads: Num | None = None,
    head_dim: Num | None = None,
    gated: bool = False,
    routed: Num = 0,
    sharding: Sharding = ONE_DEVICE,
    recompute: str = "none",
    flash: bool = False,
    dropout: bool = True,
    element_bytes: Num = 2,
) -> Real:
    """Bytes that one Transformer layer keeps on one device.

    s b h (10 + 24 / t + 5 a s / (h t))    tensor parallelism over t devices; with sequence parallelism 10 / t
    s b h (10 + 24 / t)                    scores recomputed (`selective`)
    2 s b h                                layer recomputed (`full`)            Korthikanti et al. 2022, table 2
    `ffn` is the inner width of all that a token passes; `routed` copies of it go to experts and come back.
    With more devices than key heads, give `kv_heads` as the number of devices: each holds one.
    """
    width = hidden // heads if head_dim is None else head_dim
    keys = heads if kv_heads is None else kv_heads
    rows = batch * tokens / sharding.cp
    if recompute == "full":
        return rows * sharding.token_bytes(element_bytes * hidden, 0)
    scores = 0 if recompute == "selective" or flash else _score_bytes(heads * tokens, element_bytes, dropout)
    statistics = STATISTIC_BYTES * heads if flash else 0
    attention = element_bytes * (2 * heads + 2 * keys) * width + scores + statistics
    network = element_bytes * (3 if gated else 2) * ffn
    whole = 2 * _branch_bytes(hidden, element_bytes, dropout) + element_bytes * 2 * routed * hidden
    return rows * sharding.token_bytes(whole, attention + network)


def _branch_bytes(hidden: Num, element_bytes: Num, dropout: bool) -> Num:
    """What every residual branch keeps: the input of its norm, the norm's output, and the mask of its dropout."""
    return (2 * element_bytes + MASK_BYTES * dropout) * hidden


def _score_bytes(scores: Num, element_bytes: Num, dropout: bool) -> Num:
    """The softmax's output, and with a dropout also its mask and its output: 5 bytes for each score in 16-bit."""
    return scores * (2 * element_bytes + MASK_BYTES if dropout else element_bytes)


def megatron_activation_bytes(
    architecture: Architecture,
    *,
    batch: Num,
    tokens: Num,
    sharding: Sharding = ONE_DEVICE,
    recompute: str = "none",
    flash: bool = False,
    dropout: bool = True,
    element_bytes: Num = 2,
) -> Real:
    """Bytes that a whole model keeps, without pipeline: its layers, and the two ends.

    The ends: the embedding's mask, the input and output of the last norm, float32 logits (section 4.3).
    """
    main = architecture.main
    ends = (2 * element_bytes + MASK_BYTES * dropout) * main.hidden
    total = batch * tokens / sharding.cp * sharding.token_bytes(ends, LOGIT_BYTES * architecture.vocab)
    for stack in architecture.stacks:
        rows = batch * (tokens if stack.tokens is None else stack.tokens) / sharding.cp
        for run in stack.runs:
            if recompute == "full":
                kept = sharding.token_bytes(element_bytes * stack.hidden, 0)
            else:
                scored = 0 if flash or recompute == "selective" else tokens
                kept = sharding.token_bytes(
                    *kept_per_token(
                        run.layer,
                        stack.hidden,
                        scored=scored,
                        flash=flash,
                        dropout=dropout,
                        element_bytes=element_bytes,
                    )
                )
            total = total + rows * kept * run.layers
    return total


def kept_per_token(
    layer: Layer, hidden: Num, *, scored: Num = 0, flash: bool = False, dropout: bool = True, element_bytes: Num = 2
) -> tuple[Num, Num]:
    """Bytes per token that one layer keeps, branch by branch: (what tensor parallelism leaves whole, what it cuts).

    Each token keeps its scores on `scored` keys: 0 where a flash kernel keeps none, or where they are recomputed.
    """
    whole: Num = 0
    split: Num = 0
    for branch in layer.branches:
        heads = getattr(branch.body, "heads", 0)
        copies = 2 * branch.body.active_experts * hidden if isinstance(branch.body, Experts) else 0
        whole = whole + _branch_bytes(hidden, element_bytes, dropout) + element_bytes * copies
        split = split + element_bytes * _inner_width(branch.body, hidden)
        split = split + _score_bytes(heads * scored, element_bytes, dropout) + STATISTIC_BYTES * heads * flash
    return whole, split


def _inner_width(body: Body, hidden: Num) -> Num:
    """Elements per token kept inside a part, beyond its input."""
    match body:
        case Attention():
            value_dim = body.head_dim if body.value_dim is None else body.value_dim
            return (body.heads + body.kv_heads) * (body.head_dim + value_dim)
        case LatentAttention():
            latent = body.kv_rank + body.rope_dim + (0 if body.query_rank is None else body.query_rank)
            return 2 * body.heads * (body.nope_dim + body.rope_dim + body.value_dim) + latent
        case FeedForward():
            return (3 if body.gated else 2) * body.ffn
        case Experts():
            shared = _inner_width(body.shared, hidden) * body.shared_copies if body.shared else 0
            return (3 if body.gated else 2) * body.active_experts * body.ffn + shared
        case Beside():
            return sum(_inner_width(mixer, hidden) for mixer in body.mixers)
    site = Site(weights=[], ops=[], caches=[], prefix="", hidden=hidden)
    LOWER[type(body)](site, body)
    return sum(op.k * op.active for op in site.ops if op.kind == "matmul")
