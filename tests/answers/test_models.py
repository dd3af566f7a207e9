"""From what a user types to a model: changes, and what is said of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deepwide.answers.models import find_model
from deepwide.architecture.experts import Experts
from deepwide.architecture.sizes import bodies


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


def expert_widths(text: str) -> set[int]:
    """The inner widths of a model's experts."""
    return {int(body.ffn) for body in bodies(find_model(text).described()) if isinstance(body, Experts)}


def test_the_width_of_a_network_made_of_experts_alone_is_that_of_its_experts() -> None:
    assert {512} == expert_widths("qwen3-30b-a3b,ffn=512") == expert_widths("qwen3-30b-a3b,expert_ffn=512")
    assert {1024} == expert_widths("deepseek-v4-flash,ffn=1024")
    assert {7168} == expert_widths("mixtral-8x7b,ffn=7168")
    assert {2048} == expert_widths("deepseek-v3,ffn=9216")


@pytest.mark.parametrize(("text", "width"), [("qwen3-30b-a3b,hidden=1024", 384), ("deepseek-v3,hidden=3584", 1024)])
def test_experts_follow_the_width_and_that_is_said(text: str, width: int) -> None:
    assert {width} == expert_widths(text)
    assert [n for n in find_model(text).notes if n.startswith(f"expert_ffn={width} follows the width")]


def test_no_width_is_said_to_follow_that_does_not() -> None:
    assert not [note for note in find_model("qwen3-30b-a3b,hidden=1024").notes if note.startswith("ffn=")]
    assert {768} == expert_widths("qwen3-30b-a3b,hidden=1024,ffn=768")
