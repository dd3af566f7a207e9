"""Precisions: published file sizes, and what the rule of thumb forgets."""

from __future__ import annotations

import pytest

from deepwide.answers.models import find_model
from deepwide.cost.memory import weights_bytes
from deepwide.cost.precision import GGUF_MIXES, PRECISIONS, cache_bits, precision, stored_bytes
from deepwide.errors import BadInput

METADATA_BYTES = 800_000  # vocabulary and other metadata of a Llama 2 file, which are no weights
# Sizes of huggingface.co/TheBloke/Llama-2-7B-GGUF, as listed there.
FILES = {
    "q8_0": 7_161_089_728,
    "q6_k": 5_529_194_176,
    "q5_k_m": 4_783_156_928,
    "q5_k_s": 4_651_691_712,
    "q4_k_m": 4_081_004_224,
    "q4_k_s": 3_856_739_648,
    "q4_0": 3_825_807_040,
    "q3_k_l": 3_597_110_976,
    "q3_k_m": 3_298_004_672,
    "q3_k_s": 2_948_304_576,
}
LLAMA = find_model("llama-2-7b").ledger


@pytest.mark.parametrize(("name", "file_bytes"), FILES.items())
def test_a_gguf_file_is_as_large_as_published_but_for_its_metadata(name: str, file_bytes: int) -> None:
    assert 0 < file_bytes - weights_bytes(LLAMA, precision(name)) < METADATA_BYTES


def test_shared_values_are_stored_better_in_the_smallest_types() -> None:
    # Of Llama-3-8B's 1,048,576 values a row, 32 layers; Q5_K takes 176 bytes for 256 weights and IQ4_XS 136.
    grouped = find_model("llama-3-8b").ledger
    value = next(w for w in grouped.weights if w.role == "value")
    assert value.parameters // 256 * 176 == stored_bytes(value, precision("iq4_xs"))


@pytest.mark.parametrize(("name", "per_parameter"), [("fp32", 4), ("tf32", 4), ("bf16", 2), ("fp16", 2)])
def test_plain_precisions_take_their_width(name: str, per_parameter: int) -> None:
    assert per_parameter * LLAMA.parameters() == weights_bytes(LLAMA, precision(name))


def test_int4_takes_more_than_half_a_byte_because_of_scales_and_what_stays_in_16_bits() -> None:
    share = weights_bytes(LLAMA, precision("int4")) / LLAMA.parameters()
    assert 0.5 < share < 0.6


def test_every_precision_is_smaller_than_fp32_and_none_is_free() -> None:
    full = weights_bytes(LLAMA, precision("fp32"))
    sizes = [weights_bytes(LLAMA, p) for p in (*PRECISIONS, *GGUF_MIXES)]
    assert all(0.05 * full < size <= full for size in sizes)


def test_splitting_over_devices_covers_the_whole() -> None:
    for name in ("bf16", "int4", "q4_k_m"):
        whole, part = (weights_bytes(LLAMA, precision(name), tp) for tp in (1, 8))
        assert whole <= 8 * part < 1.01 * whole


def test_an_unknown_precision_gets_a_suggestion() -> None:
    with pytest.raises(BadInput, match="did you mean"):
        precision("int44")
    with pytest.raises(BadInput, match="known: fp32"):
        cache_bits("int3")
