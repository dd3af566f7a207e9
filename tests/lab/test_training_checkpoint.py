"""Checkpoints: whole or not at all, whatever happens to the file or the disk."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import pickle
import resource
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from deepwide.errors import BadInput
from deepwide.lab.training import Checkpoint, newest, write
from deepwide.lab.training.checkpoint import read
from deepwide.lab.training.tensor_file import UNHASHED, Unreadable


def checkpoint_of(step: int) -> Checkpoint:
    generator = torch.Generator().manual_seed(step)
    return Checkpoint(
        step=step,
        tokens=32 * step,
        seconds=1.5,
        recipe_sha256="ab",
        weights={"a.weight": torch.randn(3, 5, generator=generator), "b": torch.randn(4).bfloat16()},
        optimizer={"momentum.a.weight": torch.randn(5, 3, generator=generator).T, "step.b": torch.tensor(float(step))},
    )


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def found_step(folder: Path) -> int:
    found = newest(folder)
    assert found is not None
    return found.checkpoint.step


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    kept = checkpoint_of(3)
    path = write(tmp_path, kept)
    back = read(path)
    assert (back.step, back.tokens, back.seconds, back.recipe_sha256) == (3, 96, 1.5, "ab")
    for own, other in ((kept.weights, back.weights), (kept.optimizer, back.optimizer)):
        assert own.keys() == other.keys()
        assert all(
            torch.equal(tensor, other[name]) and tensor.dtype == other[name].dtype for name, tensor in own.items()
        )


def test_others_read_it_as_safetensors(tmp_path: Path) -> None:
    with safe_open(write(tmp_path, checkpoint_of(3)), "pt") as file:
        assert torch.equal(file.get_tensor("weight.a.weight"), checkpoint_of(3).weights["a.weight"])
        assert file.metadata()["format"] == "deepwide-checkpoint"


def test_the_two_newest_are_kept(tmp_path: Path) -> None:
    for step in (9, 10, 1_000_000):
        write(tmp_path, checkpoint_of(step))
    assert files(tmp_path) == ["step-000010.safetensors", "step-1000000.safetensors"]
    assert found_step(tmp_path) == 1_000_000


def test_an_empty_folder_and_none_at_all_have_no_checkpoint(tmp_path: Path) -> None:
    assert newest(tmp_path) is None
    assert newest(tmp_path / "none") is None


def header_bytes(path: Path) -> int:
    return 8 + int.from_bytes(path.read_bytes()[:8], "little")


CUTS: dict[str, Callable[[Path], int]] = {
    "nothing left": lambda path: 0,
    "in the length": lambda path: 5,
    "after the length": lambda path: 8,
    "in the header": lambda path: header_bytes(path) // 2,
    "after the header": header_bytes,
    "in the tensors": lambda path: header_bytes(path) + 7,
    "the last byte": lambda path: path.stat().st_size - 1,
    "one byte too many": lambda path: path.stat().st_size + 1,
}


@pytest.mark.parametrize("place", CUTS)
def test_where_the_newest_is_cut_short_the_one_before_is_used(tmp_path: Path, place: str) -> None:
    write(tmp_path, checkpoint_of(1))
    path = write(tmp_path, checkpoint_of(2))
    os.truncate(path, CUTS[place](path))
    found = newest(tmp_path)
    assert found is not None
    assert found.checkpoint.step == 1
    assert found.notes[0].startswith("step-000002.safetensors is passed over: it is ")


def test_where_any_byte_of_the_newest_is_altered_the_one_before_is_used(tmp_path: Path) -> None:
    write(tmp_path, checkpoint_of(1))
    path = write(tmp_path, checkpoint_of(2))
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert found_step(tmp_path) == 1
    path.write_bytes(content)
    assert found_step(tmp_path) == 2


def test_where_none_can_be_read_it_is_not_taken_for_a_fresh_start(tmp_path: Path) -> None:
    write(tmp_path, checkpoint_of(1)).write_bytes(b"")
    with pytest.raises(BadInput, match=r"no checkpoint can be read .*it is empty.*to begin anew"):
        newest(tmp_path)


def test_a_folder_in_the_place_of_a_checkpoint_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path, checkpoint_of(1))
    (tmp_path / "step-000002.safetensors").mkdir()
    assert found_step(tmp_path) == 1


def test_after_a_spoilt_checkpoint_the_next_ones_count_again(tmp_path: Path) -> None:
    write(tmp_path, checkpoint_of(1))
    write(tmp_path, checkpoint_of(9)).write_bytes(b"spoilt")
    assert found_step(tmp_path) == 1
    write(tmp_path, checkpoint_of(5))
    assert files(tmp_path) == ["step-000001.safetensors", "step-000005.safetensors"]


def test_what_a_killed_writer_left_is_not_read_and_goes_away(tmp_path: Path) -> None:
    (tmp_path / ".step-000004.safetensors.77.part").write_bytes(b"half")
    assert newest(tmp_path) is None
    write(tmp_path, checkpoint_of(1))
    assert files(tmp_path) == ["step-000001.safetensors"]


def hostile(table: object, tensors: bytes = b"") -> bytes:
    """A file with a right hash, and whatever header."""
    text = json.dumps(table).encode()
    content = len(text).to_bytes(8, "little") + text + tensors
    return content.replace(UNHASHED.encode(), hashlib.sha256(content).hexdigest().encode())


META = {"sha256": UNHASHED, "format": "deepwide-checkpoint", "version": "1"}
WHERE = {"where": json.dumps({"step": 1, "tokens": 1, "seconds": 0, "recipe_sha256": ""})}


@pytest.mark.parametrize(
    "content",
    [
        (2**63).to_bytes(8, "little") + b"{}",
        pickle.dumps({"step": 1}),
        hostile([]),
        hostile({}),
        hostile({"__metadata__": []}),
        hostile({"__metadata__": {"sha256": "0"}}),
        hostile({"__metadata__": META}),
        hostile({"__metadata__": {**META, "where": "[" * 100_000}}),
        hostile(
            {
                "__metadata__": {
                    **META,
                    "where": json.dumps({"step": -1, "tokens": 0, "seconds": 0, "recipe_sha256": ""}),
                }
            }
        ),
        hostile({"__metadata__": {**META, **WHERE, "version": "2"}}),
        hostile({"__metadata__": {**META, **WHERE}, "a": 1}),
        hostile({"__metadata__": {**META, **WHERE}, "a": {"data_offsets": []}}),
        hostile(
            {"__metadata__": {**META, **WHERE}, "a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 4]}},
            b"1234",
        ),
        hostile({"__metadata__": {**META, **WHERE}, "a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, -4]}}),
    ],
)
def test_a_hostile_file_is_unreadable_and_nothing_else(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "step-000001.safetensors"
    path.write_bytes(content)
    with pytest.raises(Unreadable):
        read(path)


def test_a_full_disk_is_told_in_one_line_and_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, checkpoint_of(1))

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BadInput, match=r"step-000002\.safetensors cannot be written: No space left") as refused:
        write(tmp_path, checkpoint_of(2))
    assert "\n" not in str(refused.value)
    assert files(tmp_path) == ["step-000001.safetensors"]
    assert found_step(tmp_path) == 1


def test_a_file_that_may_not_grow_is_told_and_costs_nothing(tmp_path: Path) -> None:
    write(tmp_path, checkpoint_of(1))
    large = replace(checkpoint_of(2), weights={"a": torch.zeros(100_000)})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(BadInput, match="cannot be written: File too large"):
            write(tmp_path, large)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files(tmp_path) == ["step-000001.safetensors"]


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BadInput, match="cannot be written"):
        write(tmp_path / "file", checkpoint_of(1))


def test_a_folder_that_may_only_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(BadInput, match="Read-only file system; make room or choose another place"):
        write(tmp_path, checkpoint_of(1))
