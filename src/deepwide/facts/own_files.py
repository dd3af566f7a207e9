"""Files of a user's own: constants are read strictly, since they come from outside; files are written whole or not."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from deepwide.errors import BadInput, did_you_mean

ENDING = ".toml"
MOST_BYTES = 16_384  # such a file needs about 1,500; hostile input costs the parser time squared
LARGEST = 1e15  # no honest constant comes near
LONGEST_TEXT = 500
MOST_ROWS = 10**9
THIS = "this"  # the name of the machine at hand, once it is calibrated (this_machine.py)


def shown_path(path: str | Path) -> str:
    """The end of a path, as a message shows it."""
    return str(path)[-LONGEST_TEXT:]


def tables_of(path: str | Path, option: str) -> dict[str, Any]:
    """The tables of a file that was given for an option; BadInput says what is wrong with it."""
    where = shown_path(path)
    try:
        if not Path(path).is_file():
            raise BadInput(
                f"{option}={where!r}: no such file; `deepwide calibrate` writes one, or give the name of a {option}"
            )
        with Path(path).open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise BadInput(
            f"{option}={where!r} cannot be read ({error.strerror}); check the path and its permissions"
        ) from None
    if len(raw) > MOST_BYTES:
        raise BadInput(f"{where}: more than {MOST_BYTES:,} bytes; a {option} is one short table of constants")
    try:
        return tomllib.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{where}: not TOML ({str(error)[:100]})") from None


def number_of(label: str, value: Any, least: float = 0.0, most: float = LARGEST, may_be_least: bool = False) -> float:
    """A number within its bounds."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not least <= value <= most or (value == least == 0.0 and not may_be_least):
        sign = "positive" if least == 0.0 else f"at least {least:g}"
        raise BadInput(f"{label}={str(value)[:40]} must be a {sign} number of at most {most:g}")
    return float(value)


def numbers_of(
    label: str,
    given: Any,
    names: Iterable[str],
    *,
    further: Iterable[str] = (),
    zero: Collection[str] = (),
    **bounds: float,
) -> dict[str, float]:
    """A table of numbers: all of those names, perhaps some further ones, and no other; some may be zero."""
    needed = tuple(names)
    known = (*needed, *further)
    if not isinstance(given, dict):
        raise BadInput(f"{label}={str(given)[:40]!r} must be a table with {', '.join(needed)}")
    for name in given:
        if name not in known:
            raise BadInput(
                f"{label}: no key called {name[:40]!r}{did_you_mean(name, known)}; known are {', '.join(known)}"
            )
    if missing := [name for name in needed if name not in given]:
        raise BadInput(f"{label}: {', '.join(missing)} missing")
    return {
        name: number_of(f"{label}.{name}", value, may_be_least=name in zero, **bounds) for name, value in given.items()
    }


def whole_of(label: str, value: Any) -> int:
    """A count."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= MOST_ROWS:
        raise BadInput(f"{label}={str(value)[:40]} must be a positive whole number")
    return value


def text_of(label: str, value: Any) -> str:
    """One line of text."""
    if not isinstance(value, str) or not value.strip() or not value.isprintable() or len(value) > LONGEST_TEXT:
        raise BadInput(f"{label} must be one line of text of at most {LONGEST_TEXT} characters")
    return value


def write_whole(path: Path, text: str) -> None:
    """Puts the whole file in place at once: a reader never sees half of it, a failure leaves what was there."""
    part = path.with_name(f".{path.name[:50]}.{os.getpid()}.part")
    try:
        try:
            with part.open("x", encoding="utf-8") as file:
                file.write(text)
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise BadInput(f"{shown_path(path)!r} cannot be written: {error.strerror or error}") from None
