"""The smooth roofline."""

from __future__ import annotations

import numpy as np
import pint
import pytest

from deepwide.cost.roofline import Roof, matmul_s, misaligned, roofline_s

ROOF = Roof(flops_per_s=300e12, bytes_per_s=1.5e12, sharpness=2.0)


def test_a_kernel_takes_longer_than_either_limit_and_no_longer_than_both() -> None:
    for flops, moved in ((1e12, 1e6), (1e12, 5e9), (1e9, 5e9)):
        computing, moving = flops / ROOF.flops_per_s, moved / ROOF.bytes_per_s
        assert max(computing, moving) < roofline_s(flops, moved, ROOF) < computing + moving


def test_the_units_are_seconds() -> None:
    unit = pint.UnitRegistry()
    roof = Roof(flops_per_s=unit.Quantity(3e14, "1/s"), bytes_per_s=unit.Quantity(1.5e12, "byte/s"), sharpness=2.0)  # type: ignore[arg-type]
    time = roofline_s(unit.Quantity(1e12, "dimensionless"), unit.Quantity(1e9, "byte"), roof)  # type: ignore[arg-type]
    assert time.m_as("s") == pytest.approx(roofline_s(1e12, 1e9, ROOF))  # type: ignore[union-attr]


def test_a_large_product_is_bound_by_arithmetic_and_one_row_by_memory() -> None:
    assert matmul_s(8192, 8192, 8192, ROOF) == pytest.approx(2 * 8192**3 / 300e12, rel=0.01)
    assert matmul_s(1, 8192, 8192, ROOF) == pytest.approx(2 * 8192**2 / 1.5e12, rel=0.01)


def test_rows_spread_over_more_matrices_move_more_weights() -> None:
    assert matmul_s(64, 4096, 4096, ROOF, matrices=8) > 7 * matmul_s(8, 4096, 4096, ROOF)


def test_a_size_that_is_no_multiple_of_64_is_slower_and_one_of_no_8_slower_still() -> None:
    assert misaligned(4096) < misaligned(1800) < misaligned(1801)


def test_many_products_at_once_are_each_alone() -> None:
    rows = np.array([1, 16, 256, 4096])
    assert list(matmul_s(rows, 4096, 1024, ROOF)) == [matmul_s(int(r), 4096, 1024, ROOF) for r in rows]
