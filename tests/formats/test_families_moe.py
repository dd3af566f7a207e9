"""Counts of mixtures of experts and of latent attention: published totals, and the traps of their families."""

from __future__ import annotations

from typing import Any

import pytest

from deepwide.architecture.ledger import Ledger, lower
from deepwide.errors import BadInput
from deepwide.formats.huggingface import read_config
from deepwide.formats.readers.ngram_tables import primes_from

SMALL = {
    "vocab_size": 100,
    "hidden_size": 32,
    "intermediate_size": 48,
    "moe_intermediate_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_experts_per_tok": 2,
}
LATENT = {
    **SMALL,
    "n_routed_experts": 4,
    "q_lora_rank": 24,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 12,
    "qk_rope_head_dim": 8,
    "v_head_dim": 10,
    "index_n_heads": 3,
    "index_head_dim": 6,
}


def ledger(config: dict[str, Any], **more: Any) -> Ledger:
    return lower(read_config({**config, **more}))


def named(book: Ledger, ending: str) -> list[Any]:
    return [w for w in book.weights if w.name.endswith(ending)]


def test_mixtral_has_the_parameters_of_its_checkpoint() -> None:
    # huggingface.co/mistralai/Mixtral-8x7B-v0.1: 46,702,792,704 in its safetensors; arXiv:2401.04088 says 13B active
    mixtral = ledger({"model_type": "mixtral", "max_position_embeddings": 32768})
    assert (46_702_792_704, 12_879_925_248) == (mixtral.parameters(), mixtral.active_parameters())


def test_deepseek_v3_leaves_out_the_buffers_that_correct_its_router() -> None:
    # The checkpoint's 671,026,419,200 has 58 * 256 numbers of e_score_correction_bias, which are not parameters.
    v3 = ledger({"model_type": "deepseek_v3"})
    assert (671_026_419_200 - 58 * 256, 37_552_282_624) == (v3.parameters(), v3.active_parameters())


def test_gpt_oss_counts_the_biases_of_its_experts_as_active_like_the_experts() -> None:
    # arXiv:2508.10925, table 1: 116.83B parameters, 5.13B active with the head and without the embedding
    oss = ledger({"model_type": "gpt_oss"})
    embedding = 201_088 * 2880
    assert (116_829_156_672, 5_132_849_472) == (oss.parameters(), oss.active_parameters() - embedding)


def test_longcat_meets_27_billion_parameters_on_average() -> None:
    # arXiv:2509.01322: 18.6B to 31.3B a token, 27B on average; a third of the router's choices are no experts
    longcat = ledger({"model_type": "longcat_flash"})
    assert 27 == round((longcat.active_parameters() - 131_072 * 6144) / 1e9)


def test_a_null_query_rank_means_a_plain_query_and_a_missing_one_the_class_default() -> None:
    lite = {"model_type": "deepseek_v2", **LATENT}
    missing = {name: value for name, value in lite.items() if name != "q_lora_rank"}
    assert [(32, 80)] == [w.shape for w in named(ledger(lite, q_lora_rank=None), "attention.query")]
    assert [(1536, 80)] == [w.shape for w in named(ledger(missing), "attention.query")]


def test_qwen_puts_experts_where_its_step_says_and_its_list_does_not_forbid() -> None:
    qwen = ledger({"model_type": "qwen3_moe", **SMALL}, num_experts=4, decoder_sparse_step=2, mlp_only_layers=[3])
    assert [1] == [w.repeat for w in named(qwen, "router")]


def test_llama_4_lists_its_layers_with_experts_or_counts_them() -> None:
    llama = {"model_type": "llama4_text", **SMALL, "head_dim": 8, "num_local_experts": 4}
    assert 1 == sum(w.repeat for w in named(ledger(llama, moe_layers=[2]), "router"))
    assert 2 == sum(w.repeat for w in named(ledger(llama, interleave_moe_layer_step=2), "router"))


def test_laguna_layers_with_as_many_heads_share_a_run() -> None:
    laguna = {"model_type": "laguna", **SMALL, "num_experts": 4, "head_dim": 8, "num_experts_per_tok": 2}
    queries = named(ledger(laguna, num_attention_heads_per_layer=[4, 8, 4, 8]), "attention.query")
    assert {(32, 32): 2, (32, 64): 2} == {
        shape: sum(w.repeat for w in queries if w.shape == shape) for shape in {w.shape for w in queries}
    }


def test_layers_that_share_a_choice_of_tokens_have_no_indexer_but_read_as_few() -> None:
    glm = ledger({"model_type": "glm_moe_dsa", **LATENT}, index_topk_pattern="FSSS", index_topk=64)
    assert [1] == [w.repeat for w in named(glm, "indexer_key")]
    assert {64} == {op.how.window for op in glm.ops if op.name.endswith(".scores")}


def test_deepseek_v4_reads_its_kinds_of_layers_from_compression_ratios() -> None:
    v4 = {"model_type": "deepseek_v4", **LATENT, "head_dim": 16, "o_groups": 2, "o_lora_rank": 8}
    four = ledger(v4, compress_ratios=[0, 4, 128, 4, 0])  # the last is a layer for predicting ahead, not counted
    assert [(4, 32), (128, 16)] == [w.shape for w in named(four, "sum_position")]
    assert [2] == [w.repeat for w in named(four, "indexer_query")]


def test_a_window_of_keys_and_a_sum_for_every_block_is_all_that_deepseek_v4_caches() -> None:
    v4 = {"model_type": "deepseek_v4", **LATENT, "head_dim": 16, "o_groups": 2, "o_lora_rank": 8, "sliding_window": 8}
    caches = ledger(v4, layer_types=["heavily_compressed_attention"] * 4).caches
    assert [(16, 8), (1, None)] == [(cache.elements, cache.window) for cache in caches]


def test_a_token_meets_only_some_of_jetmoe_heads() -> None:
    jetmoe = {"model_type": "jetmoe", **SMALL, "kv_channels": 8, "num_local_experts": 4}
    assert [(4, 2)] == [(w.copies, w.active) for w in named(ledger(jetmoe), "attention.query")]


def test_numbers_that_balance_experts_count_where_they_are_stored_as_parameters() -> None:
    ernie = ledger({"model_type": "ernie4_5_moe", **SMALL}, moe_num_experts=4, moe_k=2)
    assert [(4,)] == [w.shape for w in named(ernie, "router.balance")]


def test_primes_are_those_of_trial_division() -> None:
    by_division = tuple(n for n in range(2, 2000) if all(n % d for d in range(2, n)))
    assert by_division == primes_from(0, len(by_division))
    assert (1_000_000_007,) == primes_from(10**9, 1)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (
            {"model_type": "mixtral", "num_experts_per_tok": 9},
            "num_experts_per_tok=9 exceeds the family's default num_local_experts=8",
        ),
        ({"model_type": "qwen3_moe", "decoder_sparse_step": 0}, "decoder_sparse_step=0 must be at least 1"),
        (
            {"model_type": "glm4_moe_lite", "num_hidden_layers": 47, "mlp_layer_types": ["dense"]},
            "mlp_layer_types has 1 entries for 47 layers",
        ),
        ({"model_type": "exaone_moe", "mlp_layer_types": ["thick"] * 32}, "'thick'; expected sparse or dense"),
        ({"model_type": "deepseek_v4", "compress_ratios": [3] * 43}, "compress_ratios has 3; expected 0, 4 or 128"),
        ({"model_type": "deepseek_v4", "o_groups": 3}, "o_groups=3 must divide"),
        ({"model_type": "deepseek_v32", "q_lora_rank": None}, "q_lora_rank is missing"),
        ({"model_type": "lfm2_moe"}, "layer_types is missing"),
        ({"model_type": "dots1"}, "num_local_experts is missing"),
        ({"model_type": "laguna", "num_attention_heads_per_layer": [48]}, "has 1 entries for 40 layers"),
        ({"model_type": "dots3_note_text", "per_layer_config": {"x": {}}}, "per_layer_config must give a table"),
        ({"model_type": "zaya", "num_key_value_heads": 3}, "must be a multiple of num_key_value_heads=3"),
    ],
)
def test_a_config_that_cannot_be_a_model_is_refused_in_one_line(config: dict[str, Any], told: str) -> None:
    with pytest.raises(BadInput) as refusal:
        lower(read_config(config))
    assert told in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_the_first_deepseek_moe_has_its_published_parameters() -> None:
    # deepseek-ai/deepseek-moe-16b-base: 16,375,728,128 in its safetensors metadata, 2.8B active as its paper says.
    config = {
        "model_type": "deepseek",
        "vocab_size": 102400,
        "hidden_size": 2048,
        "intermediate_size": 10944,
        "moe_intermediate_size": 1408,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 16,
        "n_routed_experts": 64,
        "n_shared_experts": 2,
        "num_experts_per_tok": 6,
        "first_k_dense_replace": 1,
        "moe_layer_freq": 1,
        "attention_bias": False,
        "tie_word_embeddings": False,
    }
    ledger = lower(read_config(config))
    assert 16_375_728_128 == ledger.parameters()
    assert 2_828_650_496 == ledger.active_parameters()
