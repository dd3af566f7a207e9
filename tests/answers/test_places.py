"""MODEL as the name of something on disk: whatever its characters, it is found or refused in one line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from deepwide.answers.models import find_model
from deepwide.errors import BadInput

CONFIG = {"model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "vocab_size": 300}
CONFIG |= {"num_attention_heads": 4}
TOTAL = 2 * 300 * 64 + 64 + 2 * (4 * 64 * 64 + 3 * 64 * 96 + 2 * 64)
LAYER = 4 * 64 * 64 + 3 * 64 * 96 + 2 * 64


def refusal(text: str) -> str:
    with pytest.raises(BadInput) as caught:
        find_model(text)
    message = str(caught.value)
    assert message.isprintable()
    return message


def config_at(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(CONFIG))
    return path


@pytest.mark.parametrize("name", ["config.json", "a,b.json", "a=b.json", "sp ace/c,d=e/x.json", "é.json", "no-ending"])
def test_a_file_is_found_whatever_its_name(name: str, tmp_path: Path) -> None:
    path = config_at(tmp_path / name)
    assert TOTAL == find_model(str(path)).ledger.parameters()
    assert TOTAL + LAYER == find_model(f"{path},layers=3").ledger.parameters()


def test_a_folder_stands_for_its_config(tmp_path: Path) -> None:
    config_at(tmp_path / "a,b" / "config.json")
    assert TOTAL == find_model(str(tmp_path / "a,b")).ledger.parameters()
    assert TOTAL + LAYER == find_model(f"{tmp_path / 'a,b'},layers=3").ledger.parameters()


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG), "utf-8-sig")
    assert TOTAL == find_model(str(tmp_path)).ledger.parameters()


def test_what_follows_a_file_must_be_changes(tmp_path: Path) -> None:
    path = config_at(tmp_path / "config.json")
    assert refusal(f"{path},nonsense").startswith("'nonsense' is not a change")


def test_a_folder_called_like_a_model_counts_only_with_a_model_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "llama-2-7b").mkdir()
    assert 6_738_415_616 == find_model("llama-2-7b").ledger.parameters()
    assert "llama-2-7b is a folder with no config.json" in refusal("./llama-2-7b")
    config_at(tmp_path / "llama-2-7b" / "config.json")
    assert TOTAL == find_model("llama-2-7b").ledger.parameters()


def test_a_folder_with_several_files_of_weights_asks_for_one(tmp_path: Path) -> None:
    for name in ("a.gguf", "b-00001-of-00002.gguf", "b-00002-of-00002.gguf"):
        (tmp_path / name).touch()
    assert refusal(str(tmp_path)).endswith(
        "is a folder with 2 files of weights (a.gguf, b-00001-of-00002.gguf); give one of them"
    )


@pytest.mark.parametrize("name", ["nowhere.json", "nowhere.gguf", "a,b=c/nowhere.safetensors", "nowhere/at/all"])
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    assert f"no file called {tmp_path / name}" == refusal(str(tmp_path / name))


def test_a_name_of_bytes_that_are_no_text_is_printed_all_the_same(tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\n.json")
    assert "\\udcff\\n.json" in refusal(path)


@pytest.mark.parametrize(
    "text", ["x" * 5000, "x" * 300 + ".json", "~nobody-of-that-name/x.json", "a\0b.json", "a," * 1500]
)
def test_names_that_no_system_takes_are_refused(text: str) -> None:
    assert refusal(text)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\xff\xfe{}", "is not JSON"),
        (b"[" * 100_000, "is not JSON: nested too deep"),
        (b"[]", "expected a table of fields, not a list"),
        (b" " * (8 * 2**20 + 1), "is longer than 8388608 bytes"),
        (b"{}", "model_type is missing"),
    ],
)
def test_a_file_that_is_no_config_is_refused(content: bytes, named: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(content)
    assert named in refusal(str(tmp_path / "config.json"))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_a_closed_file_and_a_closed_folder_are_refused(tmp_path: Path) -> None:
    path = config_at(tmp_path / "closed" / "config.json")
    path.chmod(0)
    assert "cannot be read: Permission denied" in refusal(str(path))
    path.parent.chmod(0)
    try:
        assert "cannot be read: Permission denied" in refusal(str(path))
    finally:
        path.parent.chmod(0o700)
