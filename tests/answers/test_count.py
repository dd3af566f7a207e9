"""The question `count`: keys others rely on, groupings, formulae."""

from __future__ import annotations

import json

import pytest

from deepwide.answers.count import PARTS, count
from deepwide.errors import BadInput


def test_the_fixed_keys_are_there() -> None:
    answer = count("llama-3-8b").to_dict()
    assert {"total", "active", *PARTS} == set(answer["parameters"])
    assert {"forward", "backward"} <= set(answer["flops_per_token"])
    assert answer["rows"]


def test_parts_add_up_to_the_total() -> None:
    for name in ("gpt2", "mixtral-8x7b", "deepseek-v3", "t5-base", "mamba-130m"):
        answer = count(name)
        assert answer.total == sum(answer.parts.values())


@pytest.mark.parametrize("by", ["part", "role", "module"])
def test_every_grouping_adds_up_to_the_total(by: str) -> None:
    answer = count("llama-3-8b", by=by)
    assert answer.total == sum(answer.groups.values())


def test_by_layer_gives_one_layer() -> None:
    assert 218_112_000 == count("llama-3-8b", by="layer").groups["decoder layer (one of 32)"]


def test_everything_is_json_and_whole() -> None:
    answer = json.loads(json.dumps(count("deepseek-v3", explain=True).to_dict()))
    assert 671_026_404_352 == answer["parameters"]["total"]
    assert all(isinstance(row["parameters"], int) for row in answer["rows"])


def test_explained_rows_carry_formulae_and_growth() -> None:
    rows = {row.name: row for row in count("llama-3-8b", explain=True).rows}
    gate = rows["decoder.ffn.gate"]
    assert ("hidden · ffn · layers", "4,096 · 14,336 · 32", "hidden² · layers") == (
        gate.formula,
        gate.numbers,
        gate.grows,
    )
    assert "hidden" == rows["embedding.tokens"].grows


def test_q_k_and_v_of_all_heads_are_three_hidden_squared() -> None:
    roles = count("llama-2-7b", by="role").groups
    assert 32 * 3 * 4096**2 == roles["query"] + roles["key"] + roles["value"]


def test_an_ffn_of_four_hidden_has_eight_hidden_squared() -> None:
    roles = count("gpt2", by="role").groups
    assert 12 * 8 * 768**2 == roles["up"] + roles["down"]


def test_a_small_encoder_without_positions_or_biases_has_123_4_million() -> None:
    # V = 50,000, 12 layers of 768, d_ff = 3,072: 38.4M of embedding and 12 x (4 d^2 + 2 d d_ff) of matrices.
    answer = count("like=llama,layers=12,hidden=768,heads=12,ffn=3072,vocab=50000,tied,plain")
    matrices = answer.parts["attention"] + answer.parts["ffn"]
    assert 50_000 * 768 + 12 * (4 * 768**2 + 2 * 768 * 3072) == answer.parts["embedding"] + matrices
    assert 123.3e6 == pytest.approx(answer.total, rel=0.001)


def test_a_token_costs_two_operations_per_matrix_entry_and_four_more_with_backward() -> None:
    answer = count("llama-2-7b")
    matrices = answer.total - answer.parts["embedding"] - answer.parts["norm"]
    assert (2 * matrices, 4 * matrices) == (answer.forward_flops, answer.backward_flops)


def test_an_unknown_grouping_is_refused() -> None:
    with pytest.raises(BadInput, match="choose one of"):
        count("gpt2", by="colour")
