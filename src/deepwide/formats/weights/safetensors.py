"""Reading the header of a safetensors file, or of all the shards that an index lists.

The file is 8 bytes of header length, a JSON header that gives each tensor's dtype, shape and place, then the values,
which are never touched (https://huggingface.co/docs/safetensors). A header may come from anyone, so its length is
held against the file and against a limit before it is read, and its commas and brackets are counted before it is
parsed: a short text of empty lists would otherwise grow twentyfold in memory.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

from deepwide.formats.weights.tensors import (
    MAX_DIMENSION,
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

# Bits of one number of each type of the format.
# fmt: off
DTYPE_BITS: Mapping[str, int] = {
    "C64": 64, "F64": 64, "I64": 64, "U64": 64, "F32": 32, "I32": 32, "U32": 32, "F16": 16, "BF16": 16, "I16": 16,
    "U16": 16, "F8_E4M3": 8, "F8_E4M3FNUZ": 8, "F8_E5M2": 8, "F8_E5M2FNUZ": 8, "F8_E8M0": 8, "I8": 8, "U8": 8,
    "BOOL": 8, "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
}
# fmt: on

# The format allows headers of 100 MB. Ours are smaller so that no header costs more than 64 MB to parse, and still
# ten times what the largest published files have: the 291 tensors of a 7B model take 35 kB.
MAX_HEADER_BYTES = 8 * 2**20
MAX_TENSORS = 40_000
COMMAS_PER_TENSOR, BRACKETS_PER_TENSOR = 6, 3  # of a matrix: {dtype, shape: [_, _], data_offsets: [_, _]},

MAX_INDEX_BYTES = 32 * 2**20  # 140,000 tensors of a mixture of experts take 15 MB
MAX_INDEX_COMMAS, MAX_INDEX_BRACKETS = 300_000, 1_000
MAX_RANK = 32
MAX_FILE_NAME_BYTES = 255  # of most file systems
LENGTH_BYTES = 8


def read(path: str | Path) -> Container:
    """The tensors of a .safetensors file, or of the shards named by a .safetensors.index.json."""
    if str(path).endswith(".json"):
        return _sharded(Path(path))
    with opened(path, LENGTH_BYTES + MAX_HEADER_BYTES) as (data, size_bytes):
        return parse(data, size_bytes, path)


def parse(data: Bytes, size_bytes: int, path: str | Path = "<bytes>") -> Container:
    """The tensors that a header lists. `data` starts the file, `size_bytes` is the size of all of it."""
    header_bytes = _header_bytes(data, size_bytes, path)
    text = _text(data[LENGTH_BYTES : LENGTH_BYTES + header_bytes], MAX_HEADER_BYTES, path)
    header = _table(text, COMMAS_PER_TENSOR * MAX_TENSORS, BRACKETS_PER_TENSOR * MAX_TENSORS, path)
    metadata = _metadata(header.pop("__metadata__", None), path)
    check_names(path, header)
    placed = [_tensor(name, entry, path) for name, entry in header.items()]
    check_extents(path, [extent for _, extent in placed], size_bytes - LENGTH_BYTES - header_bytes)
    tensors = tuple([tensor for tensor, _ in placed])
    return Container(path=str(path), tensors=tensors, metadata=metadata, kind="safetensors")


def _header_bytes(data: Bytes, size_bytes: int, path: str | Path) -> int:
    """The length of the header, once it is known to lie within the file and our limit."""
    if size_bytes < LENGTH_BYTES:
        raise damaged(path, f"{size_bytes} bytes are too few for a safetensors file, which starts with 8 of length")
    header_bytes = int.from_bytes(data[:LENGTH_BYTES], "little")
    if header_bytes > size_bytes - LENGTH_BYTES:
        raise damaged(
            path, f"header length {header_bytes} is more than the {size_bytes - LENGTH_BYTES} bytes that follow"
        )
    if header_bytes > MAX_HEADER_BYTES:
        way_out = "save the model in shards, or give its config.json"
        raise damaged(path, f"header length {header_bytes} is over our limit of {MAX_HEADER_BYTES} bytes", way_out)
    return header_bytes


def _text(raw: bytes, most_bytes: int, path: str | Path) -> str:
    """Bytes as text. Beyond ASCII a character may take four bytes in memory, so then a quarter of the limit holds."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise damaged(path, f"JSON text is not UTF-8 at byte {error.start}") from None
    if len(raw) > most_bytes // 4 and not text.isascii():
        raise damaged(path, f"JSON text of {len(raw)} bytes beyond ASCII is over our limit of {most_bytes // 4}")
    return text


def _table(text: str, most_commas: int, most_brackets: int, path: str | Path) -> dict[str, Any]:
    """The JSON object of a text that is not made to fill the memory."""
    if text.count(",") > most_commas or text.count("{") + text.count("[") > most_brackets:
        problem = f"JSON text has more than {most_commas} commas or {most_brackets} brackets, our limits for one file"
        raise damaged(path, problem, "save the model in shards, or give its config.json")
    try:
        table = _DECODER.decode(text)
    except RecursionError:
        raise damaged(path, "JSON text is nested too deep") from None
    except ValueError as error:
        raise damaged(path, f"JSON text is not valid: {shown(str(error))}") from None
    if type(table) is not dict:
        raise damaged(path, f"JSON text must be an object, not {type(table).__name__}")
    return table


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, unless a key comes twice: which of the two a reader believes must not matter."""
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a key appears twice in one object")
    return table


def _refused(constant: str) -> float:
    """NaN and Infinity, which Python reads and JSON does not have."""
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refused)


def _metadata(value: Any, path: str | Path) -> Mapping[str, object]:
    """The free text that a writer left under __metadata__."""
    if value is None:
        return {}
    if type(value) is not dict or not all(type(text) is str for text in value.values()):
        raise damaged(path, f"__metadata__={shown(value)} must be a table of texts")
    return value


def _tensor(name: str, entry: Any, path: str | Path) -> tuple[StoredTensor, Extent]:
    """One tensor of the header and its place in the data, every field checked against the others."""
    try:
        dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    except (KeyError, TypeError):
        problem = f"must give dtype, shape and data_offsets, not {shown(entry)}"
        raise damaged(path, f"tensor '{shown(name)}' {problem}") from None
    if type(dtype) is not str or dtype not in DTYPE_BITS:
        known = " ".join(DTYPE_BITS)
        raise damaged(path, f"tensor '{shown(name)}': dtype={shown(dtype)} is unknown (known: {known})")
    lists = type(shape) is type(offsets) is list and len(shape) <= MAX_RANK and len(offsets) == 2
    if not lists or not _are_counts(shape + offsets):
        rule = f"must be at most {MAX_RANK} and exactly 2 whole numbers from 0 to {MAX_DIMENSION}"
        raise damaged(path, f"tensor '{shown(name)}': shape={shown(shape)} and data_offsets={shown(offsets)} {rule}")
    begin, end = offsets
    if 8 * (end - begin) != prod(shape) * DTYPE_BITS[dtype]:
        problem = f"shape={shown(shape)} of {dtype} does not fill data_offsets={shown(offsets)}"
        raise damaged(path, f"tensor '{shown(name)}': {problem}")
    tensor = StoredTensor(name=name, shape=tuple(shape), dtype=dtype, stored_bytes=end - begin)
    return tensor, (begin, end, name)


def _are_counts(values: list[Any]) -> bool:
    """Whether these are whole numbers in range. True is not a number here, nor is 2.0."""
    for value in values:  # noqa: SIM110 (all() of a generator takes twice as long, and every tensor comes here)
        if type(value) is not int or not 0 <= value <= MAX_DIMENSION:
            return False
    return True


def _sharded(index: Path) -> Container:
    """The tensors of all the shards that an index names, each tensor from the shard that the index says."""
    with opened(index, MAX_INDEX_BYTES + 1) as (data, size_bytes):
        if size_bytes > MAX_INDEX_BYTES:
            raise damaged(index, f"{size_bytes} bytes are over our limit of {MAX_INDEX_BYTES} for an index")
        table = _table(_text(data[:], MAX_INDEX_BYTES, index), MAX_INDEX_COMMAS, MAX_INDEX_BRACKETS, index)
    shards = _shards(table.get("weight_map"), index)
    missing = [shard for shard in shards if not (index.parent / shard).is_file()]
    if missing:
        problem = f"shard '{shown(missing[0])}' is not beside it ({len(missing)} of {len(shards)} shards missing)"
        raise damaged(index, problem, "fetch the shards into one folder, or give the model's config.json instead")
    tensors = [tensor for shard, names in shards.items() for tensor in _listed(index.parent / shard, names)]
    metadata = table.get("metadata")
    metadata = metadata if type(metadata) is dict else {}
    return Container(path=str(index), tensors=tuple(tensors), metadata=metadata, kind="safetensors")


def _shards(weight_map: Any, index: Path) -> dict[str, set[str]]:
    """The names of tensors by shard. A shard is a plain file name, so that an index cannot reach other folders."""
    if type(weight_map) is not dict or not weight_map:
        raise damaged(index, f"weight_map={shown(weight_map)} must map tensor names to shards")
    shards: dict[str, set[str]] = {}
    for name, shard in weight_map.items():
        if type(shard) is not str:
            raise damaged(index, f"weight_map: shard {shown(shard)} of '{shown(name)}' must be a file name")
        shards.setdefault(shard, set()).add(name)
    for shard in shards:
        plain = shard.endswith(".safetensors") and shard.isprintable() and len(shard.encode()) <= MAX_FILE_NAME_BYTES
        if not plain or ".." in shard or set(shard) & set("/\\:"):
            raise damaged(index, f"weight_map: shard '{shown(shard)}' must be the plain name of a .safetensors file")
    return shards


def _listed(shard: Path, names: set[str]) -> list[StoredTensor]:
    """The tensors of a shard that the index lists for it."""
    tensors = [tensor for tensor in read(shard).tensors if tensor.name in names]
    if len(tensors) != len(names):
        absent = min(names.difference(tensor.name for tensor in tensors))
        raise damaged(shard, f"tensor '{shown(absent)}' of the index is not in this shard")
    return tensors
