"""Named tensors in one safetensors file that says itself whether it is whole: written at once, read with suspicion.

safetensors' own writer first makes the whole file in memory and knows no hash; this one goes tensor by tensor.
Layout (huggingface.co/docs/safetensors): 8 bytes length of the header, the header in JSON, the tensors one by one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
UNHASHED = "0" * 64
HASH_KEY = "sha256"
LONGEST_HEADER_BYTES = 100_000_000  # what safetensors itself accepts
PIECE_BYTES = 2**20


class Unreadable(Exception):
    """A file that is not whole, or not what it should be; the message is the reason."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Puts the file in place at once, and on the disk: after a kill or a power cut it is there whole or not at all.

    OSError where it cannot be written; nothing is left behind then.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    header = _header(tensors, metadata)
    try:
        with part.open("wb") as file:
            _write_hashed(file, header, tensors)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the metadata of a file that is whole; Unreadable where it is not."""
    try:
        with path.open("rb") as file:
            header = _read_header(file)
            _check_hash(file, header)
        return load_file(path), _metadata(header)
    except OSError as error:
        raise Unreadable(f"it cannot be read: {error.strerror or error}") from None
    except (SafetensorError, RuntimeError, TypeError, ValueError, LookupError):
        raise Unreadable("its tensors do not agree with its header") from None


def _header(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """The header, with zeros where the hash will stand, padded so that tensors start at a multiple of 8 bytes."""
    table: dict[str, Any] = {"__metadata__": {HASH_KEY: UNHASHED, **metadata}}
    end = 0
    for name, tensor in tensors.items():
        start, end = end, end + tensor.numel() * tensor.element_size()
        table[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(table, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _write_hashed(file: IO[bytes], header: bytes, tensors: Mapping[str, Tensor]) -> None:
    digest = hashlib.sha256()
    for piece in chain([memoryview(header)], map(_bytes, tensors.values())):
        digest.update(piece)
        file.write(piece)
    file.seek(header.index(UNHASHED.encode()))
    file.write(digest.hexdigest().encode())


def _bytes(tensor: Tensor) -> memoryview:
    """A tensor's bytes; nothing is copied where it already lies in one piece in the processor's memory."""
    flat = tensor.detach().cpu().contiguous().view(-1)
    raw: NDArray[np.uint8] = flat.view(torch.uint8).numpy()
    return raw.data


def _sync_folder(folder: Path) -> None:
    """Makes the new name last, where the system lets folders be synced."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_header(file: IO[bytes]) -> bytes:
    """Length and text of the header; its size is checked before memory is taken."""
    size_bytes = os.fstat(file.fileno()).st_size
    first = file.read(8)
    length_bytes = int.from_bytes(first, "little")
    if len(first) < 8 or length_bytes > min(LONGEST_HEADER_BYTES, size_bytes - 8):
        raise Unreadable("it is cut short" if size_bytes else "it is empty")
    return first + file.read(length_bytes)


def _metadata(header: bytes) -> dict[str, str]:
    try:
        found = json.loads(header[8:])["__metadata__"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise Unreadable("its header cannot be read") from None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise Unreadable("its header cannot be read")
    return found


def _check_hash(file: IO[bytes], header: bytes) -> None:
    """Compares the hash of the whole file with the one in its header; the cheap comparison of lengths comes first."""
    stated = _metadata(header).get(HASH_KEY, "")
    place = header.find(stated.encode())
    if len(stated) != len(UNHASHED) or place < 0:
        raise Unreadable("it has no hash")
    if os.fstat(file.fileno()).st_size != len(header) + _stated_bytes(header):
        raise Unreadable("it is cut short, or longer than it says")
    digest = hashlib.sha256(header[:place] + UNHASHED.encode() + header[place + len(UNHASHED) :])
    for piece in _pieces(file):
        digest.update(piece)
    if digest.hexdigest() != stated:
        raise Unreadable("its content is not what was written: the hash differs")


def _stated_bytes(header: bytes) -> int:
    """Bytes of all tensors, as the header tells."""
    table = json.loads(header[8:])
    ends = [entry["data_offsets"][1] for name, entry in table.items() if name != "__metadata__"]
    if not all(isinstance(end, int) for end in ends):
        raise Unreadable("its header cannot be read")
    return max(ends, default=0)


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(PIECE_BYTES):
        yield piece
