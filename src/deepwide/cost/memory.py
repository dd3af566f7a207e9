"""Bytes on one device: weights, KV cache, optimiser states. Each a fold over the ledger.

Everything is exact but the overhead of the runtime. Tensor parallelism cuts what the ledger says can be cut.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import reduce

from deepwide.architecture.ledger import Ledger
from deepwide.architecture.rows import Cache, Weight
from deepwide.arithmetic import largest, least, pieces, repeated
from deepwide.cost.precision import GgufMix, Precision, stored_bytes
from deepwide.errors import BadInput, did_you_mean
from deepwide.units import Num

# What a process takes before the first tensor, and what communication buffers add when there are several devices:
# measured residuals of PyTorch runs are 0.3 to 0.6 GiB, NCCL buffers 0.35 to 0.4 GiB (aiconfigurator system files).
CONTEXT_BYTES = 512 * 2**20
COMMUNICATION_BYTES = 384 * 2**20
PREFILL_CHUNK = 2048  # tokens that a serving engine takes at once; longer prompts go through in pieces
ADAPTER_BYTES = 4  # an adapter, its gradient and each of its two moments are kept in fp32


def weights_bytes(ledger: Ledger, how: Precision | GgufMix, tp: int = 1) -> Num:
    """Bytes of the weights on one of `tp` devices."""
    return sum(pieces(stored_bytes(w, how), shards(w, tp)) for w in ledger.weights)


def shards(w: Weight, tp: int) -> int:
    """Into how many pieces tensor parallelism cuts a row: all of them, or none."""
    return 1 if w.split == "replicated" else tp


def kv_cache_bytes(ledger: Ledger, *, context: Num, batch: Num, bits: Fraction, tp: int = 1) -> Num:
    """Bytes of the cache of `batch` sequences of `context` tokens: windows, latents and fixed states as they are.

    Recurrent states stay in 16 bits at least. Heads are spread over `tp` devices, whole ones: the bytes are those of
    the device with most of them, and a lone head is on each.
    """
    total: Num = 0
    for c in ledger.caches:
        width = max(bits, Fraction(16)) if c.fixed else bits
        elements = cached_elements(c, context) * batch * c.repeat
        heads_here = pieces(c.heads, tp)
        total = total + pieces(elements * heads_here * width.numerator, 8 * width.denominator * c.heads)
    return total


def cached_elements_per_token(ledger: Ledger) -> Num:
    """Elements that one more token leaves behind in all layers, while windows are not full; fixed states left out."""
    elements: Num = repeated((c.repeat, c.elements) for c in ledger.caches if not c.fixed)
    return elements


def cached_elements(cache: Cache, context: Num) -> Num:
    """Elements that one layer keeps for one sequence of `context` tokens."""
    if cache.fixed:
        return cache.elements
    if cache.window is None:
        return cache.elements * context
    kept: Num = cache.elements * least(context, cache.window)
    return kept


def inference_activation_bytes(ledger: Ledger, *, batch: Num, tokens: Num, fused: bool = True, tp: int = 1) -> Num:
    """Bytes alive at once while `tokens` of each sequence are read, in 16 bits, with fused attention.

    tokens * batch * 2 (2 hidden + the widest branch: all its projections side by side) + 4 vocab * batch
    The last term is the logits of the last token in fp32. Where nothing is `fused` an activation stands beside its
    input, and so do the embeddings and the layer's input: 4 hidden. What a kernel needs inside itself is left out.
    """
    branches: dict[str, Num] = {}
    logits: Num = 0
    counted = ("matmul",) if fused else ("matmul", "activation")
    for op in (op for op in ledger.ops if op.kind in counted and op.rows is None):
        if op.part == "head":
            logits = logits + 4 * op.n * batch
        elif not op.name.endswith(("down", "output")):
            branch = op.name.rpartition(".")[0]
            branches[branch] = branches.get(branch, 0) + op.n * op.active
    hidden = reduce(largest, (op.n for op in ledger.ops if op.kind == "norm"), 0)
    widest = reduce(largest, branches.values(), 0)
    streams = 2 if fused else 4
    return 2 * tokens * batch * (streams * hidden + pieces(widest, tp)) + pieces(logits, tp)


def _adamw(w: Weight) -> Num:
    return 8 * w.parameters


def _adamw_8bit(w: Weight) -> Num:
    """Two 8-bit moments with an fp32 scale per block of 256 (arXiv:2110.02861); small tensors stay in fp32."""
    if w.size < 4096:
        return 8 * w.parameters
    return (2 * w.size + 2 * 4 * pieces(w.size, 256)) * w.copies * w.repeat


def _adafactor(w: Weight) -> Num:
    """One fp32 number per row and per column of a matrix, per element of a vector (arXiv:1804.04235), no momentum."""
    if w.tied:
        return 0
    factored = w.shape[-2] + w.shape[-1] if len(w.shape) == 2 else w.size
    return 4 * factored * w.copies * w.repeat


def _sgd(w: Weight) -> Num:
    return 4 * w.parameters


def _muon(w: Weight) -> Num:
    """One momentum for the matrices inside layers, AdamW for the rest (kellerjordan.github.io/posts/muon)."""
    inside = len(w.shape) == 2 and w.part in ("attention", "ffn", "recurrent", "router", "other")
    return (4 if inside else 8) * w.parameters


# Optimiser -> bytes of state of a row, fp32 moments without the master copy of the weights.
OPTIMIZERS: dict[str, Callable[[Weight], Num]] = {
    "adamw": _adamw,
    "adamw-8bit": _adamw_8bit,
    "adafactor": _adafactor,
    "sgd": _sgd,
    "muon": _muon,
}


def optimizer_bytes(ledger: Ledger, name: str, master: bool = True) -> Num:
    """Bytes of optimiser state, with an fp32 master copy of 16-bit weights."""
    if name not in OPTIMIZERS:
        raise BadInput(f"optimizer={name!r} is unknown{did_you_mean(name, OPTIMIZERS)}; known: {', '.join(OPTIMIZERS)}")
    state = OPTIMIZERS[name]
    return sum(0 if w.tied else state(w) + (4 * w.parameters if master else 0) for w in ledger.weights)


def overhead_bytes(devices: int) -> int:
    """What the runtime takes on each device: its context, and buffers to talk when there are several."""
    return CONTEXT_BYTES + (COMMUNICATION_BYTES if devices > 1 else 0)
