"""Reading the header of a GGUF file: metadata, and the name, shape and type of every tensor.

Little-endian files of versions 1 to 3 (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md). The values are
never touched, and long arrays such as the words of a tokeniser are stepped over: only their length is kept. Every
count is held against the bytes that are left before anything is made of it, so a file that lies costs nothing.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

from deepwide.formats.weights.tensors import (
    MAX_DIMENSION,
    MAX_NAME,
    Bytes,
    Container,
    Extent,
    StoredTensor,
    check_extents,
    check_names,
    damaged,
    opened,
    shown,
)

# Block formats of ggml: weights in a block, bytes that hold it. A block is a scale or two and the packed weights;
# Q4_0 is 2 bytes of scale and 32 half bytes. Source: the block_* structures of ggml-common.h, ggml-org/ggml.
# (Q8_1 never lies in a file; it had 40 bytes until its two scales became half floats.) In the order of their numbers.
# fmt: off
GGML_TYPES: Mapping[str, tuple[int, int]] = {
    "F32": (1, 4), "F16": (1, 2), "Q4_0": (32, 18), "Q4_1": (32, 20), "Q5_0": (32, 22), "Q5_1": (32, 24),
    "Q8_0": (32, 34), "Q8_1": (32, 36), "Q2_K": (256, 84), "Q3_K": (256, 110), "Q4_K": (256, 144),
    "Q5_K": (256, 176), "Q6_K": (256, 210), "Q8_K": (256, 292), "IQ2_XXS": (256, 66), "IQ2_XS": (256, 74),
    "IQ3_XXS": (256, 98), "IQ1_S": (256, 50), "IQ4_NL": (32, 18), "IQ3_S": (256, 110), "IQ2_S": (256, 82),
    "IQ4_XS": (256, 136), "I8": (1, 1), "I16": (1, 2), "I32": (1, 4), "I64": (1, 8), "F64": (1, 8),
    "IQ1_M": (256, 56), "BF16": (1, 2), "TQ1_0": (256, 54), "TQ2_0": (256, 66), "MXFP4": (32, 17),
    "NVFP4": (64, 36), "Q1_0": (128, 18),
}
# fmt: on
_TYPE_NUMBERS = (0, 1, 2, 3, *range(6, 31), 34, 35, 39, 40, 41)  # the gaps are formats that ggml dropped
_TYPE_NAMES: Mapping[int, str] = dict(zip(_TYPE_NUMBERS, GGML_TYPES, strict=True))

# Values of metadata by their number in the format. 8 is a string and 9 an array.
_CODES = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_NUMBERS: Mapping[int, struct.Struct] = {number: struct.Struct(code) for number, code in _CODES.items()}
_STRING, _ARRAY = 8, 9
_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")

# Limits, each several times what published files need, that keep the worst file below 64 MB of memory and a second.
MAX_HEADER_BYTES = 32 * 2**20  # a vocabulary of 256,000 words with its merges takes 15 MB
MAX_TENSORS = 65_536
MAX_KEYS = 1_024
MAX_KEPT = 1_024  # elements of an array of numbers, such as the heads of each layer; a longer one is stepped over
MAX_NESTED = 64  # arrays in an array; no writer is known to use them
MAX_TEXT_BYTES = 8_192  # a longer text (a tokeniser's whole JSON) is stepped over
MAX_RANK = 8
MAX_PARTS = 1_000
ALIGNMENT_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A long value that was stepped over: how many elements an array has, how many bytes a text."""

    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """The start of a file, and how wide its counts are: 4 bytes in version 1, 8 since."""

    data: Bytes
    size_bytes: int
    path: str | Path
    count: struct.Struct


def read(path: str | Path) -> Container:
    """The tensors and metadata of a .gguf file, and of its other parts where it is one of several."""
    with opened(path, MAX_HEADER_BYTES) as (data, size_bytes):
        container = parse(data, size_bytes, path)
    parts = container.metadata.get("split.count", 1)
    return _joined(Path(path), parts) if type(parts) is int and parts > 1 else container


def parse(data: Bytes, size_bytes: int, path: str | Path = "<bytes>") -> Container:
    """The tensors and metadata of one header. `data` starts the file, `size_bytes` is the size of all of it."""
    try:
        return _parsed(data, size_bytes, path)
    except (struct.error, OverflowError):
        if size_bytes > len(data):
            raise damaged(path, f"the header is longer than our limit of {MAX_HEADER_BYTES} bytes") from None
        raise damaged(path, f"the file ends inside its header, after {size_bytes} bytes") from None


def _parsed(data: Bytes, size_bytes: int, path: str | Path) -> Container:
    version = _version(data, path)
    source = _Source(data=data, size_bytes=size_bytes, path=path, count=_U32 if version == 1 else _U64)
    width = source.count.size
    at = 8 + 2 * width
    # the shortest tensor is an empty name, no dimensions, a type and a place; the shortest key an empty name and a byte
    tensors = _count(source, 8, "tensors", room=(size_bytes - at) // (width + 16), most=MAX_TENSORS)
    keys = _count(source, 8 + width, "metadata keys", room=(size_bytes - at) // (width + 5), most=MAX_KEYS)
    metadata: dict[str, object] = {}
    for _ in range(keys):
        key, value, at = _pair(source, at)
        if key in metadata:
            raise damaged(path, f"metadata key '{shown(key)}' appears twice")
        metadata[key] = value
    return Container(path=str(path), tensors=_tensors(source, at, tensors, metadata), metadata=metadata, kind="gguf")


def _version(data: Bytes, path: str | Path) -> int:
    """The version of the format, once magic and byte order are known to be ours."""
    if data[:4] != b"GGUF":
        raise damaged(path, f"starts with {data[:4]!r}, not with b'GGUF'", "give a GGUF file, or convert it to one")
    version: int = _U32.unpack_from(data, 4)[0]
    if version and not version & 0xFFFF:  # a small number whose bytes are in the other order
        raise damaged(path, "is big-endian, which is not read here", "convert it with gguf_convert_endian of llama.cpp")
    if not 1 <= version <= 3:
        raise damaged(path, f"is GGUF version {version}, and versions 1 to 3 are known", "convert it to version 3")
    return version


def _count(source: _Source, at: int, what: str, *, room: int, most: int) -> int:
    """The count stored at `at`, held against what the rest of the file has room for and against our limit."""
    count: int = source.count.unpack_from(source.data, at)[0]
    if count > max(room, 0):
        raise damaged(source.path, f"announces {count} {what}, and the file has room for {max(room, 0)} at most")
    if count > most:
        raise damaged(
            source.path, f"announces {count} {what}, over our limit of {most}", "give the model's config.json"
        )
    return count


def _pair(source: _Source, at: int) -> tuple[str, object, int]:
    """A key of the metadata, its value, and where the next key starts."""
    key, at = _name(source, at)
    (kind,) = _U32.unpack_from(source.data, at)
    value, at = _value(source, at + 4, kind, key)
    return key, value, at


def _name(source: _Source, at: int) -> tuple[str, int]:
    """The name of a key or a tensor, and where what follows it starts."""
    begin, end = _string(source, at)
    name = source.data[begin : min(end, begin + 4 * MAX_NAME)].decode("utf-8", "replace")
    check_names(source.path, (name,))
    return name, end


def _string(source: _Source, at: int) -> tuple[int, int]:
    """The first byte of a string and the byte after it, both within the file."""
    (length,) = source.count.unpack_from(source.data, at)
    begin = at + source.count.size
    if begin + length > len(source.data):
        raise struct.error("a string runs past the end")
    return begin, begin + length


def _value(source: _Source, at: int, kind: int, key: str) -> tuple[object, int]:
    """A value of the metadata and where the next thing starts."""
    if kind in _NUMBERS:
        return _NUMBERS[kind].unpack_from(source.data, at)[0], at + _NUMBERS[kind].size
    if kind == _ARRAY:
        return _array(source, at, key)
    if kind != _STRING:
        raise damaged(source.path, f"metadata '{shown(key)}' has a value of type {kind}, and types 0 to 12 are known")
    begin, end = _string(source, at)
    if end - begin > MAX_TEXT_BYTES:
        return Skipped(length=end - begin), end
    return source.data[begin:end].decode("utf-8", "replace"), end


def _array(source: _Source, at: int, key: str, nested: bool = False) -> tuple[object, int]:
    """An array of numbers if it is short, else its length; and where the next thing starts."""
    (kind,) = _U32.unpack_from(source.data, at)
    (length,) = source.count.unpack_from(source.data, at + 4)
    at += 4 + source.count.size
    least_bytes = _NUMBERS[kind].size if kind in _NUMBERS else source.count.size
    if length > (len(source.data) - at) // least_bytes:
        raise struct.error("an array runs past the end")
    if kind in _NUMBERS:
        end = at + length * least_bytes
        if length > MAX_KEPT:
            return Skipped(length=length), end
        return tuple(value for (value,) in _NUMBERS[kind].iter_unpack(source.data[at:end])), end
    if kind == _STRING:
        return Skipped(length=length), _after_strings(source, at, length)
    if kind != _ARRAY or nested or length > MAX_NESTED:
        known = f"numbers, strings, and up to {MAX_NESTED} arrays of these are known"
        raise damaged(
            source.path, f"metadata '{shown(key)}' is an array of {length} values of type {kind}, and {known}"
        )
    for _ in range(length):
        _, at = _array(source, at, key, nested=True)
    return Skipped(length=length), at


def _after_strings(source: _Source, at: int, strings: int) -> int:
    """Where the next thing starts after so many strings, none of which is made into text."""
    data, unpack, width = source.data, source.count.unpack_from, source.count.size
    for _ in range(strings):
        at += width + unpack(data, at)[0]
    if at > len(data):
        raise struct.error("an array of strings runs past the end")
    return at


def _tensors(source: _Source, at: int, tensors: int, metadata: Mapping[str, object]) -> tuple[StoredTensor, ...]:
    """The tensors listed from `at` on, each within the data and none over another."""
    found: dict[str, StoredTensor] = {}
    extents: list[Extent] = []
    for _ in range(tensors):
        name, at = _name(source, at)
        (rank,) = _U32.unpack_from(source.data, at)
        if rank > MAX_RANK:
            raise damaged(source.path, f"tensor '{shown(name)}' has {rank} dimensions, at most {MAX_RANK} are known")
        layout = f"<{rank}{'I' if source.count is _U32 else 'Q'}IQ"
        *sizes, kind, offset = struct.unpack_from(layout, source.data, at + 4)
        at += 4 + struct.calcsize(layout)
        if name in found:
            raise damaged(source.path, f"tensor '{shown(name)}' appears twice")
        found[name] = _tensor(source.path, name, sizes, kind)
        extents.append((offset, offset + found[name].stored_bytes, name))
    alignment = _alignment_bytes(metadata, source.path)
    check_extents(source.path, extents, source.size_bytes - -(-at // alignment) * alignment)
    return tuple(found.values())


def _tensor(path: str | Path, name: str, sizes: list[int], kind: int) -> StoredTensor:
    """One tensor. The file counts its dimensions from the innermost, so the shape is turned round."""
    if kind not in _TYPE_NAMES:
        raise damaged(path, f"tensor '{shown(name)}' has ggml type {kind}, and known are {' '.join(GGML_TYPES)}")
    dtype = _TYPE_NAMES[kind]
    block, block_bytes = GGML_TYPES[dtype]
    if max(sizes, default=0) > MAX_DIMENSION or (sizes and sizes[0] % block):
        rule = f"dimensions of at most {MAX_DIMENSION}, the innermost in blocks of {block} for {dtype}"
        raise damaged(path, f"tensor '{shown(name)}': shape={shown(sizes[::-1])} must have {rule}")
    return StoredTensor(
        name=name, shape=tuple(sizes[::-1]), dtype=dtype, stored_bytes=prod(sizes) // block * block_bytes
    )


def _alignment_bytes(metadata: Mapping[str, object], path: str | Path) -> int:
    """What the start of the values is rounded up to."""
    alignment = metadata.get("general.alignment", ALIGNMENT_BYTES)
    if type(alignment) is not int or not 1 <= alignment <= 2**16:
        raise damaged(path, f"general.alignment={shown(alignment)} must be a whole number from 1 to {2**16}")
    return alignment


def _joined(path: Path, parts: int) -> Container:
    """A model that lies in several files NAME-00001-of-00003.gguf; the metadata are those of the first."""
    stem = re.fullmatch(r"(.+)-\d{5}-of-(\d{5})\.gguf", path.name)
    if stem is None or int(stem[2]) != parts or parts > MAX_PARTS:
        problem = f"is one of {parts} parts, and its name does not end in -00001-of-{parts:05}.gguf"
        raise damaged(path, problem, "give every part its published name, in one folder")
    found = []
    for part in range(1, parts + 1):
        file = path.with_name(f"{stem[1]}-{part:05}-of-{parts:05}.gguf")
        if not file.is_file():
            raise damaged(path, f"part '{shown(file.name)}' is not beside it", "put all the parts into one folder")
        with opened(file, MAX_HEADER_BYTES) as (data, size_bytes):
            found.append(parse(data, size_bytes, file))
    tensors = {tensor.name: tensor for container in found for tensor in container.tensors}
    if len(tensors) != sum(len(container.tensors) for container in found):
        raise damaged(path, f"its {parts} parts hold a tensor twice")
    return Container(path=str(path), tensors=tuple(tensors.values()), metadata=found[0].metadata, kind="gguf")
