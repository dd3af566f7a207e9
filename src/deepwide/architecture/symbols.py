"""Formulae that cannot lie: the same lowering, run on symbols instead of numbers.

A `Symbol` is a number that remembers how it came about. `symbolic(architecture)` replaces every size by one,
named after its field, so the ledger of it spells each row's formula beside its value.
"""

from __future__ import annotations

from typing import Any

from deepwide.architecture.model import Architecture
from deepwide.architecture.walk import resized

ATOM, PRODUCT, SUM = 3, 2, 1


class Symbol(int):
    """A whole number with the formula it came from, in symbols and in numbers."""

    text: str
    numbers: str
    strength: int

    def __new__(cls, value: int, text: str, numbers: str = "", strength: int = ATOM) -> Symbol:
        """The number, its formula in symbols and in numbers, and how strongly that binds (for parentheses)."""
        self = super().__new__(cls, value)
        self.text, self.numbers, self.strength = text, numbers or f"{value:,}", strength
        return self

    def _joined(self, other: Any, sign: str, value: int, strength: int, flipped: bool = False) -> Symbol:
        left, right = (symbol(other), self) if flipped else (self, symbol(other))
        if left.text in ("0", "1") or right.text in ("0", "1"):
            plain = _neutral(left, right, sign)
            if plain is not None:
                return plain
        return Symbol(
            value,
            f"{_wrapped(left, 'text', strength)} {sign} {_wrapped(right, 'text', strength)}",
            f"{_wrapped(left, 'numbers', strength)} {sign} {_wrapped(right, 'numbers', strength)}",
            strength,
        )

    def __mul__(self, other: Any) -> Any:
        """A product."""
        return self._joined(other, "·", int(self) * int(other), PRODUCT)

    def __rmul__(self, other: Any) -> Any:
        """A product."""
        return self._joined(other, "·", int(other) * int(self), PRODUCT, flipped=True)

    def __add__(self, other: Any) -> Any:
        """A sum."""
        return self._joined(other, "+", int(self) + int(other), SUM)

    def __radd__(self, other: Any) -> Any:
        """A sum."""
        return self._joined(other, "+", int(other) + int(self), SUM, flipped=True)

    def __sub__(self, other: Any) -> Any:
        """A difference."""
        return self._joined(other, "-", int(self) - int(other), SUM)

    def __floordiv__(self, other: Any) -> Any:
        """A whole quotient."""
        return self._joined(other, "/", int(self) // int(other), PRODUCT)


def symbol(value: Any) -> Symbol:
    """A number as a symbol: it stands for itself."""
    return value if isinstance(value, Symbol) else Symbol(int(value), f"{value:,}")


def _neutral(left: Symbol, right: Symbol, sign: str) -> Symbol | None:
    """x · 1 and x + 0 are x."""
    if (sign == "·" and right.text == "1") or (sign in "+-" and right.text == "0"):
        return left
    if (sign == "·" and left.text == "1") or (sign == "+" and left.text == "0"):
        return right
    return None


def _wrapped(s: Symbol, what: str, strength: int) -> str:
    text: str = getattr(s, what)
    return f"({text})" if s.strength < strength else text


def symbolic(architecture: Architecture) -> Architecture:
    """The same architecture with a symbol for every size."""
    return resized(architecture, lambda name, size: Symbol(size, name))
