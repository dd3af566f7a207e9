"""Reading configs: what is given, what is left out, what cannot be."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepwide.architecture.ledger import lower
from deepwide.errors import BadInput
from deepwide.formats.huggingface import read_config

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 1000,
    "hidden_size": 256,
    "intermediate_size": 768,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
}


def total(config: dict[str, Any], **how: Any) -> int:
    return lower(read_config(config, **how)).parameters()


def test_null_kv_heads_are_as_many_as_heads() -> None:
    assert total({**LLAMA, "num_key_value_heads": 4}) == total({**LLAMA, "num_key_value_heads": None})


def test_a_missing_field_is_answered_by_the_family() -> None:
    assert total({**LLAMA, "tie_word_embeddings": False}) == total(LLAMA)


def test_the_default_of_the_family_decides_whether_the_head_is_tied() -> None:
    untied = {**LLAMA, "model_type": "gemma", "num_key_value_heads": 4, "head_dim": 64, "tie_word_embeddings": False}
    assert 1000 * 256 == total(untied) - total({k: v for k, v in untied.items() if k != "tie_word_embeddings"})


def test_an_unknown_family_can_be_read_like_a_known_one() -> None:
    unknown = {**LLAMA, "model_type": "llamax"}
    with pytest.raises(BadInput, match="did you mean llama") as error:
        read_config(unknown)
    assert "--like" in str(error.value)
    assert total(LLAMA) == total(unknown, like="llama")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        (
            "num_attention_heads",
            30,
            "num_attention_heads=30 does not divide hidden_size=256, and head_dim is not given",
        ),
        ("num_key_value_heads", 3, "must be a multiple of num_key_value_heads=3"),
        ("num_hidden_layers", -1, "num_hidden_layers=-1 must lie between"),
        ("num_hidden_layers", 10**7, "must lie between"),
        ("hidden_size", "wide", "hidden_size='wide' must be a whole number"),
        ("hidden_size", 1.5, "must be a whole number"),
        ("vocab_size", [1], "must be a whole number"),
        ("num_attention_heads", 0, "must be at least 1"),
        ("model_type", 7, "model_type is missing"),
        ("model_type", "", "model_type is missing"),
    ],
)
def test_a_field_that_cannot_be_is_named_with_its_value(field: str, value: Any, said: str) -> None:
    with pytest.raises(BadInput) as error:
        read_config({**LLAMA, field: value})
    assert said in str(error.value)


def test_a_value_that_is_in_no_file_is_said_to_be_the_familys_default() -> None:
    with pytest.raises(
        BadInput, match="num_attention_heads=12 must be a multiple of the family's default num_key_value_heads=8"
    ):
        read_config({"model_type": "mistral", "num_attention_heads": 12, "hidden_size": 1536})


def test_a_value_that_the_user_changed_is_told_under_the_name_they_gave() -> None:
    with pytest.raises(BadInput, match="num_attention_heads=4 must be a multiple of kv_heads=3"):
        read_config(LLAMA, changes={"kv_heads": 3})


BY_LAYER = {"per_layer_config": {"0": {"num_key_value_heads": 1}}}


@pytest.mark.parametrize(
    "config",
    [{**LLAMA, **BY_LAYER}, {"model_type": "llava", "text_config": {**LLAMA, **BY_LAYER}}],
    ids=["model", "text inside"],
)
def test_fields_given_layer_by_layer_are_refused_where_the_family_does_not_read_them(config: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="per_layer_config changes fields layer by layer") as refused:
        read_config(config)
    assert "\n" not in str(refused.value)


def test_an_empty_table_of_fields_layer_by_layer_changes_nothing() -> None:
    assert read_config(LLAMA) == read_config({**LLAMA, "per_layer_config": {}})


FAMILIES = ["llama", "gpt2", "bert", "t5", "mixtral", "deepseek_v3", "mamba", "gemma2", "bart", "gpt_neox", "jamba"]
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(
    "hidden_size n_embd d_model num_hidden_layers n_layer num_layers num_attention_heads n_head num_heads vocab_size "
    "num_key_value_heads head_dim intermediate_size n_inner d_ff layer_types tie_word_embeddings architectures "
    "sliding_window num_local_experts num_experts_per_tok first_k_dense_replace q_lora_rank text_config "
    "max_position_embeddings state_size rope_scaling".split()
)


@given(st.sampled_from(FAMILIES), st.dictionaries(FIELDS, JUNK | st.integers(-3, 300), max_size=6))
def test_any_config_is_counted_or_refused_in_one_line(family: str, fields: dict[str, Any]) -> None:
    said = ""
    try:
        assert total({"model_type": family, **fields}) >= 0
    except BadInput as error:
        said = str(error)
    assert "\n" not in said


def test_a_missing_model_type_is_told_by_the_name_of_the_class() -> None:
    old = {"architectures": ["BertForMaskedLM"], "vocab_size": 30522, "hidden_size": 768, "num_hidden_layers": 12}
    read = read_config(old)
    assert 109_514_298 == lower(read).parameters()
    assert "model_type is missing; read as bert" in read.notes


def test_a_word_is_no_yes_or_no() -> None:
    with pytest.raises(BadInput, match="tie_word_embeddings='false' must be true or false"):
        read_config({**LLAMA, "tie_word_embeddings": "false"})


# The authors' own config.json of state-spaces/mamba-2.8b; its checkpoint has 2,768,345,600 parameters.
MAMBA = {"d_model": 2560, "n_layer": 64, "vocab_size": 50277, "ssm_cfg": {}, "pad_vocab_size_multiple": 8}


def test_mamba_as_its_authors_write_it_is_read_without_a_model_type() -> None:
    assert 2_768_345_600 == total(MAMBA)


def test_mamba_2_as_its_authors_write_it_equals_the_same_model_in_transformers() -> None:
    theirs = {**MAMBA, "ssm_cfg": {"layer": "Mamba2"}, "pad_vocab_size_multiple": 16, "attn_layer_idx": []}
    ours = {
        "model_type": "mamba2",
        "hidden_size": 2560,
        "num_hidden_layers": 64,
        "vocab_size": 50288,
        "state_size": 128,
        "num_heads": 80,
        "head_dim": 64,
        "n_groups": 1,
        "expand": 2,
        "tie_word_embeddings": True,
    }
    assert total(ours) == total(theirs)


def test_a_known_shape_under_another_name_takes_the_defaults_of_its_kin() -> None:
    assert total({**LLAMA, "model_type": "Yi"}) == total(LLAMA)
