"""Files of a run: put in place whole or not at all, and read as what strangers may have written."""

from __future__ import annotations

import json
import os
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from deepwide.errors import BadInput

MOST_JSON_BYTES = 2**20  # a manifest is below 10 kB
MOST_LEVELS = 20  # of tables in tables; a manifest has four
LONGEST_SHOWN = 300
STALE_S = 86_400.0  # a part that nobody has finished for so long belongs to a process that was killed


def shown(path: str | Path) -> str:
    """The end of a path as it can be printed on one line, whatever bytes its name has."""
    text = str(path)[-LONGEST_SHOWN:]
    return text if text.isprintable() else ascii(text)[1:-1]


@contextmanager
def written(path: str | Path, way_out: str = "make room, or choose another place with --root") -> Iterator[None]:
    """Turns what the system says of writing (a full disk, a closed folder) into one line."""
    try:
        yield
    except (OSError, ValueError) as error:
        if isinstance(error, BadInput):
            raise
        reason = (error.strerror if isinstance(error, OSError) else "") or error
        raise BadInput(f"{shown(path)} cannot be written: {reason}; {way_out}") from None


def replace_whole(path: Path, content: bytes) -> None:
    """Puts the content in place at once, and on the disk: after a kill or a power cut it is the old one or the new."""
    part = path.with_name(f".{path.name[:50]}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:  # one that a killed process of the same number left is written over
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def sweep_parts(folder: Path, pattern: str) -> None:
    """Removes the half-written files and folders of that pattern that killed processes left."""
    for part in folder.glob(pattern):
        with suppress(OSError):
            if time.time() - part.lstat().st_mtime <= STALE_S:
                continue
            if part.is_dir() and not part.is_symlink():
                shutil.rmtree(part)
            else:
                part.unlink()


def json_bytes(table: Mapping[str, Any]) -> bytes:
    """The table as JSON for people; a number that is none (an infinite loss) is null."""
    return json.dumps(plain(table), indent=2, allow_nan=False).encode() + b"\n"


def plain(value: Any) -> Any:
    """The value in what JSON has: tables, lists, texts, finite numbers; a tensor of one number is that."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    return plain(value.item()) if hasattr(value, "item") else str(value)


def json_table(path: Path) -> dict[str, Any]:
    """The fields of a JSON file that anybody may have written; BadInput says in one line why it is not read."""
    where = path.name
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:  # a pipe is not waited for
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise BadInput(f"{where} is not a file")
            text = file.read(MOST_JSON_BYTES + 1)
    except OSError as error:
        raise BadInput(f"{where} cannot be read: {error.strerror}") from None
    if len(text) > MOST_JSON_BYTES:
        raise BadInput(f"{where} is longer than {MOST_JSON_BYTES:,} bytes")
    try:
        table = json.loads(text, parse_constant=_refused)
    except RecursionError:
        raise BadInput(f"{where} is not JSON: nested too deep") from None
    except ValueError as error:
        raise BadInput(f"{where} is not JSON: {shown(str(error))}") from None
    if not isinstance(table, dict):
        raise BadInput(f"{where}: expected a table of fields, not a {type(table).__name__}")
    if _levels(table) > MOST_LEVELS:
        raise BadInput(f"{where} is nested deeper than {MOST_LEVELS} levels")
    return table


def _levels(table: dict[str, Any]) -> int:
    """How deep tables and lists are nested, one more than is allowed at most."""
    level: list[Any] = [table]
    for depth in range(MOST_LEVELS + 1):
        level = [inner for each in level for inner in (each.values() if isinstance(each, dict) else each)]
        level = [each for each in level if isinstance(each, dict | list)]
        if not level:
            return depth + 1
    return MOST_LEVELS + 1


def _refused(word: str) -> None:
    raise ValueError(f"{word} is no number")
