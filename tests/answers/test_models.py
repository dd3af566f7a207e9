"""From what a user types to a model: changes, and what is said of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deepwide.answers.models import find_model


def test_a_change_that_changes_nothing_is_said() -> None:
    assert "window=10 changes nothing in this model" in find_model("llama-3-8b,window=10").notes


@pytest.mark.parametrize("text", ["mistral-7b,window=10", "mixtral-8x7b,active_experts=3", "llama-3-8b,layers=3"])
def test_nothing_is_said_of_a_change_that_counts(text: str) -> None:
    assert not [note for note in find_model(text).notes if "changes nothing" in note]


def test_a_file_without_a_family_can_be_read_as_one_and_changed(tmp_path: Path) -> None:
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 2, "vocab_size": 100}
    (tmp_path / "config.json").write_text(json.dumps({**sizes, "num_hidden_layers": 2}))
    named = tmp_path / "named"
    named.mkdir()
    (named / "config.json").write_text(json.dumps({**sizes, "num_hidden_layers": 3, "model_type": "bert"}))
    changed = find_model(f"{tmp_path},layers=3", like="bert")
    assert find_model(str(named)).ledger.parameters() == changed.ledger.parameters()
