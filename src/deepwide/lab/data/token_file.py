"""Tokens on the disk: one file for both sides, whole or not there, known by the hash of what it was made from.

    tokens-KEY.bin    the tokens to train on, then those to validate on, little-endian, 2 or 4 bytes each
    tokens-KEY.json   how many of each, the bytes of text behind them, and the hash of it all; written last

What was cut short or altered does not have its hash, and is made again. Several processes may make the same file
at once: each writes its own part and puts it in place whole, and all of them have the same content.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepwide.lab.store.files import json_bytes, json_table, replace_whole, sweep_parts, written

FORMAT = 1
WAY_OUT = "make room, or choose another place"
Stream = Iterator[tuple[NDArray[Any], int]]  # tokens, and the bytes of text that they stand for


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What a token file holds: tokens, and bytes of text, of either side. The hash is of the file, then of these."""

    dtype: str
    train: int
    validation: int
    train_text_bytes: int
    validation_text_bytes: int
    sha256: str


def stored(folder: Path, key: str) -> Sizes | None:
    """What the file of this key holds; None where it is not there, cut short, or altered."""
    try:
        sizes = Sizes(**json_table(_about(folder, key))["tokens"])
        with _tokens(folder, key).open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256")
    except (OSError, ValueError, TypeError, KeyError):  # what json_table refuses is a ValueError
        return None
    return sizes if _sealed(sizes, sha256) == sizes else None


def write(
    folder: Path, key: str, dtype: np.dtype[Any], sides: tuple[Stream, Stream], about: Mapping[str, Any]
) -> Sizes:
    """Makes the file from the tokens of the two sides, and the description beside it."""
    with written(folder, WAY_OUT):
        folder.mkdir(parents=True, exist_ok=True)
        sweep_parts(folder, ".tokens-*.part")
        totals = _write_whole(folder, _tokens(folder, key), dtype, sides)
        replace_whole(_about(folder, key), json_bytes({**about, "format": FORMAT, "tokens": asdict(totals)}))
    return totals


def mapped(folder: Path, key: str, sizes: Sizes) -> tuple[NDArray[Any], NDArray[Any]]:
    """The two sides, read-only, in memory only as far as they are read."""
    with written(folder, "check the folder and its permissions"):
        tokens = np.memmap(_tokens(folder, key), dtype=sizes.dtype, mode="r")
    plain = np.asarray(tokens)  # a view of the same memory: a memmap's own indexing is slow
    return plain[: sizes.train], plain[sizes.train :]


def _write_whole(folder: Path, path: Path, dtype: np.dtype[Any], sides: tuple[Stream, Stream]) -> Sizes:
    handle, name = tempfile.mkstemp(dir=folder, prefix=".tokens-", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            sha256 = hashlib.sha256()

            def put(tokens: NDArray[Any]) -> None:
                raw = np.ascontiguousarray(tokens, dtype=dtype).data
                file.write(raw)
                sha256.update(raw)

            train, validation = (_copied(side, put) for side in sides)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)  # a temporary file is its owner's alone; a token file is as public as its folder
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sizes = Sizes(
        dtype=dtype.str,
        train=train[0],
        validation=validation[0],
        train_text_bytes=train[1],
        validation_text_bytes=validation[1],
        sha256="",
    )
    return _sealed(sizes, sha256)


def _sealed(sizes: Sizes, file_sha256: Any) -> Sizes:
    """The sizes with the hash that they and this file have."""
    whole = file_sha256.copy()
    whole.update(json_bytes({**asdict(sizes), "sha256": ""}))
    return replace(sizes, sha256=whole.hexdigest())


def _copied(side: Stream, put: Callable[[NDArray[Any]], None]) -> tuple[int, int]:
    """Hands on all tokens of a side; how many there were, and of how many bytes of text."""
    tokens = text_bytes = 0
    for part, size_bytes in side:
        put(part)
        tokens += len(part)
        text_bytes += size_bytes
    return tokens, text_bytes


def _tokens(folder: Path, key: str) -> Path:
    return folder / f"tokens-{key}.bin"


def _about(folder: Path, key: str) -> Path:
    return folder / f"tokens-{key}.json"
