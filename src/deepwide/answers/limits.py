"""What may be asked: whole numbers between bounds, wide enough for any honest question and safe for arithmetic."""

from __future__ import annotations

from operator import index
from typing import Any

from deepwide.errors import BadInput

LONGEST_CONTEXT = 2**40  # a million times the longest published context
MOST_TOKENS = 10**18  # tens of thousands of times the largest published training run
MOST_DEVICES = 2**27
LARGEST_VOCAB = 10**9
SHOWN_BELOW = 10**40  # longer numbers fill a screen, and Python refuses to spell the longest


def whole(name: str, value: Any, low: int, high: int) -> int:
    """The value as a whole number between two bounds; else BadInput names the field, the value and the bounds."""
    try:
        number = index(value)
    except TypeError:
        raise BadInput(f"{name}={value!r} must be a whole number between {low} and {high}") from None
    if not low <= number <= high:
        shown = number if abs(number) < SHOWN_BELOW else "a number of more than 40 digits"
        raise BadInput(f"{name}={shown} must lie between {low} and {high}")
    return number
