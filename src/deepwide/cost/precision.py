"""How many bytes a weight takes in every precision in use, the scales of quantisation groups counted.

A quantised format keeps, beside its codes, a scale (and sometimes a zero point) for each group of weights, and leaves
some tensors alone: that is what the rule "INT4 is half a byte" forgets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

from deepwide.architecture.rows import Weight
from deepwide.errors import BadInput, did_you_mean
from deepwide.formats.weights.gguf import GGML_TYPES
from deepwide.units import Num


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """A way to store weights: `bits` each, and `group_bits` more for every group of `group` along the input.

    A group of None is a whole column: one scale for each output. `linear_only` formats quantise the matrices
    inside layers and keep everything else in 16 bits; the others store every tensor alike.
    """

    name: str
    bits: int
    group: int | None = 0
    group_bits: int = 0
    linear_only: bool = False
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufMix:
    """A GGUF file type: most matrices in `base`, the head in `head`, some roles in a better type in some layers.

    `better` holds (role, type, which layers), each taking of the layers that are left: "all", the first "two", "four",
    "eighth" or "sixteenth", "grouped" (all, where keys are shared by four heads or more), or "more" (llama.cpp's
    use_more_bits: the first and last eighth and every third between).
    """

    name: str
    base: str
    head: str
    better: tuple[tuple[str, str, str], ...] = ()
    source: str = "ggml-org/llama.cpp src/llama-quant.cpp, llama_tensor_get_type"


PRECISIONS = (
    Precision(name="fp32", bits=32),
    Precision(name="tf32", bits=32, source="a way to multiply; stored as fp32"),
    Precision(name="bf16", bits=16),
    Precision(name="fp16", bits=16),
    Precision(name="fp8", bits=8, group=None, group_bits=32, linear_only=True, source="one fp32 scale per output"),
    Precision(name="int8", bits=8, group=None, group_bits=16, linear_only=True, source="one fp16 scale per output"),
    Precision(
        name="int4", bits=4, group=128, group_bits=20, linear_only=True, source="GPTQ and AWQ: fp16 scale, 4-bit zero"
    ),
    Precision(
        name="nf4",
        bits=4,
        group=64,
        group_bits=8,
        linear_only=True,
        source="QLoRA, arXiv:2305.14314: double quantisation, an 8-bit scale per 64, an fp32 one per 256 of those, "
        "and their fp32 mean",
    ),
    Precision(name="mxfp4", bits=4, group=32, group_bits=8, linear_only=True, source="OCP MX v1.0: 8-bit scale per 32"),
    Precision(name="nvfp4", bits=4, group=16, group_bits=8, linear_only=True, source="an fp8 scale per 16"),
)
GGUF_MIXES = (
    GgufMix(name="q8_0", base="Q8_0", head="Q8_0"),
    GgufMix(name="q6_k", base="Q6_K", head="Q6_K"),
    GgufMix(name="q5_k_m", base="Q5_K", head="Q6_K", better=(("value", "Q6_K", "more"), ("down", "Q6_K", "more"))),
    GgufMix(name="q5_k_s", base="Q5_K", head="Q6_K"),
    GgufMix(name="q4_k_m", base="Q4_K", head="Q6_K", better=(("value", "Q6_K", "more"), ("down", "Q6_K", "more"))),
    GgufMix(name="q4_k_s", base="Q4_K", head="Q6_K", better=(("value", "Q5_K", "four"), ("down", "Q5_K", "eighth"))),
    GgufMix(
        name="q3_k_l",
        base="Q3_K",
        head="Q6_K",
        better=(("value", "Q5_K", "all"), ("down", "Q5_K", "all"), ("output", "Q5_K", "all")),
    ),
    GgufMix(
        name="q3_k_m",
        base="Q3_K",
        head="Q6_K",
        better=(
            ("value", "Q5_K", "two"),
            ("value", "Q4_K", "all"),
            ("down", "Q5_K", "sixteenth"),
            ("down", "Q4_K", "all"),
            ("output", "Q4_K", "all"),
        ),
    ),
    GgufMix(name="q3_k_s", base="Q3_K", head="Q6_K"),
    GgufMix(
        name="q2_k",
        base="Q2_K",
        head="Q6_K",
        better=(
            ("value", "Q4_K", "grouped"),
            ("value", "Q3_K", "all"),
            ("down", "Q3_K", "all"),
            ("output", "Q3_K", "all"),
        ),
    ),
    GgufMix(name="q5_1", base="Q5_1", head="Q6_K"),
    GgufMix(name="q5_0", base="Q5_0", head="Q6_K"),
    GgufMix(name="q4_1", base="Q4_1", head="Q6_K"),
    GgufMix(name="q4_0", base="Q4_0", head="Q6_K"),
    GgufMix(name="iq4_xs", base="IQ4_XS", head="Q6_K", better=(("value", "Q5_K", "grouped"),)),
    GgufMix(name="iq4_nl", base="IQ4_NL", head="Q6_K", better=(("value", "Q5_K", "grouped"),)),
)
# Bits of one cached element: a quantised cache keeps an fp16 scale for each block of 32, as llama.cpp's does.
CACHE_BITS = {"fp32": Fraction(32), "bf16": Fraction(16), "fp16": Fraction(16), "fp8": Fraction(8)} | {
    name: Fraction(8 * GGML_TYPES[kind][1], GGML_TYPES[kind][0])
    for name, kind in (("int8", "Q8_0"), ("q8_0", "Q8_0"), ("int4", "Q4_0"), ("q4_0", "Q4_0"))
}
DOUBLE_QUANTISED = 256  # scales that share one fp32 scale in nf4; the mean of all scales of a matrix is one more
QUANTISED_PARTS = ("attention", "ffn", "recurrent")


@cache
def precision(name: str) -> Precision | GgufMix:
    """The precision of that name."""
    known: dict[str, Precision | GgufMix] = {p.name: p for p in (*PRECISIONS, *GGUF_MIXES)}
    found = known.get(name.lower())
    if found is None:
        raise BadInput(f"weights={name!r} is not a precision{did_you_mean(name, known)}; known: {', '.join(known)}")
    return found


def cache_bits(name: str) -> Fraction:
    """Bits of one cached element."""
    if name.lower() not in CACHE_BITS:
        raise BadInput(f"cache={name!r} is not a precision of the cache; known: {', '.join(CACHE_BITS)}")
    return CACHE_BITS[name.lower()]


def stored_bytes(w: Weight, how: Precision | GgufMix, chosen: Callable[[Weight], bool] | None = None) -> Num:
    """Bytes of all tensors of a row, its scales included. A tied tensor is stored where it is owned.

    `chosen` says which rows a format for linear layers touches, where that is not the usual rule.
    """
    if w.tied:
        return 0
    if isinstance(how, GgufMix):
        return _gguf_bytes(w, how)
    if how.linear_only and not (chosen or quantised)(w):
        return 2 * w.parameters
    tensors = w.copies * w.repeat
    groups: Num = 0
    if how.group is None:
        groups = w.shape[-1]
    elif how.group:
        groups = -(-w.size // how.group)
    bits = w.size * how.bits + groups * how.group_bits
    if how.name == "nf4":
        bits = bits + (-(-groups // DOUBLE_QUANTISED) + 1) * 32
    return -(-bits // 8) * tensors


def quantised(w: Weight) -> bool:
    """Whether a format for linear layers touches this row: the matrices inside layers, nothing else."""
    return w.part in QUANTISED_PARTS and len(w.shape) == 2 and w.split != "replicated"


def _gguf_bytes(w: Weight, mix: GgufMix) -> Num:
    """A GGUF file: matrices in blocks of their type, vectors in fp32, layer by layer where the types are mixed."""
    if len(w.shape) != 2 or w.part in ("norm", "position", "router"):
        return 4 * w.parameters
    if w.part == "head":
        return _blocks(w, mix.head) * w.copies * w.repeat
    role = w.role.removeprefix("expert_").removeprefix("shared_")
    total: Num = 0
    left = w.repeat
    for kind, where in [(kind, where) for better_role, kind, where in mix.better if better_role == role]:
        chosen = min(_layers(where, w), left)
        total, left = total + _blocks(w, kind) * chosen, left - chosen
    return (total + _blocks(w, mix.base) * left) * w.copies


def _blocks(w: Weight, kind: str) -> Num:
    """Bytes of one tensor in a block type; rows that do not fill a block fall back to fp16, as ggml does."""
    block, block_bytes = GGML_TYPES[kind]
    if w.shape[0] % block:
        return 2 * w.size
    return w.size // block * block_bytes


def _layers(where: str, w: Weight) -> int:
    """How many of its layers a mix stores better; "grouped" is all where a KV head serves four query heads or more."""
    n = int(w.repeat)
    if where == "more":
        return sum(1 for i in range(n) if i < n // 8 or i >= 7 * n // 8 or (i - n // 8) % 3 == 2)
    if where == "grouped":
        return n if w.shape[0] >= 4 * w.shape[1] else 0
    return {"all": n, "eighth": n // 8, "sixteenth": n // 16, "four": 4, "two": 2}[where]
