"""Headers of safetensors files: what is read from good ones, and that bad ones cost nothing."""

from __future__ import annotations

import json
import struct
import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepwide.errors import BadInput
from deepwide.formats.weights import safetensors
from deepwide.formats.weights.tensors import (
    Container,
    StoredTensor,
    embedding_and_head,
    is_parameter,
    packed,
    parameters,
)

MATRIX = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
VECTOR = {"dtype": "BF16", "shape": [4], "data_offsets": [24, 32]}


def framed(header: object, data_bytes: int = 32) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(data_bytes)


def parsed(header: object, data_bytes: int = 32) -> Container:
    data = framed(header, data_bytes)
    return safetensors.parse(data, len(data))


def refusal(run: Callable[[], object]) -> str:
    with pytest.raises(BadInput) as caught:
        run()
    message = str(caught.value)
    assert message.isprintable()
    return message


def container(**shapes: tuple[int, ...]) -> Container:
    tensors = tuple(
        StoredTensor(name=name.replace("__", "."), shape=shape, dtype="F32", stored_bytes=0)
        for name, shape in shapes.items()
    )
    return Container(path="x", tensors=tensors, metadata={}, kind="safetensors")


def peak_bytes(run: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_header_gives_every_tensor_with_its_bytes() -> None:
    read = parsed({"__metadata__": {"format": "pt"}, "a": MATRIX, "b": VECTOR})
    expected = (
        StoredTensor(name="a", shape=(2, 3), dtype="F32", stored_bytes=24),
        StoredTensor(name="b", shape=(4,), dtype="BF16", stored_bytes=8),
    )
    assert expected == read.tensors
    assert {"format": "pt"} == read.metadata
    assert 10 == parameters(read)


def test_a_header_without_tensors_is_an_empty_container() -> None:
    assert () == parsed({}, 0).tensors


@pytest.mark.parametrize("dtype", safetensors.DTYPE_BITS)
def test_every_dtype_takes_its_bits(dtype: str) -> None:
    size_bytes = safetensors.DTYPE_BITS[dtype] * 16 // 8
    read = parsed({"a": {"dtype": dtype, "shape": [4, 4], "data_offsets": [0, size_bytes]}}, size_bytes)
    assert size_bytes == read.tensors[0].stored_bytes


def test_known_dtypes_are_those_of_the_safetensors_package(tmp_path: Path) -> None:
    package = pytest.importorskip("safetensors")
    path = tmp_path / "unknown.safetensors"
    path.write_bytes(framed({"a": {**VECTOR, "dtype": "?", "data_offsets": [0, 8]}}, 8))
    with pytest.raises(package.SafetensorError) as caught, package.safe_open(path, "numpy"):
        pass
    named = str(caught.value).split("expected one of")[1].split(" at ")[0]
    assert {word.strip(" `") for word in named.split(",")} == set(safetensors.DTYPE_BITS)


def test_a_file_of_the_safetensors_package_is_read_as_it_was_written(tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    save_file = pytest.importorskip("safetensors.numpy").save_file
    arrays = {
        "model.embed_tokens.weight": numpy.zeros((10, 4), numpy.float16),
        "model.norm.weight": numpy.zeros(4, numpy.float32),
        "scalar": numpy.zeros((), numpy.int64),
        "empty": numpy.zeros((0, 5), numpy.float64),
    }
    save_file(arrays, tmp_path / "model.safetensors", metadata={"format": "np"})
    read = safetensors.read(tmp_path / "model.safetensors")
    assert {name: array.shape for name, array in arrays.items()} == {t.name: t.shape for t in read.tensors}
    assert {name: array.nbytes for name, array in arrays.items()} == {t.name: t.stored_bytes for t in read.tensors}
    assert {"format": "np"} == read.metadata


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        ({**MATRIX, "dtype": "F33"}, "dtype=F33"),
        ({**MATRIX, "dtype": ["F32"]}, "dtype=['F32']"),
        ({**MATRIX, "shape": [2, 4]}, "does not fill"),
        ({**MATRIX, "shape": [-2, -3]}, "shape=[-2, -3]"),
        ({**MATRIX, "shape": [2.0, 3]}, "shape=[2.0, 3]"),
        ({**MATRIX, "shape": [True, 6]}, "shape=[True, 6]"),
        ({**MATRIX, "shape": "23"}, "shape=23"),
        ({**MATRIX, "shape": {}}, "shape={}"),
        ({**MATRIX, "shape": -0.0, "data_offsets": 10**400}, "shape=-0.0"),
        ({**MATRIX, "shape": [2**50, 0], "data_offsets": [0, 0]}, "whole numbers from 0"),
        ({**MATRIX, "shape": [1] * 33, "data_offsets": [0, 4]}, "at most 32"),
        ({**MATRIX, "data_offsets": [0]}, "exactly 2"),
        ({**MATRIX, "data_offsets": [24, 0]}, "does not fill"),
        ({**MATRIX, "data_offsets": [16, 40]}, "ends at byte 40"),
        ({"dtype": "F32", "shape": [2, 3]}, "must give dtype, shape and data_offsets"),
        (None, "must give dtype, shape and data_offsets"),
    ],
)
def test_an_inconsistent_tensor_is_named(entry: Any, named: str) -> None:
    message = refusal(lambda: parsed({"layer.weight": entry}))
    assert named in message
    assert "layer.weight" in message


@pytest.mark.parametrize(
    ("header", "named"),
    [
        ({"a": MATRIX, "b": {**MATRIX, "data_offsets": [8, 32]}}, "'a' and 'b' overlap at byte 8"),
        (b'{"a": 1, "a": 2}', "a key appears twice"),
        (b'{"a": {"dtype": "F32", "dtype": "F16"}}', "a key appears twice"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": ' + b"[" * 5000, "nested too deep"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not valid"),
        (b"[]", "must be an object, not list"),
        (b"{", "not valid"),
        (b"", "not valid"),
        (b'{"\xff": 1}', "not UTF-8 at byte 2"),
        ({"": MATRIX}, "1 to 256 printable characters"),
        ({"a\nb": MATRIX}, "1 to 256 printable characters"),
        (b'{"\\ud800": 1}', "1 to 256 printable characters"),
        ({"x" * 300: MATRIX}, "1 to 256 printable characters"),
        ({"__metadata__": {"a": 1}}, "must be a table of texts"),
        ({"__metadata__": []}, "must be a table of texts"),
    ],
)
def test_a_bad_header_says_what_is_wrong(header: object, named: str) -> None:
    assert named in refusal(lambda: parsed(header))


@pytest.mark.parametrize("length", [33, 2**31, 2**63, 2**64 - 1])
def test_a_header_longer_than_the_file_is_refused_before_memory_is_taken(length: int) -> None:
    data = struct.pack("<Q", length) + b"{}" + bytes(30)
    assert "is more than the 32 bytes" in refusal(lambda: safetensors.parse(data, len(data)))
    assert 10**6 > peak_bytes(lambda: refusal(lambda: safetensors.parse(data, len(data))))


def test_a_header_over_our_limit_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "large.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 2**30))
        file.truncate(2**31)  # sparse: takes no room on the disk
    message = refusal(lambda: safetensors.read(path))
    assert "over our limit of 8388608 bytes; save the model in shards" in message
    assert 10**6 > peak_bytes(lambda: refusal(lambda: safetensors.read(path)))


@pytest.mark.parametrize(
    "header",
    [
        b'{"a":[' + b"[]," * 2_000_000 + b"0]}",
        b'{"a":' * 200_000,
        b"{" + b",".join(b'"%x":"%x"' % (n, n) for n in range(230_000)) + b"}",
        '{"{}":1}'.replace("{}", "\U0001f600" * 2_000_000, 1).encode(),
    ],
    ids=["lists", "nesting", "keys", "wide characters"],
)
def test_a_header_made_to_grow_stays_below_64_megabytes(header: bytes) -> None:
    data = framed(header)
    assert 64 * 10**6 > peak_bytes(lambda: refusal(lambda: safetensors.parse(data, len(data))))


@pytest.mark.slow
def test_forty_thousand_tensors_stay_below_64_megabytes() -> None:
    shape = {"dtype": "F16", "shape": [1000, 1000]}
    header = {f"layers.{n:060}": {**shape, "data_offsets": [n * 2000000, (n + 1) * 2000000]} for n in range(39_000)}
    data = framed(header, 0)
    size_bytes = len(data) + 39_000 * 2000000
    assert 64 * 10**6 > peak_bytes(lambda: safetensors.parse(data, size_bytes))


@pytest.mark.parametrize("name", ["nowhere.safetensors", "a\0b"])
def test_a_missing_file_is_bad_input(name: str, tmp_path: Path) -> None:
    assert "cannot be read" in refusal(lambda: safetensors.read(tmp_path / name))


def test_a_folder_and_an_empty_file_are_bad_input(tmp_path: Path) -> None:
    (tmp_path / "empty.safetensors").touch()
    assert "is not a file" in refusal(lambda: safetensors.read(tmp_path))
    assert "is empty" in refusal(lambda: safetensors.read(tmp_path / "empty.safetensors"))


def test_a_git_lfs_pointer_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    assert "run git lfs pull" in refusal(lambda: safetensors.read(tmp_path / "model.safetensors"))


def write_index(folder: Path, weight_map: object, metadata: object = None) -> Path:
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": metadata or {"total_size": 64}, "weight_map": weight_map}))
    return index


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    (tmp_path / "one.safetensors").write_bytes(framed({"a": MATRIX, "b": VECTOR}))
    (tmp_path / "two.safetensors").write_bytes(framed({"c": MATRIX, "d": VECTOR}))
    return tmp_path


def test_an_index_gathers_the_tensors_of_its_shards(shards: Path) -> None:
    names = {"a": "one.safetensors", "c": "two.safetensors", "b": "one.safetensors", "d": "two.safetensors"}
    read = safetensors.read(write_index(shards, names))
    assert ["a", "b", "c", "d"] == [tensor.name for tensor in read.tensors]
    assert {"total_size": 64} == read.metadata


def test_a_tensor_that_the_index_takes_from_another_shard_counts_once(shards: Path) -> None:
    (shards / "three.safetensors").write_bytes(framed({"a": MATRIX, "e": VECTOR}))
    read = safetensors.read(write_index(shards, {"a": "one.safetensors", "e": "three.safetensors"}))
    assert ["a", "e"] == [tensor.name for tensor in read.tensors]


def test_a_missing_shard_is_named_with_the_way_out(shards: Path) -> None:
    index = write_index(shards, {"a": "one.safetensors", "z": "nine.safetensors"})
    message = refusal(lambda: safetensors.read(index))
    assert "shard 'nine.safetensors' is not beside it (1 of 2 shards missing)" in message
    assert "config.json" in message


@pytest.mark.parametrize(
    "shard",
    [
        "../one.safetensors",
        "/elsewhere/one.safetensors",
        "sub/one.safetensors",
        "sub\\one.safetensors",
        "C:one.safetensors",
        "..safetensors",
        "one.bin",
        "",
        "a\n.safetensors",
        "x" * 300 + ".safetensors",
        7,
    ],
)
def test_a_shard_outside_the_folder_is_refused(shard: object, shards: Path) -> None:
    assert "weight_map: shard" in refusal(lambda: safetensors.read(write_index(shards, {"a": shard})))


@pytest.mark.parametrize("weight_map", [None, [], {}, "one.safetensors"])
def test_an_index_without_a_weight_map_is_refused(weight_map: object, shards: Path) -> None:
    assert "must map tensor names to shards" in refusal(lambda: safetensors.read(write_index(shards, weight_map)))


def test_a_tensor_absent_from_its_shard_is_named(shards: Path) -> None:
    index = write_index(shards, {"a": "one.safetensors", "zz": "one.safetensors"})
    assert "tensor 'zz' of the index is not in this shard" in refusal(lambda: safetensors.read(index))


@pytest.mark.parametrize(
    ("name", "shape", "learned"),
    [
        ("model.layers.0.self_attn.rotary_emb.inv_freq", (64,), False),
        ("h.0.attn.bias", (1, 1, 1024, 1024), False),
        ("h.0.attn.masked_bias", (), False),
        ("gpt_neox.layers.0.attention.bias", (1, 1, 2048, 2048), False),
        ("encoder.attn.bias", (768,), True),
        ("bert.embeddings.position_ids", (1, 512), False),
        ("model.layers.3.mlp.gate.e_score_correction_bias", (256,), False),
        ("blk.3.exp_probs_b.bias", (256,), False),
        ("rope_freqs.weight", (64,), False),
        ("bn1.running_mean", (64,), False),
        ("model.layers.0.mlp.down_proj.weight_scale_inv", (8, 8), False),
        ("model.layers.0.mlp.down_proj.weight", (8, 8), True),
        ("h.0.attn.c_attn.bias", (2304,), True),
    ],
)
def test_buffers_are_not_parameters(name: str, shape: tuple[int, ...], learned: bool) -> None:
    assert learned == is_parameter(StoredTensor(name=name, shape=shape, dtype="F32", stored_bytes=0))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("model.embed_tokens.weight", "lm_head.weight"), ("model.embed_tokens.weight", "lm_head.weight")),
        (("transformer.wte.weight", "transformer.wpe.weight"), ("transformer.wte.weight", None)),
        (("token_embd.weight", "blk.0.attn_output.weight", "output.weight"), ("token_embd.weight", "output.weight")),
        (("bert.encoder.layer.0.attention.output.weight",), (None, None)),
        (("gpt_neox.embed_in.weight", "embed_out.weight"), ("gpt_neox.embed_in.weight", "embed_out.weight")),
        (("backbone.embeddings.weight",), ("backbone.embeddings.weight", None)),
        (("x.rel_embeddings.weight", "x.word_embeddings.weight"), ("x.word_embeddings.weight", None)),
    ],
)
def test_embedding_and_head_are_found_by_name(names: tuple[str, ...], expected: tuple[str | None, str | None]) -> None:
    found = embedding_and_head(container(**{name.replace(".", "__"): (8, 4) for name in names}))
    assert expected == tuple(tensor.name if tensor else None for tensor in found)


def test_a_head_stored_beside_a_tied_embedding_counts_twice() -> None:
    assert 64 == parameters(container(model__embed_tokens__weight=(8, 4), lm_head__weight=(8, 4)))


def test_packed_weights_are_named() -> None:
    stored = container(a__qweight=(8, 4), a__scales=(8,), b__weight=(16,), b__weight__absmax=(1,), c__weight=(4,))
    assert {"a.qweight", "b.weight"} == set(packed(stored))


@given(st.binary(max_size=200))
def test_random_bytes_are_read_or_refused(data: bytes) -> None:
    read_or_refused(data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.text(max_size=5) | st.just("__metadata__"),
        st.fixed_dictionaries(
            {
                "dtype": st.sampled_from(("F32", "F4", "")) | json_values,
                "shape": st.lists(st.integers(-1, 5), max_size=3) | json_values,
                "data_offsets": st.lists(st.integers(-1, 40), max_size=3) | json_values,
            }
        )
        | json_values,
        max_size=4,
    )
)
def test_any_json_header_is_read_or_refused(header: Mapping[str, object]) -> None:
    read_or_refused(framed(header))


@given(st.data())
def test_a_cut_or_changed_file_is_read_or_refused(data: st.DataObject) -> None:
    good = bytearray(framed({"__metadata__": {"format": "pt"}, "a": MATRIX, "b": VECTOR}))
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    read_or_refused(bytes(good[: data.draw(st.integers(0, len(good)))]))


def read_or_refused(data: bytes) -> None:
    message = ""
    stored_bytes = 0
    try:
        stored_bytes = sum(tensor.stored_bytes for tensor in safetensors.parse(data, len(data)).tensors)
    except BadInput as error:
        message = str(error)
    assert message.isprintable()
    assert stored_bytes <= len(data)
