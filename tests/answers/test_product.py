"""The time of one matrix product: what it computes, what it moves, and how both show."""

from __future__ import annotations

import pytest

from deepwide.answers.product import predict_product
from deepwide.errors import BadInput


def test_flops_and_bytes_are_exact() -> None:
    own = predict_product(4096, 11008, on="h100", rows=3)
    assert 2 * 3 * 4096 * 11008 == own.work_flops
    assert 2 * (3 * 4096 + 3 * 11008 + 4096 * 11008) == own.moved_bytes


def test_one_token_takes_time_in_proportion_to_bytes() -> None:
    narrow, wide = (predict_product(4096, n, on="h100") for n in (5504, 11008))
    assert pytest.approx(wide.moved_bytes / narrow.moved_bytes, rel=0.01) == wide.kernel_s / narrow.kernel_s


def test_many_tokens_take_time_in_proportion_to_flops() -> None:
    few, many = (predict_product(4096, 4096, on="h100", rows=rows) for rows in (2**16, 2**17))
    assert pytest.approx(2, rel=0.01) == many.kernel_s / few.kernel_s


def test_a_start_is_added_to_every_kernel() -> None:
    own = predict_product(64, 64, on="h100")
    assert own.kernel_s + own.start_s == own.time_s
    assert own.to_dict()["time_s"] == own.time_s


@pytest.mark.parametrize("side", [0, -1, 2**31])
def test_a_matrix_without_sides_is_refused(side: int) -> None:
    with pytest.raises(BadInput, match=f"inputs={side}"):
        predict_product(side, 4, on="h100")
