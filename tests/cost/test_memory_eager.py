"""What a Transformers process holds: published peaks, and what decides them."""

from __future__ import annotations

import pytest

from deepwide.answers.models import find_model
from deepwide.architecture.rows import Weight
from deepwide.cost.eager import FORMATS, eager_bytes, rounding_bytes
from deepwide.errors import BadInput

GIB = 2**30


def held(name: str, kind: str = "bf16", read: int = 1, **more: object) -> float:
    return eager_bytes(find_model(name).ledger, kind=kind, read=read, written=2048, **more) / GIB  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "kind", "read", "gib"),
    [
        ("qwen2.5-7b", "bf16", 1, 14.38),
        ("qwen2.5-7b", "bf16", 30720, 19.97),
        ("qwen2.5-14b", "gptq-int4", 1, 9.94),
        ("qwen2.5-32b", "gptq-int8", 30720, 46.45),
        ("qwen2.5-3b", "awq", 1, 2.5),
    ],
)
def test_published_peaks_are_met(name: str, kind: str, read: int, gib: float) -> None:
    # QwenLM/Qwen2.5 docs/source/benchmark/speed_benchmark.rst: peak of 2048 new tokens on an A100.
    assert gib == pytest.approx(held(name, kind, read), rel=0.012)


@pytest.mark.parametrize(("name", "kind", "gib"), [("qwen3-8b", "bf16", 19.792), ("qwen3-4b", "fp8", 9.386)])
def test_what_stays_after_the_last_token_is_met(name: str, kind: str, gib: float) -> None:
    # QwenLM/Qwen3 docs/source/getting_started/speed_benchmark.md: 30720 + 2048 tokens on an H20.
    assert gib == pytest.approx(held(name, kind, 30720, peak=False, chip="hopper"), rel=0.005)


@pytest.mark.parametrize(
    ("rows", "extra"),
    [
        (2048, 0),  # 8 MiB: from a shared segment
        (11 * 512, 0),  # 22 MiB: a whole number of blocks
        (11 * 512 + 256, 2**20),  # 23 MiB: what is left of 24 is no more than 1 MiB
        (11 * 512 + 128, 0),  # 22.5 MiB: 1.5 MiB are left, and others get them
    ],
)
def test_large_tensors_keep_what_is_left_of_their_last_block(rows: int, extra: int) -> None:
    tensor = Weight(name="w", part="ffn", role="up", shape=(rows, 2048), split="column")
    assert extra == rounding_bytes(tensor, FORMATS["bf16"].stored)


def test_a_tied_head_is_copied_by_formats_that_store_it() -> None:
    copy = 151936 * 2560 * 2 / GIB
    scales = 36 * (2560 * (2 * 4096 + 2 * 1024) + 3 * 2560 * 9728) * 3 / 128 / GIB
    assert copy - scales == pytest.approx(held("qwen3-4b", "fp8") - held("qwen3-4b", "gptq-int8"), abs=0.005)


def test_a_peak_is_never_below_what_stays() -> None:
    assert held("qwen3-8b", read=8192) >= held("qwen3-8b", read=8192, peak=False)


def test_an_unknown_format_gets_a_suggestion() -> None:
    with pytest.raises(BadInput, match="did you mean gptq-int8"):
        held("qwen3-4b", "gptq-int8s")
