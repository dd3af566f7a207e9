"""Accelerators by name: the catalogue's, this machine, or the one that a profile describes.

The rows are in accelerators.toml beside this file, whose head states the units and conventions (dense rates, fp32
accumulation, links per direction). A device that is not there is described by a profile: a TOML file with one table of
the same fields. Both go through the same checks, and nothing is read before the first question is asked.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from deepwide.errors import BadInput, did_you_mean
from deepwide.facts.device import Accelerator, clipped, device_of, line_of_text, shown_value
from deepwide.facts.own_files import THIS

CATALOGUE = Path(__file__).parent / "accelerators.toml"
MOST_PROFILE_BYTES = 16_384  # a profile needs about 1,000; hostile input costs the parser time squared


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
    raise BadInput(f"no accelerator called {shown_value(name)}{way_out}")


@cache
def accelerators() -> tuple[Accelerator, ...]:
    """Every device of the catalogue, sorted by name."""
    rows = tomllib.loads(CATALOGUE.read_text(encoding="utf-8"))
    return tuple(device_of(name, row, f"{CATALOGUE.name}: {name}") for name, row in rows.items())


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
    where = clipped(str(path))
    tables = _toml(path, where)
    name, row = next(iter(tables.items()), ("", None))
    if len(tables) != 1 or not isinstance(row, dict):
        expected = "one table named after the device, such as [my-card]"
        raise BadInput(f"{where}: expected {expected}, with its fields in it; found {len(tables)} entries")
    line_of_text(f"{where}: the name", name)
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
        raise BadInput(f"{where}: not TOML ({clipped(str(error))})") from None
