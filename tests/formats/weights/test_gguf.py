"""Headers of GGUF files: what is read from good ones, and that bad ones cost nothing."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepwide.errors import BadInput
from deepwide.formats.weights import gguf, gguf_config
from deepwide.formats.weights.tensors import StoredTensor, embedding_and_head, parameters

U32, I32, F32, BOOL, STRING, ARRAY, U64 = 4, 5, 6, 7, 8, 9, 10
Tensor = tuple[str, Sequence[int], int, int]  # name, sizes from the innermost, ggml type, offset


def text(value: str, count: str = "<Q") -> bytes:
    return struct.pack(count, len(value.encode())) + value.encode()


def array(kind: int, values: Sequence[bytes], count: str = "<Q") -> bytes:
    return struct.pack("<I", kind) + struct.pack(count, len(values)) + b"".join(values)


def built(
    pairs: dict[str, tuple[int, bytes]], tensors: Sequence[Tensor] = (), version: int = 3, data_bytes: int = 0
) -> bytes:
    count = "<I" if version == 1 else "<Q"
    parts = [b"GGUF", struct.pack("<I", version), struct.pack(count, len(tensors)), struct.pack(count, len(pairs))]
    parts += [text(key, count) + struct.pack("<I", kind) + value for key, (kind, value) in pairs.items()]
    for name, sizes, kind, offset in tensors:
        dimensions = b"".join(struct.pack(count, size) for size in sizes)
        parts += [text(name, count), struct.pack("<I", len(sizes)), dimensions, struct.pack("<IQ", kind, offset)]
    head = b"".join(parts)
    return head + bytes(-len(head) % 32 + data_bytes)


def u32(value: int) -> tuple[int, bytes]:
    return U32, struct.pack("<I", value)


def refusal(data: bytes) -> str:
    with pytest.raises(BadInput) as caught:
        gguf.parse(data, len(data))
    message = str(caught.value)
    assert message.isprintable()
    return message


def peak_bytes(run: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("version", [1, 2, 3])
def test_each_version_is_read(version: int) -> None:
    count = "<I" if version == 1 else "<Q"
    pairs = {"general.architecture": (STRING, text("llama", count)), "llama.block_count": u32(2)}
    data = built(pairs, [("token_embd.weight", (32, 10), 0, 0), ("a", (64, 2), 2, 1280)], version, data_bytes=1352)
    read = gguf.parse(data, len(data))
    expected = (
        StoredTensor(name="token_embd.weight", shape=(10, 32), dtype="F32", stored_bytes=1280),
        StoredTensor(name="a", shape=(2, 64), dtype="Q4_0", stored_bytes=4 * 18),
    )
    assert expected == read.tensors
    assert {"general.architecture": "llama", "llama.block_count": 2} == read.metadata
    assert 448 == parameters(read)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (0, b"\xff", 255),
        (1, b"\xff", -1),
        (2, b"\xff\xff", 65535),
        (3, b"\xff\xff", -1),
        (U32, b"\xff\xff\xff\xff", 2**32 - 1),
        (I32, b"\xff\xff\xff\xff", -1),
        (F32, struct.pack("<f", 0.5), 0.5),
        (BOOL, b"\1", True),
        (STRING, text("é"), "é"),
        (U64, b"\xff" * 8, 2**64 - 1),
        (11, b"\xff" * 8, -1),
        (12, struct.pack("<d", 0.1), 0.1),
        (STRING, struct.pack("<Q", 1) + b"\xff", "\ufffd"),
        (STRING, text("x" * 10000), gguf.Skipped(length=10000)),
        (ARRAY, array(I32, [struct.pack("<i", n) for n in (4, 2, 4)]), (4, 2, 4)),
        (ARRAY, array(F32, [bytes(4)] * 2000), gguf.Skipped(length=2000)),
        (ARRAY, array(STRING, [text("a"), text("")]), gguf.Skipped(length=2)),
        (ARRAY, array(ARRAY, [array(STRING, [text("a")]), array(BOOL, [b"\1"])]), gguf.Skipped(length=2)),
        (ARRAY, array(U32, []), ()),
    ],
)
def test_every_kind_of_value_is_read_or_stepped_over(kind: int, value: bytes, expected: object) -> None:
    data = built({"a": (kind, value), "after": u32(7)})
    assert {"a": expected, "after": 7} == gguf.parse(data, len(data)).metadata


def test_block_sizes_are_those_of_the_gguf_package() -> None:
    constants = pytest.importorskip("gguf.constants")
    sizes = {kind.name: tuple(size) for kind, size in constants.GGML_QUANT_SIZES.items()}
    ours = dict(gguf.GGML_TYPES)
    # Never stored; ggml-common.h has two halves and 32 bytes since 2024, the package still two floats.
    assert (32, 36) == ours.pop("Q8_1")
    assert ours == {name: sizes[name] for name in ours}


def test_type_numbers_are_those_of_the_gguf_package() -> None:
    constants = pytest.importorskip("gguf.constants")
    for kind in constants.GGMLQuantizationType:
        if kind.name not in gguf.GGML_TYPES:
            continue
        data = built({}, [("a", (256,), kind.value, 0)], data_bytes=4096)
        assert kind.name == gguf.parse(data, len(data)).tensors[0].dtype


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    numpy = pytest.importorskip("numpy")
    package = pytest.importorskip("gguf")
    path = tmp_path / "model.gguf"
    writer = package.GGUFWriter(path, "qwen2moe")
    writer.add_block_count(2)
    writer.add_embedding_length(64)
    writer.add_head_count(4)
    writer.add_head_count_kv([2, 1])
    writer.add_feed_forward_length([128, 128])
    writer.add_expert_count(8)
    writer.add_expert_used_count(2)
    writer.add_context_length(4096)
    writer.add_token_list([f"word {n}" for n in range(500)])
    writer.add_array("general.tags", ["a", "b"])
    packed = package.quantize(numpy.ones((8, 256), numpy.float32), package.GGMLQuantizationType.Q8_0)
    arrays = {"token_embd.weight": numpy.zeros((500, 64), numpy.float16), "output_norm.weight": numpy.zeros(64, "f4")}
    for name, values in arrays.items():
        writer.add_tensor(name, values)
    writer.add_tensor("blk.0.ffn_up.weight", packed, raw_dtype=package.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path, {**arrays, "blk.0.ffn_up.weight": packed}


def test_a_file_of_the_gguf_package_is_read_as_it_was_written(written: tuple[Path, dict[str, Any]]) -> None:
    path, arrays = written
    read = gguf.read(path)
    assert {name: values.nbytes for name, values in arrays.items()} == {t.name: t.stored_bytes for t in read.tensors}
    assert [(500, 64), (64,), (8, 256)] == [tensor.shape for tensor in read.tensors]
    assert ["F16", "F32", "Q8_0"] == [tensor.dtype for tensor in read.tensors]
    embedding, head = embedding_and_head(read)
    assert embedding is not None
    assert "token_embd.weight" == embedding.name
    assert head is None


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"", "not with b'GGUF'"),
        (b"GGU", "not with b'GGUF'"),
        (b"ggjt" + bytes(40), "not with b'GGUF'"),
        (b"GGUF", "ends inside its header"),
        (b"GGUF" + struct.pack(">IQQ", 3, 1, 1) + bytes(40), "is big-endian"),
        (b"GGUF" + struct.pack("<IQQ", 0, 0, 0), "version 0"),
        (b"GGUF" + struct.pack("<IQQ", 4, 0, 0), "version 4"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**63, 0) + bytes(40), "room for 1 at most"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**64 - 1) + bytes(40), "room for 3 at most"),
        (built({"a": (STRING, struct.pack("<Q", 2**64 - 1))}), "ends inside its header"),
        (built({"a": (STRING, struct.pack("<Q", 2**62))}), "ends inside its header"),
        (built({"a": (ARRAY, struct.pack("<IQ", U32, 2**62))}), "ends inside its header"),
        (built({"a": (ARRAY, struct.pack("<IQ", STRING, 2**40))}), "ends inside its header"),
        (built({"a": (ARRAY, struct.pack("<IQQ", STRING, 3, 2**63))}, data_bytes=64), "ends inside its header"),
        (built({"a": (ARRAY, struct.pack("<IQ", ARRAY, 1) * 40)}, data_bytes=64), "array of 1 values of type 9"),
        (built({"a": (ARRAY, struct.pack("<IQ", 13, 1))}, data_bytes=64), "array of 1 values of type 13"),
        (built({"a": (13, b"")}), "value of type 13"),
        (built({"": u32(1)}), "printable characters"),
        (built({"a\n": u32(1)}), "printable characters"),
        (built({"x" * 2000: u32(1)}), "printable characters"),
        (built({"general.alignment": u32(0)}), "general.alignment=0"),
        (built({"general.alignment": (STRING, text("32"))}), "general.alignment=32"),
        (built({}, [("a", (4,), 99, 0)], data_bytes=64), "ggml type 99"),
        (built({}, [("a", (4,), 4, 0)], data_bytes=64), "ggml type 4"),
        (built({}, [("a", (33, 2), 2, 0)], data_bytes=64), "in blocks of 32 for Q4_0"),
        (built({}, [("a", (2**60, 2**60), 0, 0)], data_bytes=64), "dimensions of at most"),
        (built({}, [("a", (1,) * 9, 0, 0)], data_bytes=64), "9 dimensions"),
        (built({}, [("a", (2**40,), 0, 0)], data_bytes=64), "ends at byte 4398046511104"),
        (built({}, [("a", (4,), 0, 2**63)], data_bytes=64), "ends at byte"),
        (built({}, [("a", (4,), 0, 0), ("b", (4,), 0, 8)], data_bytes=64), "'a' and 'b' overlap"),
        (built({}, [("a", (4,), 0, 0), ("a", (4,), 0, 16)], data_bytes=64), "tensor 'a' appears twice"),
    ],
)
def test_a_bad_file_says_what_is_wrong(data: bytes, named: str) -> None:
    assert named in refusal(data)


def test_a_key_that_comes_twice_is_refused() -> None:
    data = built({"a": u32(1), "b": u32(2)}).replace(text("b"), text("a"))
    assert "metadata key 'a' appears twice" in refusal(data)


@pytest.mark.parametrize("length", [2**31, 2**40, 2**62, 2**64 - 1])
def test_a_lying_length_takes_no_memory(length: int) -> None:
    lie = struct.pack("<Q", length)
    lies = [
        b"GGUF" + struct.pack("<I", 3) + lie + bytes(64),
        b"GGUF" + struct.pack("<IQ", 3, 0) + lie + bytes(64),
        built({"a": (STRING, lie)}, data_bytes=64),
        *(built({"a": (ARRAY, struct.pack("<I", kind) + lie)}, data_bytes=64) for kind in (U32, STRING, ARRAY)),
    ]
    assert 10**6 > peak_bytes(lambda: [refusal(data) for data in lies])


def test_a_vocabulary_is_stepped_over_without_memory(tmp_path: Path) -> None:
    words = array(STRING, [text(f"word{n}") for n in range(150_000)])
    (tmp_path / "model.gguf").write_bytes(built({"tokenizer.ggml.tokens": (ARRAY, words)}))
    found: list[object] = []
    peak = peak_bytes(lambda: found.append(gguf.read(tmp_path / "model.gguf").metadata))
    assert [{"tokenizer.ggml.tokens": gguf.Skipped(length=150_000)}] == found
    assert 10**5 > peak


def test_a_header_over_our_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    with path.open("wb") as file:
        file.write(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("a") + struct.pack("<IQ", STRING, 2**29))
        file.truncate(2**30)  # sparse: takes no room on the disk
    with pytest.raises(BadInput, match="longer than our limit of 33554432 bytes"):
        gguf.read(path)


def write_parts(folder: Path, parts: int) -> None:
    pairs = {"general.architecture": (STRING, text("llama")), "split.count": (2, struct.pack("<H", 3))}
    for part in range(1, parts + 1):
        data = built(pairs, [(f"blk.{part}.weight", (8,), 0, 0)], data_bytes=32)
        (folder / f"m-0000{part}-of-00003.gguf").write_bytes(data)


def test_the_parts_of_a_split_model_are_joined(tmp_path: Path) -> None:
    write_parts(tmp_path, 3)
    read = gguf.read(tmp_path / "m-00002-of-00003.gguf")
    assert ["blk.1.weight", "blk.2.weight", "blk.3.weight"] == [tensor.name for tensor in read.tensors]


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    write_parts(tmp_path, 2)
    with pytest.raises(BadInput, match=r"part 'm-00003-of-00003\.gguf' is not beside it"):
        gguf.read(tmp_path / "m-00001-of-00003.gguf")


def test_a_part_under_another_name_is_refused(tmp_path: Path) -> None:
    write_parts(tmp_path, 1)
    (tmp_path / "m-00001-of-00003.gguf").rename(tmp_path / "renamed.gguf")
    with pytest.raises(BadInput, match="one of 3 parts"):
        gguf.read(tmp_path / "renamed.gguf")


def test_a_tensor_in_two_parts_is_refused(tmp_path: Path) -> None:
    write_parts(tmp_path, 3)
    (tmp_path / "m-00003-of-00003.gguf").write_bytes((tmp_path / "m-00002-of-00003.gguf").read_bytes())
    with pytest.raises(BadInput, match="hold a tensor twice"):
        gguf.read(tmp_path / "m-00001-of-00003.gguf")


GOOD = built(
    {
        "general.architecture": (STRING, text("llama")),
        "llama.block_count": u32(2),
        "words": (ARRAY, array(STRING, [text("a"), text("bc")])),
        "heads": (ARRAY, array(I32, [bytes(4)] * 3)),
    },
    [("token_embd.weight", (32, 3), 0, 0), ("a", (64, 2), 2, 384)],
    data_bytes=456,
)


def test_every_cut_of_a_file_is_refused() -> None:
    for length in range(len(GOOD)):
        refusal(GOOD[:length])


@given(st.binary(max_size=200))
def test_random_bytes_after_the_magic_are_read_or_refused(data: bytes) -> None:
    read_or_refused(b"GGUF" + struct.pack("<I", 3) + data)


@given(st.data())
def test_a_changed_file_is_read_or_refused(data: st.DataObject) -> None:
    changed = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(changed) - 9))
        changed[at : at + 8] = data.draw(st.binary(min_size=8, max_size=8) | st.sampled_from((b"\xff" * 8, bytes(8))))
    read_or_refused(bytes(changed))


def read_or_refused(data: bytes) -> None:
    message = ""
    stored_bytes = 0
    try:
        read = gguf.parse(data, len(data))
        stored_bytes = sum(tensor.stored_bytes for tensor in read.tensors)
        gguf_config.as_config(read)
    except BadInput as error:
        message = str(error)
    assert message.isprintable()
    assert stored_bytes <= len(data)
