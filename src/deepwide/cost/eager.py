"""What a Hugging Face Transformers process holds on its device while it serves: checkpoint formats as they lie there.

PyTorch runs each operation alone (eager), so a prompt's peak is the widest moment of its last layer. Beside weights and
cache stand the blocks that the caching allocator rounds up, a workspace of the matrix library, and buffers of kernels.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from deepwide.architecture.ledger import Ledger
from deepwide.architecture.rows import Scores, Weight
from deepwide.cost.memory import inference_activation_bytes, kv_cache_bytes
from deepwide.cost.precision import Precision, quantised, stored_bytes
from deepwide.errors import BadInput, did_you_mean

MIB = 2**20
# PyTorch's caching allocator (c10/cuda/CUDACachingAllocator.cpp): tensors of 10 MiB and more get blocks of whole
# 2 MiB, and what is left over is given to others only if it is more than 1 MiB.
LARGE_BYTES, BLOCK_BYTES, LEFTOVER_BYTES = 10 * MIB, 2 * MIB, MIB
# The workspace of cuBLAS (aten/src/ATen/cuda/CublasHandlePool.cpp): 32 MiB on Hopper, 8.125 MiB before.
WORKSPACE_BYTES = {"hopper": 32 * MIB, "ampere": 8519680}
CACHE_BITS = Fraction(16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A kind of checkpoint, and what loading and running it adds.

    stored          bytes of each tensor
    head_copy       a head tied to the embedding is a tensor of its own: "kept", or "loading" until it is tied
    unpacked        kernels unpack into a 16-bit buffer as large as the largest matrix
    repeated        attention repeats keys and values for each query head before it scores, one layer at a time
    """

    stored: Precision
    head_copy: str = ""
    unpacked: bool = False
    repeated: bool = False
    source: str = ""


def _groups(bits: int) -> Precision:
    """An fp16 scale and a zero point as wide as a code, for every 128 weights of an output."""
    return Precision(name=f"groups-int{bits}", bits=bits, group=128, group_bits=16 + bits, linear_only=True)


FORMATS = {
    "bf16": Format(stored=Precision(name="bf16", bits=16)),
    "fp8": Format(
        stored=Precision(name="fp8-blocks", bits=8, group=128 * 128, group_bits=32, linear_only=True),
        head_copy="kept",
        source="fine-grained FP8 of Qwen3: an fp32 scale per 128 x 128, lm_head stored beside a tied embedding",
    ),
    "gptq-int8": Format(stored=_groups(8), source="AutoGPTQ, groups of 128"),
    "gptq-int4": Format(stored=_groups(4), unpacked=True, source="ExLlamaV2 kernels: temp_dq of the largest matrix"),
    "awq": Format(stored=_groups(4), head_copy="loading", repeated=True, source="AutoAWQ, fp16 with SDPA"),
}


def eager_bytes(
    ledger: Ledger, *, kind: str, read: int, written: int, batch: int = 1, peak: bool = True, chip: str = "ampere"
) -> int:
    """Bytes that the allocator has handed out after `read` tokens of prompt and `written` new ones.

    The `peak` is the most of three moments: loaded, prompt read, last token written; otherwise only the last counts.
    """
    if kind not in FORMATS:
        raise BadInput(f"format={kind!r} is unknown{did_you_mean(kind, FORMATS)}; known: {', '.join(FORMATS)}")
    how = FORMATS[kind]
    weights = sum(int(stored_bytes(w, how.stored)) + rounding_bytes(w, how.stored) for w in ledger.weights)
    copy = sum(2 * int(w.size) for w in ledger.weights if w.tied)
    matrices = [int(w.size) for w in ledger.weights if quantised(w)]
    resident = weights + (copy if how.head_copy == "kept" else 0) + (2 * max(matrices) if how.unpacked else 0)
    done = resident + WORKSPACE_BYTES[chip] + _cache(ledger, batch, read + written)
    done += _repeated(ledger, batch, read + written) if how.repeated or peak else 0
    if not peak:
        return done
    working_set = int(inference_activation_bytes(ledger, batch=batch, tokens=read, fused=False))
    loaded = weights + (copy if how.head_copy else 0)
    return max(done, loaded, resident + WORKSPACE_BYTES[chip] + _cache(ledger, batch, read) + working_set)


def rounding_bytes(w: Weight, how: Precision) -> int:
    """What the allocator's blocks hold beyond the tensors of a row."""
    bits = how.bits if quantised(w) or not how.linear_only else 16
    size = -(-int(w.size) * bits // 8)
    over = -size % BLOCK_BYTES
    if w.tied or size < LARGE_BYTES or over > LEFTOVER_BYTES:
        return 0
    return over * int(w.copies * w.repeat)


def _cache(ledger: Ledger, batch: int, context: int) -> int:
    return int(kv_cache_bytes(ledger, context=context, batch=batch, bits=CACHE_BITS))


def _repeated(ledger: Ledger, batch: int, context: int) -> int:
    """Keys and values of one layer, repeated for each of its query heads, in 16 bits."""
    widths = [int(op.k + op.n) for op in ledger.ops if isinstance(op.how, Scores)]
    return 2 * batch * context * max(widths, default=0)
