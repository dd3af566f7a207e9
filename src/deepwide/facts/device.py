"""One accelerator: how much it holds, how fast it reads, computes and talks to its neighbours, and who says so.

A device is read from one table of fields, whether the catalogue's or a file's that nobody vouches for: each field has a
reader, which returns the value or says what was expected.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from deepwide.errors import BadInput, did_you_mean

PRECISIONS = ("fp32", "tf32", "bf16", "fp16", "fp8", "int8", "fp4")
CONFIDENCES = {
    "checked": "rates and link agree with a second source",
    "derived": "rates computed from clock and unit counts",
    "recalled": "rates from a data sheet, not rechecked",
    "stated": "as the owner of the profile file says",
    "measured": "measured on the device",
}
SLOWEST_SLOT_BYTES_PER_S = 16e9  # sixteen lanes of PCIe 3.0: a device whose link nobody states still sits in a slot
LARGEST = 1e30  # no honest field comes near; keeps later arithmetic finite
LONGEST_TEXT = 1000
MOST_RATES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A connection between devices: its name, and the rate of one device in one direction."""

    kind: str
    bytes_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """How a calibrated machine is driven unless told otherwise: by which runtime, with which weights and products."""

    runtime: str
    weights: str
    products: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """One device as software sees it. What is not known is None, or missing from `peak_flops_per_s`.

    peak_flops_per_s   dense, by precision (PRECISIONS), floating formats with fp32 accumulation
    sm_count           streaming multiprocessors, compute units, Xe cores or GPU cores, by vendor
    l2_bytes           the last cache that all of them share
    pcie               generation and lanes of the slot: "4.0 x16"
    confidence         a key of CONFIDENCES; it speaks of the rates and the link
    near_bytes_per_s   (bytes, rate): what is read again and again comes so fast while it is no more than so many
                       bytes, for caches hold it; beyond the last of them at the bandwidth
    usual              how a calibrated machine is driven
    """

    name: str
    memory_bytes: int
    bandwidth_bytes_per_s: float
    peak_flops_per_s: Mapping[str, float] = field(hash=False)
    source: str
    confidence: str
    checked: date | None = None
    usable_memory_bytes: int | None = None
    sm_count: int | None = None
    l2_bytes: int | None = None
    boost_clock_hz: float | None = None
    tdp_w: float | None = None
    link: Link | None = None
    pcie: str | None = None
    year: int | None = None
    vendor: str = ""
    architecture: str = ""
    notes: str = ""
    aliases: tuple[str, ...] = ()
    near_bytes_per_s: tuple[tuple[float, float], ...] = ()
    usual: Usual | None = None


def memory_for_use_bytes(device: Accelerator) -> int:
    """Bytes a program can have: what the driver shows where that is known, else what the maker sells."""
    return device.usable_memory_bytes or device.memory_bytes


def link_bytes_per_s(device: Accelerator) -> float | None:
    """Rate between devices, one direction: their own link, else the PCIe slot; None where neither is known."""
    return device.link.bytes_per_s if device.link else pcie_bytes_per_s(device)


def pcie_bytes_per_s(device: Accelerator) -> float | None:
    """Rate of the PCIe slot in one direction, before protocol overhead: 1e9 a lane in generation 3, then doubling."""
    if device.pcie is None:
        return None
    generation, lanes = device.pcie.split(".0 x")
    return int(lanes) * 2.0 ** (int(generation) - 3) * 1e9


def _number(label: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < LARGEST:
        raise _unfit(label, value, "must be a positive number in base units, such as 3.35e12")
    return float(value)


def _whole(label: str, value: object) -> int:
    number = _number(label, value)
    if not number.is_integer():
        raise _unfit(label, value, "must be a whole number, such as 85_899_345_920")
    return int(number)


def line_of_text(label: str, value: object) -> str:
    """The value of a field that must be one line of text."""
    if not isinstance(value, str) or not value.strip() or not value.isprintable() or len(value) > LONGEST_TEXT:
        raise _unfit(label, value, f"must be one line of text of at most {LONGEST_TEXT} characters")
    return value


def _texts(label: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise _unfit(label, value, 'must be a list of names, such as ["h100"]')
    return tuple(line_of_text(label, each) for each in value)


def _date(label: str, value: object) -> date:
    if type(value) is not date:  # a TOML date with a time is a subclass
        raise _unfit(label, value, "must be a date without quotes, such as 2026-11-22")
    return value


def _confidence(label: str, value: object) -> str:
    if not isinstance(value, str) or value not in CONFIDENCES:
        raise _unfit(label, value, f"must be one of {', '.join(CONFIDENCES)}")
    return value


def _pcie(label: str, value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[1-7]\.0 x(1|2|4|8|16)", value):
        raise _unfit(label, value, 'must be generation and lanes, such as "4.0 x16"')
    return value


def _peaks(label: str, value: object) -> Mapping[str, float]:
    table = _table(label, value, PRECISIONS, "{ fp32 = 66.9e12, bf16 = 989e12 }")
    return {each: _number(f"{label}.{each}", table[each]) for each in PRECISIONS if each in table}


def _link(label: str, value: object) -> Link:
    example = '{ kind = "NVLink4", bytes_per_s = 450e9 }'
    table = _table(label, value, ("kind", "bytes_per_s"), example)
    if len(table) != 2:
        raise _unfit(label, value, f"must have both, such as {example}")
    rate = _number(f"{label}.bytes_per_s", table["bytes_per_s"])
    return Link(kind=line_of_text(f"{label}.kind", table["kind"]), bytes_per_s=rate)


def _rates(label: str, value: object) -> tuple[tuple[float, float], ...]:
    """Pairs of bytes and of the rate that so many are read at, the bytes rising."""
    pairs = value if isinstance(value, list) and all(isinstance(p, list) and len(p) == 2 for p in value) else []
    found = tuple((_number(label, size), _number(label, rate)) for size, rate in pairs[:MOST_RATES])
    if not found or list(found) != sorted(set(found)) or len(pairs) > MOST_RATES:
        raise _unfit(label, value, f"must be up to {MOST_RATES} pairs of bytes and rates, rising: [[2e6, 5e10]]")
    return found


def _table(label: str, value: object, known: Iterable[str], example: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        raise _unfit(label, value, f"must be a table that is not empty, such as {example}")
    _refuse_unknown(label, value, known)
    return value


READERS: Mapping[str, Callable[[str, object], Any]] = {
    "memory_bytes": _whole,
    "usable_memory_bytes": _whole,
    "bandwidth_bytes_per_s": _number,
    "peak_flops_per_s": _peaks,
    "sm_count": _whole,
    "l2_bytes": _whole,
    "boost_clock_hz": _number,
    "tdp_w": _number,
    "link": _link,
    "pcie": _pcie,
    "year": _whole,
    "vendor": line_of_text,
    "architecture": line_of_text,
    "source": line_of_text,
    "checked": _date,
    "confidence": _confidence,
    "notes": line_of_text,
    "aliases": _texts,
    "near_bytes_per_s": _rates,
}
REQUIRED = ("memory_bytes", "bandwidth_bytes_per_s", "peak_flops_per_s", "source", "confidence")


def device_of(name: str, row: Mapping[str, object], where: str) -> Accelerator:
    """The device that a table describes; BadInput says what is wrong with it."""
    _refuse_unknown(where, row, READERS)
    missing = [required for required in REQUIRED if required not in row]
    if missing:
        raise BadInput(f"{where}: {' and '.join(missing)} missing; every device needs {', '.join(REQUIRED[:3])}")
    device = Accelerator(name=name, **{key: READERS[key](f"{where}: {key}", value) for key, value in row.items()})
    if memory_for_use_bytes(device) > device.memory_bytes:
        rule = f"must not exceed memory_bytes={device.memory_bytes}"
        raise _unfit(f"{where}: usable_memory_bytes", device.usable_memory_bytes, rule)
    return device


def _refuse_unknown(label: str, table: Iterable[str], known: Iterable[str]) -> None:
    names = tuple(known)
    for key in table:
        if key not in names:
            hint = did_you_mean(key, names)
            raise BadInput(f"{label}: no field called {shown_value(key)}{hint or ';'} known are {', '.join(names)}")


def _unfit(label: str, value: object, rule: str) -> BadInput:
    return BadInput(f"{label}={shown_value(value)} {rule}")


def shown_value(value: object) -> str:
    """A value in a message: one short line, whatever the file holds."""
    if isinstance(value, dict | list):
        return f"a {'table' if isinstance(value, dict) else 'list'}"
    if isinstance(value, int) and value.bit_length() > 128:  # longer ones may not even be printable
        return "a huge number"
    return clipped(repr(value))


def clipped(text: str) -> str:
    """A text in a message: printable, of at most 80 characters."""
    line = text if text.isprintable() else ascii(text)
    return line if len(line) <= 80 else f"{line[:77]}..."
