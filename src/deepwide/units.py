"""The only place that prints and parses units: "7B", "80 GiB", "3.35 TB/s", "12.3 ms".

Inside the program everything is a plain count, a byte, a second, a flop, a watt, a joule or a US dollar.
GB is 10^9 bytes and GiB is 2^30 bytes; the two are never mixed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from deepwide.errors import BadInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

# One design or many: every formula accepts a Python number or an array of float64.
Num: TypeAlias = "int | NDArray[Any]"
Real: TypeAlias = "float | NDArray[Any]"

COUNTS = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "B": 10**9, "T": 10**12}
BYTES = {
    "": 1,
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "TIB": 2**40,
}


def _quantity(text: str, scales: dict[str, int], what: str) -> float | int:
    """A number followed by one of the scale words, e.g. `7B` or `80 GiB`."""
    stripped = text.strip().replace("_", "").replace(",", "")
    digits = stripped.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
    word = stripped[len(digits) :].strip()
    if word not in scales or not digits:
        known = ", ".join(name for name in scales if name)
        raise BadInput(f"{what}={text!r} is not a number with one of the endings {known}")
    try:
        return int(digits) * scales[word] if digits.lstrip("+-").isdigit() else float(digits) * scales[word]
    except ValueError:
        raise BadInput(f"{what}={text!r} is not a number") from None


def parse_count(text: str | int, what: str = "count") -> int:
    """A whole count: 7B, 1.5T, 128k, 4096.

    >>> parse_count("1.5T")
    1500000000000
    """
    if isinstance(text, int):
        return text
    value = _quantity(text, COUNTS, what)
    if value != value or value in (float("inf"), float("-inf")) or value != round(value):
        raise BadInput(f"{what}={text!r} is not a whole number")
    return round(value)


def parse_real(text: str | float, what: str = "number") -> float:
    """A number that need not be whole, with or without an ending: 3.5, 1e22, 2.5M.

    >>> parse_real("1e22")
    1e+22
    """
    try:
        value = float(text)
    except ValueError:
        value = float(_quantity(str(text), COUNTS, what))
    if value != value or value in (float("inf"), float("-inf")):
        raise BadInput(f"{what}={text!r} must be a finite number")
    return value


def parse_bytes(text: str | int, what: str = "size") -> int:
    """A size in bytes: 80 GiB, 24GB, 512 MiB.

    >>> parse_bytes("2 GiB")
    2147483648
    """
    if isinstance(text, int):
        return text
    return round(_quantity(text.upper(), BYTES, what))


def parse_bytes_per_s(text: str | float, what: str = "rate") -> float:
    """A rate in bytes per second: 400 Gb/s and 400 Gbps are bits, 50 GB/s is bytes.

    >>> parse_bytes_per_s("400 Gb/s")
    50000000000.0
    """
    import re

    said = text if isinstance(text, str) else f"{text} B/s"
    found = re.fullmatch(r"([0-9.]+(?:e[0-9]+)?) ?([kMGT]?)(b|B|bit|byte)(?:/s|ps)", said.strip(), re.ASCII)
    try:
        value = float(found[1]) * COUNTS[found[2]] / (8 if found[3] in ("b", "bit") else 1) if found else 0.0
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise BadInput(f"{what}={text!r} is not a rate; give one such as 400 Gb/s (bits) or 50 GB/s (bytes)")
    return value


def _scaled(value: float, steps: list[tuple[float, str]], digits: int) -> str:
    for scale, word in steps:
        if abs(value) >= scale:
            return f"{value / scale:.{digits}f}{word}"
    return f"{value:.{digits}f}"


def count(value: float, digits: int = 2) -> str:
    """A count for people: 8.03B, 124.44M, 768.

    >>> count(8030261248)
    '8.03B'
    """
    if abs(value) < 10_000:
        return f"{value:g}"
    return _scaled(value, [(1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")], digits)


def size(value_bytes: float, digits: int = 2) -> str:
    """A size for people, in binary units: 14.96 GiB.

    >>> size(2**31)
    '2.00 GiB'
    """
    if abs(value_bytes) < 2**10:
        return f"{value_bytes:.0f} B"
    steps = [(2.0**40, " TiB"), (2.0**30, " GiB"), (2.0**20, " MiB"), (2.0**10, " KiB")]
    return _scaled(value_bytes, steps, digits)


def duration(value_s: float) -> str:
    """A time for people: 12.3 ms, 4.00 s, 2.5 days.

    >>> duration(0.0123)
    '12.3 ms'
    """
    steps = [(86400.0, " days"), (3600.0, " h"), (60.0, " min"), (1.0, " s"), (1e-3, " ms"), (1e-6, " us")]
    for scale, word in steps:
        if abs(value_s) >= scale:
            return f"{value_s / scale:.3g}{word}"
    return f"{value_s * 1e9:.3g} ns"


def flops(value_flops: float) -> str:
    """An amount of work for people: 14.6 TFLOP.

    >>> flops(1.46e13)
    '14.60 TFLOP'
    """
    steps = [(1e18, " EFLOP"), (1e15, " PFLOP"), (1e12, " TFLOP"), (1e9, " GFLOP"), (1e6, " MFLOP")]
    return _scaled(value_flops, steps, 2) if abs(value_flops) >= 1e6 else f"{value_flops:,.0f} FLOP"


def rate(value_per_s: float, unit: str) -> str:
    """A rate for people: 3.35 TB/s, 989 TFLOP/s.

    >>> rate(3.35e12, "B/s")
    '3.35 TB/s'
    """
    for scale, word in [(1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M")]:
        if value_per_s >= scale:
            return f"{value_per_s / scale:.3g} {word}{unit}"
    return f"{value_per_s:.3g} {unit}"
