"""Which sizes matrix units like: tiles, heads, and the agreement with BigScience's measured sweep."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from deepwide.answers.models import find_model
from deepwide.answers.training import predict_training
from deepwide.cost.roofline import misaligned
from deepwide.design.alignment import (
    Widths,
    aligned_up_to,
    around,
    better_heads,
    head_slowdown,
    misfits,
    products,
    realigned,
    shared_by,
    tile_fill,
)

# The 180B runs of bigscience-workshop/bigscience, train/tr11-176B-ml/chronicles-prequel.md: A100, tensor parallel 8.
TP, VOCAB = 8, 250_880
BLOOM = Widths(hidden=13824, heads=64, kv_heads=64, head_dim=216, ffn=4 * 13824, vocab=VOCAB)


def bloom(hidden: int, heads: int) -> Widths:
    head_dim = hidden // heads
    return replace(BLOOM, hidden=hidden, heads=heads, kv_heads=heads, head_dim=head_dim, ffn=4 * hidden)


def slowest(of: Widths, tp: int = TP) -> float:
    return max((m.slower for m in misfits(of, tp)), default=1.0)


def test_hidden_13824_is_preferred_over_14400() -> None:
    wide = bloom(14400, 72)
    assert () == misfits(bloom(13824, 64), TP)
    assert ["hidden", "ffn"] == [m.name for m in misfits(wide, TP)]
    assert 1.33 == slowest(wide)
    assert realigned(wide, TP).hidden in (13824, 14336)  # both were measured, and both are good


def test_head_dim_216_is_preferred_over_108() -> None:
    narrow = bloom(13824, 128)
    (found,) = misfits(narrow, TP)
    assert ("head_dim", 108) == (found.name, found.size)
    assert head_slowdown(216, 64, TP) == 1.0 < head_slowdown(108, 128, TP) == found.slower
    assert realigned(narrow, TP).head_dim == 144  # 96 heads, which were measured as nearly as good as 64


@pytest.mark.parametrize(
    ("good", "bad", "measured"),
    [
        ((13824, 78, 64), (13824, 78, 128), 162.72 / 121.28),  # seconds of a step, pp 6, micro-batch 4, 384 devices
        ((14336, 72, 64), (14336, 72, 112), 138.7 / 120.2),
    ],
)
def test_what_heads_cost_is_what_was_measured(good: tuple[int, ...], bad: tuple[int, ...], measured: float) -> None:
    slower = _step_s(*bad, pp=6, devices=384) / _step_s(*good, pp=6, devices=384)
    assert pytest.approx(measured, rel=0.12) == slower


def test_what_a_width_costs_is_what_was_measured() -> None:
    # 94.39 TFLOP/s at 14400, 120.05 at 13824, both with recomputation: pp 10, micro-batch 1, 320 devices.
    work = (80 * 14400**2) / (80 * 13824**2)
    slower = _step_s(14400, 80, 72, pp=10, devices=320, micro_batch=1) / _step_s(
        13824, 80, 64, pp=10, devices=320, micro_batch=1
    )
    assert pytest.approx(120.05 / 94.39, rel=0.12) == slower / work


def _step_s(hidden: int, layers: int, heads: int, *, pp: int, devices: int, micro_batch: int = 4) -> float:
    model = f"like=gpt2,layers={layers},hidden={hidden},heads={heads},ffn={4 * hidden},vocab={VOCAB},context=2048"
    plan = f"tp=8,pp={pp},dp={devices // (8 * pp)},micro_batch={micro_batch},zero=1,recompute=full"
    run = {"devices": devices, "sequence": 2048, "global_batch": 2048, "precision": "bf16"}
    return predict_training(model, on="a100-sxm-80gb", plan=plan, runtime="megatron-deepspeed-jean-zay", **run).step_s


def test_a_tile_is_full_at_its_multiples_only() -> None:
    assert [1.0, 0.5, 65 / 128] == [tile_fill(64), tile_fill(32), tile_fill(65)]
    assert [1.0, 0.5, 65 / 128] == list(tile_fill(np.array([64.0, 32.0, 65.0])))


@pytest.mark.parametrize("size", [1, 63, 64, 65, 4096, 14400])
def test_the_nearest_multiples_stand_on_both_sides(size: int) -> None:
    near = around(size, 64)
    assert all(n % 64 == 0 and abs(n - size) < 64 for n in near)
    assert (size % 64 == 0) == (near == (size,))


@pytest.mark.parametrize("tp", [1, 2, 4, 8])
@pytest.mark.parametrize(("hidden", "heads"), [(14400, 80), (13824, 128), (2880, 32), (5000, 40), (1600, 25)])
def test_what_is_realigned_has_nothing_left_to_mend(hidden: int, heads: int, tp: int) -> None:
    better = realigned(bloom(hidden, heads), tp)
    assert () == misfits(better, tp)
    assert better == realigned(better, tp)
    assert better.heads is not None
    assert better.heads * (better.head_dim or 0) == better.hidden
    assert aligned_up_to(better) >= tp


def test_kv_heads_still_serve_a_whole_number_of_heads_after_alignment() -> None:
    better = realigned(replace(bloom(2880, 32), kv_heads=8), 8)
    assert (8, 0) == (better.kv_heads, (better.heads or 0) % 8)


def test_heads_that_devices_cannot_share_are_told() -> None:
    qwen = Widths(hidden=3584, heads=28, kv_heads=4, head_dim=128, ffn=18944, vocab=152_064)
    assert ["heads"] == [m.name for m in misfits(qwen, 8) if m.name != "vocab"]
    assert 4 == shared_by(28, 4, 8) == aligned_up_to(qwen)


def test_a_narrow_head_is_told_with_wider_ones() -> None:
    (found,) = [m for m in misfits(bloom(1024, 32), 1) if m.name == "head_dim"]
    assert "outside 64 to 256" in found.why
    assert all(64 <= n <= 256 for n in found.better)


def test_a_vocabulary_costs_what_it_is_padded_by() -> None:
    (found,) = misfits(replace(bloom(4096, 32), vocab=50257), 1)
    assert ("vocab", 50304 / 50257, (50304,)) == (found.name, found.slower, found.better)


def test_heads_are_offered_nearest_first_unless_kernels_take_them_badly() -> None:
    offered = better_heads(13824, 128, 8)
    assert all(13824 % n == 0 and n % 8 == 0 and 13824 // n % 8 == 0 for n in offered)
    assert (96, 144) == (offered[0], offered[3])  # 144 is nearer, but 18 heads a device are no multiple of 4


def test_products_that_fill_their_tiles_are_not_slower() -> None:
    filled = products(find_model("llama-3-8b").ledger, 4096)
    assert (1.0, 1.0) == (filled.fill, filled.slower)
    missed = products(find_model("llama-3-8b,hidden=4100,heads=41,head_dim=100,kv_heads=41").ledger, 4096)
    assert missed.fill < 1.0 < missed.slower <= misaligned(4100)


def test_one_token_has_no_intensity_and_a_wide_prompt_has_most() -> None:
    deep, wide = (find_model(name).ledger for name in ("gpt2", "llama-3-8b"))
    assert products(deep, 1).intensity < 1 > products(wide, 1).intensity
    assert products(deep, 4096).intensity < products(wide, 4096).intensity
    assert products(wide, 4096, 8).intensity < products(wide, 4096, 1).intensity


def test_many_tokens_read_all_experts_and_one_reads_its_own() -> None:
    mixture = find_model("mixtral-8x7b").ledger
    assert pytest.approx(1, abs=0.01) == products(mixture, 1).intensity
    assert products(mixture, 4).intensity < 2  # four tokens may meet all eight
