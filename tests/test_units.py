"""Units: printing, parsing, and names that carry them."""

from __future__ import annotations

import pytest

from deepwide import units
from deepwide.errors import BadInput


@pytest.mark.parametrize(
    ("text", "count"), [("7B", 7 * 10**9), ("1.5T", 15 * 10**11), ("128k", 128_000), ("4_096", 4096), ("4,096", 4096)]
)
def test_counts_are_read_with_their_endings(text: str, count: int) -> None:
    assert count == units.parse_count(text)


def test_gb_and_gib_are_different() -> None:
    assert (24 * 10**9, 24 * 2**30) == (units.parse_bytes("24 GB"), units.parse_bytes("24GiB"))


@pytest.mark.parametrize("text", ["", "x", "7Q", "1.0001", "nan", "inf", "1e400", "--3", "7 B B"])
def test_what_is_no_count_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        units.parse_count(text)


def test_numbers_are_printed_for_people() -> None:
    said = (units.count(8_030_261_248), units.size(2**34), units.duration(0.00642), units.rate(3.35e12, "B/s"))
    assert ("8.03B", "16.00 GiB", "6.42 ms", "3.35 TB/s") == said
