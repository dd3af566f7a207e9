"""Bytes of cache, states and adapters: published values and properties."""

from __future__ import annotations

from fractions import Fraction

import pytest

from deepwide.answers.models import find_model
from deepwide.architecture.adapters import lora_parameters
from deepwide.cost.memory import OPTIMIZERS, kv_cache_bytes, optimizer_bytes, shards
from deepwide.errors import BadInput

SIXTEEN = Fraction(16)


def cache(name: str, context: int = 4096, batch: int = 1, bits: Fraction = SIXTEEN, tp: int = 1) -> int:
    return kv_cache_bytes(find_model(name).ledger, context=context, batch=batch, bits=bits, tp=tp)


def test_llama_2_7b_caches_half_a_mebibyte_per_token() -> None:
    assert 2 * 32 * 4096 * 2 * 4096 == cache("llama-2-7b")


def test_grouped_queries_cache_a_quarter() -> None:
    assert cache("llama-2-7b") == 4 * cache("llama-3-8b")


def test_latent_attention_caches_its_latent_alone() -> None:
    assert 61 * (512 + 64) * 2 * 4096 == cache("deepseek-v3")


def test_a_window_bounds_the_cache() -> None:
    assert cache("mistral-7b", 4096) == cache("mistral-7b", 32_768)


def test_interleaved_windows_grow_with_the_full_layers_alone() -> None:
    full_layers, per_token = 21, 2 * 8 * 256 * 2
    assert full_layers * per_token * 8192 == cache("gemma-2-9b", 16_384) - cache("gemma-2-9b", 8192)


def test_a_state_space_remembers_as_much_of_any_context() -> None:
    assert cache("mamba-2.8b", 10) == cache("mamba-2.8b", 10**6) > 0


def test_a_quantised_cache_counts_its_scales() -> None:
    assert Fraction(17, 32) * cache("llama-3-8b") == cache("llama-3-8b", bits=Fraction(17, 2))


def test_the_cache_is_split_over_heads_and_no_further() -> None:
    assert cache("llama-3-8b") == 8 * cache("llama-3-8b", tp=8) == 8 * cache("llama-3-8b", tp=64)


def test_the_cache_grows_with_batch_and_context_alike() -> None:
    assert cache("llama-3-8b", context=8192) == cache("llama-3-8b", batch=2)


def test_adamw_keeps_twelve_bytes_per_parameter_with_its_master_copy() -> None:
    ledger = find_model("llama-3-8b").ledger
    assert 12 * ledger.parameters() == optimizer_bytes(ledger, "adamw")


def test_optimisers_rank_as_their_papers_say() -> None:
    ledger = find_model("llama-3-8b").ledger
    states = {name: optimizer_bytes(ledger, name, master=False) for name in OPTIMIZERS}
    assert ["adafactor", "adamw-8bit", "sgd", "muon", "adamw"] == sorted(states, key=lambda name: states[name])


def test_lora_adds_rank_times_inputs_and_outputs() -> None:
    # peft, r = 8 on q_proj and v_proj of Llama-2-7B, prints 4,194,304 trainable parameters.
    assert 4_194_304 == lora_parameters(find_model("llama-2-7b").ledger, 8, ("query", "value"))


def test_lora_on_no_matrix_of_the_model_is_refused() -> None:
    with pytest.raises(BadInput, match="it has"):
        lora_parameters(find_model("llama-2-7b").ledger, 8, ("c_attn",))


def test_norms_are_kept_whole_on_every_device() -> None:
    rows = {w.role: shards(w, 8) for w in find_model("llama-3-8b").ledger.weights}
    assert (8, 8, 1) == (rows["query"], rows["down"], rows["norm"])
