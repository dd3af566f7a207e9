"""Hybrids and recurrent models: published counts to the last parameter, states of fixed size, traps."""

from __future__ import annotations

from typing import Any

import pytest

from deepwide.architecture.flops import Pass, backward_flops, forward_flops
from deepwide.architecture.ledger import Ledger, lower
from deepwide.errors import BadInput
from deepwide.formats.huggingface import read_config

MAMBA_130M = {"model_type": "mamba", "hidden_size": 768, "num_hidden_layers": 24, "vocab_size": 50280}
FALCON_MAMBA_7B = {
    "model_type": "falcon_mamba",
    "hidden_size": 4096,
    "intermediate_size": 8192,
    "expand": 16,
    "num_hidden_layers": 64,
    "vocab_size": 65024,
    "tie_word_embeddings": False,
}
NEMOTRON_H_56B = {
    "model_type": "nemotron_h",
    "hidden_size": 8192,
    "hybrid_override_pattern": "M-M-M-M*-" + "M-M-M-M-M*-" * 9 + "M-" * 5,
    "intermediate_size": 32768,
    "mamba_num_heads": 256,
    "num_attention_heads": 64,
    "ssm_state_size": 256,
}
LFM2_1B = {
    "model_type": "lfm2",
    "block_ff_dim": 12288,
    "full_attn_idxs": [2, 5, 8, 10, 12, 14],
    "hidden_size": 2048,
    "num_hidden_layers": 16,
}
QWEN_VISION = {"depth": 27, "hidden_size": 1152, "intermediate_size": 4304, "num_heads": 16, "out_hidden_size": 2048}
QWEN_3_5_MOE = {"model_type": "qwen3_5_moe", "text_config": {"num_hidden_layers": 40}, "vision_config": QWEN_VISION}
# The parameters of the checkpoints on the Hugging Face hub; where only the type is given, its defaults are the model's.
PUBLISHED = [
    (MAMBA_130M, 129_135_360),  # state-spaces/mamba-130m-hf
    (FALCON_MAMBA_7B, 7_272_665_088),  # tiiuae/falcon-mamba-7b
    (NEMOTRON_H_56B, 56_324_350_464),  # nvidia/Nemotron-H-56B-Base-8K
    (LFM2_1B, 1_170_340_608),  # LiquidAI/LFM2-1.2B
    ({"model_type": "jamba"}, 51_570_323_328),  # ai21labs/Jamba-v0.1
    ({"model_type": "zamba"}, 7_232_490_496),  # Zyphra/Zamba-7B-v1
    ({"model_type": "qwen3_next"}, 79_674_391_296),  # Qwen/Qwen3-Next-80B-A3B-Instruct
    ({"model_type": "kimi_linear"}, 49_133_074_464),  # moonshotai/Kimi-Linear-48B-A3B-Instruct
    (QWEN_3_5_MOE, 35_107_181_936),  # Qwen/Qwen3.5-35B-A3B
]


def ledger(config: dict[str, Any], **more: Any) -> Ledger:
    return lower(read_config({**config, **more}))


def state(model: Ledger) -> Any:
    return sum(cache.elements * cache.repeat for cache in model.caches if cache.fixed)


def grown_per_token(model: Ledger) -> Any:
    return sum(cache.elements * cache.repeat for cache in model.caches if not cache.fixed)


@pytest.mark.parametrize(("config", "parameters"), PUBLISHED, ids=[str(c["model_type"]) for c, _ in PUBLISHED])
def test_published_counts_are_reproduced(config: dict[str, Any], parameters: int) -> None:
    assert parameters == ledger(config).parameters()


def test_three_of_eighty_billion_are_active_in_qwen3_next() -> None:
    assert 3_874_929_408 == ledger({"model_type": "qwen3_next"}).active_parameters()


def test_the_language_model_alone_can_be_asked_for() -> None:
    assert 34_660_610_688 == lower(read_config(QWEN_3_5_MOE, task="causal")).parameters()


def test_a_width_in_the_config_wins_over_the_expansion() -> None:
    narrow = ledger(FALCON_MAMBA_7B, intermediate_size=4096)
    assert narrow.parameters() < ledger(FALCON_MAMBA_7B).parameters()


def test_hybrid_layers_of_zamba_run_one_block_many_times() -> None:
    model = ledger({"model_type": "zamba"})
    stored = {w.name: w.repeat for w in model.weights}
    run = {op.weight: op.repeat for op in model.ops}
    query = "decoder.hybrid.attention.query"
    assert (1, 13) == (stored[query], run[query])


def test_blocks_of_zamba2_are_as_many_as_the_config_says() -> None:
    one, two = (ledger({"model_type": "zamba2"}, num_mem_blocks=n) for n in (1, 2))
    block = 3 * 5120**2 + 5120 * 2560 + 3 * 2560 * 10240 + 5120 + 2560
    assert block == two.parameters() - one.parameters()


def test_older_names_of_layer_kinds_are_understood() -> None:
    kinds = {"granite": ["mamba", "attention"] * 16, "now": ["linear_attention", "full_attention"] * 16}
    older, now = (ledger({"model_type": "granitemoehybrid"}, layer_types=kinds[k]).parameters() for k in kinds)
    assert older == now


def test_a_state_does_not_grow_with_the_context() -> None:
    model = ledger(MAMBA_130M)
    assert (24 * 1536 * (16 + 4), 0) == (state(model), grown_per_token(model))


def test_only_attention_layers_of_a_hybrid_grow_with_the_context() -> None:
    assert 12 * 2 * 2 * 256 == grown_per_token(ledger({"model_type": "qwen3_next"}))


def test_recurrent_gemma_sees_through_a_window() -> None:
    windows = {cache.window for cache in ledger({"model_type": "recurrent_gemma"}).caches if not cache.fixed}
    assert {2048} == windows


def test_the_counter_sees_the_padding_of_convolutions_and_their_full_backward() -> None:
    work, model = Pass(tokens=256), ledger(MAMBA_130M)
    forward, backward = (f(model, work, "counter") for f in (forward_flops, backward_flops))
    assert (66_051_735_552, 315_401_895_936) == (forward, forward + backward)  # torch.utils.flop_counter, torch 2.13


def test_a_scan_of_one_token_needs_no_chunk() -> None:
    model = ledger({"model_type": "mamba2"})
    scans = [op for op in model.ops if op.kind == "scan"]
    matrices = sum(op.k * op.n * op.repeat for op in model.ops if op.kind in ("matmul", "conv"))
    recurrent = sum(op.k * op.n * op.repeat for op in scans)
    assert 2 * (matrices + recurrent) == forward_flops(model, Pass(tokens=1, past=4096))


def test_twice_the_tokens_of_a_recurrent_model_are_twice_the_work() -> None:
    model = ledger({"model_type": "xlstm"})
    once, twice = (forward_flops(model, Pass(tokens=n)) for n in (512, 1024))
    assert 2 * once == twice


def test_changed_layers_continue_the_pattern_of_a_hybrid() -> None:
    longer = read_config(LFM2_1B, changes={"layers": 20})
    nemotron = read_config(NEMOTRON_H_56B, changes={"layers": 120})
    assert (20, 120) == (longer.main.layers, nemotron.main.layers)


REFUSED = [
    ({"model_type": "mamba2", "num_heads": 100}, "num_heads=100 must divide the channels of the state space"),
    (
        {"model_type": "jamba", "attn_layer_offset": 9},
        "attn_layer_offset=9 must be below the family's default attn_layer_period=8",
    ),
    ({"model_type": "nemotron_h", "hybrid_override_pattern": "MX"}, "layers_block_type has 'X'"),
    (
        {"model_type": "qwen3_next", "linear_num_value_heads": 24},
        "must be a multiple of the family's default linear_num_key_heads=16",
    ),
    ({"model_type": "xlstm", "embedding_dim": 2048}, "embedding_dim=2048 must be hidden_size=4096"),
    ({"model_type": "recurrent_gemma", "block_types": []}, "block_types must list at least one type"),
    ({"model_type": "lfm2", "layer_types": ["conv", "mamba"] * 16}, "layer_types has 'mamba'"),
]


@pytest.mark.parametrize(("config", "message"), REFUSED, ids=[str(c["model_type"]) for c, _ in REFUSED])
def test_what_cannot_be_a_model_is_refused_in_a_line(config: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput) as refused:
        ledger(config)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
