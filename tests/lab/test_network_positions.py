"""How order is told: against the papers' own numbers and definitions."""

from __future__ import annotations

import math

import pytest
import torch

from deepwide.formats.constants import RotaryScaling
from deepwide.lab.network import Numerics
from deepwide.lab.network.positions import (
    alibi_bias,
    alibi_slopes,
    relative_buckets,
    rotated,
    rotation,
    sinusoids,
    stretched,
)

CPU = torch.device("cpu")


def test_the_slopes_of_eight_heads_are_those_of_the_paper() -> None:
    """Section 3 of arXiv:2108.12409: 1/2, 1/4 ... 1/256."""
    assert [2.0**-i for i in range(1, 9)] == alibi_slopes(8, CPU).tolist()


def test_sixteen_heads_lie_between_the_slopes_of_eight() -> None:
    """The same section: 1/2^0.5, 1/2^1, 1/2^1.5 ... 1/2^8."""
    assert [2 ** -(i / 2) for i in range(1, 17)] == pytest.approx(alibi_slopes(16, CPU).tolist())


def test_twelve_heads_take_four_from_the_slopes_of_sixteen() -> None:
    """What the paper's code gives where heads are no power of 2: those of 8, then every second of those of 16."""
    expected = [2.0**-i for i in range(1, 9)] + [2**-0.5, 2**-1.5, 2**-2.5, 2**-3.5]
    assert expected == pytest.approx(alibi_slopes(12, CPU).tolist())


def test_alibi_takes_the_slope_for_each_token_of_distance() -> None:
    bias = alibi_bias(torch.tensor([[3]]), torch.arange(4)[None], 8)
    assert [-1.5, -1.0, -0.5, 0.0] == bias[0, 0, 0].tolist()
    assert [-3 / 256, -2 / 256, -1 / 256, 0.0] == bias[0, 7, 0].tolist()


def bucket(behind: int, buckets: int, farthest: int, causal: bool) -> int:
    """Section 2.1 of arXiv:1910.10683 and its published code, with no tensor: half the buckets hold one distance each,
    the other half distances up to `farthest`, each a constant ratio wider than the one before.
    """
    first = 0
    if not causal:
        buckets //= 2
        first, behind = (buckets, -behind) if behind < 0 else (0, behind)
    behind = max(0, behind)
    exact = buckets // 2
    if behind < exact:
        return first + behind
    edge = exact
    ratio = (farthest / exact) ** (1 / (buckets - exact))
    while edge < buckets - 1 and behind >= exact * ratio ** (edge - exact + 1) * (1 - 1e-9):
        edge += 1
    return first + edge


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("buckets", "farthest"), [(32, 128), (16, 50), (8, 20)])
def test_relative_buckets_are_those_of_their_definition(buckets: int, farthest: int, causal: bool) -> None:
    far = 300
    found = relative_buckets(torch.arange(far), torch.arange(far), buckets, farthest, causal)
    table = {behind: bucket(behind, buckets, farthest, causal) for behind in range(-far, far + 1)}
    assert [[table[t - s] for s in range(far)] for t in range(far)] == found.tolist()
    assert set(range(buckets)) - {0 if causal else buckets // 2} <= set(found.flatten().tolist())


def test_relative_buckets_of_t5_at_a_few_distances() -> None:
    """A decoder of 32 buckets: 16 single ones, then 16 up to distance 128, which shares the last with all beyond."""
    found = relative_buckets(
        torch.tensor([200]), 200 - torch.tensor([0, 1, 15, 16, 18, 19, 90, 113, 128, 200]), 32, 128, True
    )
    assert [0, 1, 15, 16, 16, 17, 29, 31, 31, 31] == found[0].tolist()


def test_sinusoids_are_sines_then_cosines_of_geometric_wavelengths() -> None:
    """PE(p, 2i) = sin(p / 10000^(2i/d)), PE(p, 2i+1) = cos of the same (arXiv:1706.03762, section 3.5)."""
    table, width = sinusoids(100, 16), 16
    for p in (0, 1, 7, 99):
        angles = [p / 10_000 ** (2 * i / width) for i in range(width // 2)]
        expected = [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
        assert expected == pytest.approx(table[p].tolist(), abs=1e-5)
    assert (50, 15) == tuple(sinusoids(50, 15).shape)


def test_rotary_angles_are_those_of_the_paper() -> None:
    """theta_i = 10000^(-2i/d): position 5 of a head of 8 turns its pairs by 5, 0.5, 0.05, 0.005."""
    x, angles = torch.eye(8, dtype=torch.float64)[None, None, 2:3], [5.0, 0.5, 0.05, 0.005]  # the first of pair 2
    turned = rotated(x, rotation(torch.tensor([[5]]), 8, Numerics(), torch.float64)).flatten().tolist()
    assert turned == pytest.approx([0, 0, math.cos(0.05), 0, 0, 0, math.sin(0.05), 0], abs=1e-6)
    cosine, sine = rotation(torch.tensor([[5]]), 8, Numerics(), torch.float64)
    assert [math.cos(a) for a in angles] * 2 == pytest.approx(cosine.flatten().tolist(), abs=1e-6)
    assert [sign * math.sin(a) for sign in (-1, 1) for a in angles] == pytest.approx(sine.flatten().tolist(), abs=1e-6)


def test_rotated_scores_depend_on_the_distance_alone() -> None:
    q, k = torch.randn(2, 1, 1, 1, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def score(at: int, behind: int) -> float:
        angles = [rotation(torch.tensor([[p]]), 16, Numerics(), torch.float64) for p in (at, at - behind)]
        return float((rotated(q, angles[0]) * rotated(k, angles[1])).sum())

    for behind in (0, 1, 9):
        assert score(behind, behind) == pytest.approx(score(behind + 40, behind), abs=1e-4)
    assert score(5, 0) == pytest.approx(float((q * k).sum()), abs=1e-5)
    assert abs(score(9, 9) - score(9, 1)) > 1e-2


def test_turning_keeps_lengths() -> None:
    x = torch.randn(1, 2, 6, 8, generator=torch.Generator().manual_seed(0))
    turned = rotated(x, rotation(torch.arange(6)[None], 8, Numerics(), torch.float32))
    assert torch.allclose(x.norm(dim=-1), turned.norm(dim=-1), atol=1e-5)
    assert torch.equal(x[:, :, 0], turned[:, :, 0])


def test_stretching_for_long_contexts_keeps_quick_turns_and_slows_slow_ones() -> None:
    """Llama 3.1: wavelengths below original / high stay, those above original / low are `factor` times longer."""
    frequencies = torch.tensor([1.0, 2 * math.pi * 2.5 / 8192, 2 * math.pi / 20_000])
    by = RotaryScaling(kind="llama3", factor=8.0, low=1.0, high=4.0, original=8192)
    kept, between, slowed = (stretched(frequencies, by) / frequencies).tolist()
    assert (1.0, 0.125) == pytest.approx((kept, slowed))
    assert between == pytest.approx(0.5 + 0.5 * 0.125)
    assert (frequencies / 4).tolist() == stretched(frequencies, RotaryScaling(kind="linear", factor=4.0)).tolist()
