"""Accelerators: how much a device holds, how fast it reads, computes and talks to its neighbours, and who says so.

The rows are in accelerators.toml beside this file, whose head states the units and conventions (dense rates, fp32
accumulation, links per direction). A device that is not there is described by a profile: a TOML file with one table of
the same fields. Both go through the same checks, and nothing is read before the first question is asked.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from deepwide.errors import BadInput, did_you_mean
from deepwide.facts.own_files import THIS

CATALOGUE = Path(__file__).parent / "accelerators.toml"
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
MOST_PROFILE_BYTES = 16_384  # a profile needs about 1,000; hostile input costs the parser time squared


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


def accelerator(name: str) -> Accelerator:
    """The device of that name: a catalogue name or alias, however it is cased and spaced, or the path of a profile.

    >>> accelerator("NVIDIA H100 SXM").name
    'h100-sxm'
    """
    if name.strip().lower() == THIS:
        from deepwide.facts.this_machine import machine

        return machine(THIS).accelerator
    if name.endswith(".toml") or "/" in name or "\\" in name:
        return _profile(Path(name))
    found = _by_words().get(frozenset(_words(name))) or _told_by_memory(name)
    if found:
        return found
    hint = did_you_mean("-".join(_words(name)), (known for a in accelerators() for known in (a.name, *a.aliases)))
    way_out = hint or "; `deepwide accelerators` lists those known, and a path ending in .toml is read as a profile"
    raise BadInput(f"no accelerator called {_shown(name)}{way_out}")


@cache
def accelerators() -> tuple[Accelerator, ...]:
    """Every device of the catalogue, sorted by name."""
    rows = tomllib.loads(CATALOGUE.read_text(encoding="utf-8"))
    return tuple(device_of(name, row, f"{CATALOGUE.name}: {name}") for name, row in rows.items())


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


# Names: people and drivers write one device in many ways ("A100-SXM4-80GB", "A100 80GB SXM", "a100_sxm"), so a name
# is compared as a set of words, without those that only say who made it.
SPELLINGS = (
    (r"\+", " plus "),
    (r"[^a-z0-9]+", " "),
    (r"\b(nvidia|geforce|tesla|amd|radeon|instinct|intel|apple|google|aws|huawei|gpu|generation)\b", ""),
    (r"\b(\d+) ?(gb|gib|g)\b", r"\1gb"),
    (r"\b(\d+) ?cores?\b", r"\1c"),
    (r"\bsxm\d\b", "sxm"),
    (r"\b([rg]tx|rx)(?=\d)", r"\1 "),
)


def _words(name: str) -> list[str]:
    spelled = name.casefold()
    for pattern, replacement in SPELLINGS:
        spelled = re.sub(pattern, replacement, spelled)
    return spelled.split()


@cache
def _by_words() -> Mapping[frozenset[str], Accelerator]:
    return {frozenset(_words(name)): a for a in accelerators() for name in (a.name, *a.aliases)}


def _told_by_memory(name: str) -> Accelerator | None:
    """The device of a name that also states its memory ("4090 24GB"), if that is the memory it has."""
    words = _words(name)
    sizes = [word for word in words if re.fullmatch(r"\d{1,5}gb", word)]
    found = _by_words().get(frozenset(words).difference(sizes))
    return found if found and sizes == [f"{found.memory_bytes // 2**30}gb"] else None


# Profiles: one table, from a file that nobody vouches for.
def _profile(path: Path) -> Accelerator:
    from deepwide.facts.this_machine import is_machine, machine

    if is_machine(path):
        return machine(path).accelerator
    where = _clipped(str(path))
    tables = _toml(path, where)
    name, row = next(iter(tables.items()), ("", None))
    if len(tables) != 1 or not isinstance(row, dict):
        expected = "one table named after the device, such as [my-card]"
        raise BadInput(f"{where}: expected {expected}, with its fields in it; found {len(tables)} entries")
    _text(f"{where}: the name", name)
    return device_of(name, {"source": f"profile file {path.name}", "confidence": "stated", **row}, where)


def _toml(path: Path, where: str) -> dict[str, Any]:
    try:
        if not path.is_file():
            raise BadInput(f"{where}: no such file; give a name of `deepwide accelerators` or the path of a profile")
        with path.open("rb") as file:
            raw = file.read(MOST_PROFILE_BYTES + 1)
    except OSError as error:
        raise BadInput(f"{where}: cannot be read ({error.strerror}); check the path and its permissions") from None
    if len(raw) > MOST_PROFILE_BYTES:
        raise BadInput(f"{where}: more than {MOST_PROFILE_BYTES:,} bytes; a profile is one short table")
    try:
        return tomllib.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{where}: not TOML ({_clipped(str(error))})") from None


# Fields: one reader for each, which returns the value or says what was expected.
def _number(label: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < LARGEST:
        raise _unfit(label, value, "must be a positive number in base units, such as 3.35e12")
    return float(value)


def _whole(label: str, value: object) -> int:
    number = _number(label, value)
    if not number.is_integer():
        raise _unfit(label, value, "must be a whole number, such as 85_899_345_920")
    return int(number)


def _text(label: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable() or len(value) > LONGEST_TEXT:
        raise _unfit(label, value, f"must be one line of text of at most {LONGEST_TEXT} characters")
    return value


def _texts(label: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise _unfit(label, value, 'must be a list of names, such as ["h100"]')
    return tuple(_text(label, each) for each in value)


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
    return Link(kind=_text(f"{label}.kind", table["kind"]), bytes_per_s=rate)


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
    "vendor": _text,
    "architecture": _text,
    "source": _text,
    "checked": _date,
    "confidence": _confidence,
    "notes": _text,
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
            raise BadInput(f"{label}: no field called {_shown(key)}{hint or ';'} known are {', '.join(names)}")


def _unfit(label: str, value: object, rule: str) -> BadInput:
    return BadInput(f"{label}={_shown(value)} {rule}")


def _shown(value: object) -> str:
    """A value in a message: one short line, whatever the file holds."""
    if isinstance(value, dict | list):
        return f"a {'table' if isinstance(value, dict) else 'list'}"
    if isinstance(value, int) and value.bit_length() > 128:  # longer ones may not even be printable
        return "a huge number"
    return _clipped(repr(value))


def _clipped(text: str) -> str:
    line = text if text.isprintable() else ascii(text)
    return line if len(line) <= 80 else f"{line[:77]}..."
