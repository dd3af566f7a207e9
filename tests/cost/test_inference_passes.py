"""Forward passes: what bounds them, what they are made of, and measured ones."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from deepwide.answers.models import find_model
from deepwide.architecture.flops import Pass, forward_flops
from deepwide.cost.inference.engine import Engine, driven, engine
from deepwide.cost.inference.passes import Seconds, Work, all_reduce_s, forward
from deepwide.facts.accelerators import accelerator, accelerators

H100 = driven(accelerator("h100"))
IDEAL = driven(accelerator("h100"), "ideal")
LLAMA = find_model("llama-3.1-8b").ledger


def token_s(model: str, on: Engine = H100, **work: int) -> float:
    return float(forward(find_model(model).ledger, Work(**{"past": 1024, **work}), on).total_s)


def test_the_parts_of_a_pass_add_up_to_it() -> None:
    passed = forward(LLAMA, Work(batch=4, past=2000, tp=2), driven(accelerator("h100"), devices=2))
    assert passed.total_s == pytest.approx(sum(getattr(passed, f.name) for f in fields(Seconds)))
    assert all(getattr(passed, f.name) > 0 for f in fields(Seconds))


def test_an_ideal_token_takes_the_time_of_reading_weights_and_cache() -> None:
    device = accelerator("h100")
    embedding = LLAMA.weights[0].parameters
    read_bytes = 2 * (LLAMA.parameters() - embedding) + 2 * 1025 * 32 * 2048
    assert forward(LLAMA, Work(past=1024), IDEAL).total_s == pytest.approx(
        read_bytes / device.bandwidth_bytes_per_s, rel=0.001
    )


def test_an_ideal_prompt_takes_little_more_than_the_time_of_its_flops() -> None:
    tokens = 4096
    whole = forward_flops(LLAMA, Pass(tokens=tokens))
    head = 2 * 4096 * 128256 * (tokens - 1)  # the last token alone goes through the head
    least_s = (whole - head) / accelerator("h100").peak_flops_per_s["bf16"]
    assert least_s < forward(LLAMA, Work(tokens=tokens, prompt=True), IDEAL).total_s < 1.15 * least_s


@pytest.mark.parametrize("runtime", ["vllm", "huggingface", "llama.cpp", "tensorrt-llm", "default"])
def test_no_runtime_is_faster_than_the_ideal(runtime: str) -> None:
    on = driven(accelerator("h100"), runtime)
    for work in (Work(past=1024), Work(past=1024, batch=64), Work(tokens=2048, prompt=True)):
        assert forward(LLAMA, work, on).total_s > forward(LLAMA, work, IDEAL).total_s


def test_depth_costs_time_at_equal_size() -> None:
    deep, wide = (f"like=llama,layers={n},hidden={d},vocab=32000" for n, d in ((128, 2048), (8, 8192)))
    assert token_s(deep) > 1.3 * token_s(wide)


def test_where_the_host_launches_each_layer_a_deep_small_model_is_slower_than_a_wide_large_one() -> None:
    # Qwen2.5 with Transformers on an A100: 32.5 ms a token for 3B (36 layers), 24.8 ms for 7B (28 layers).
    on = driven(accelerator("a100"), "huggingface")
    assert token_s("qwen2.5-3b", on) > token_s("qwen2.5-7b", on)
    assert 32.5e-3 == pytest.approx(token_s("qwen2.5-3b", on), rel=0.15)


def test_llama_8b_on_an_h100_decodes_as_measured() -> None:
    # 6.18 ms in the silicon tables of ai-dynamo/aiconfigurator, vLLM, batch 1, 1,024 tokens.
    assert 6.18e-3 == pytest.approx(token_s("llama-3.1-8b"), rel=0.15)


def test_halving_the_bytes_of_weights_saves_time_but_not_half() -> None:
    half = driven(accelerator("h100"), "ideal", weights="fp8")
    assert 0.5 < token_s("llama-3-8b", half) / token_s("llama-3-8b", IDEAL) < 0.65


def test_a_longer_context_takes_longer_and_a_window_bounds_it() -> None:
    assert token_s("llama-3-8b", past=32_768) > token_s("llama-3-8b", past=1024)
    assert token_s("mistral-7b", past=32_768) == token_s("mistral-7b", past=65_536)


def test_a_smaller_cache_is_read_faster() -> None:
    narrow = replace(H100, cache_bytes=1.0)
    assert token_s("llama-3-8b", narrow, past=32_768) < token_s("llama-3-8b", H100, past=32_768)


def test_experts_that_sleep_cost_no_time_and_a_batch_wakes_them_all() -> None:
    dense = "like=llama,layers=32,hidden=4096,ffn=114688,vocab=32000"
    assert token_s("mixtral-8x7b") < 0.5 * token_s(dense)
    woken = token_s("mixtral-8x7b", batch=64) / token_s("mixtral-8x7b")
    assert 2.5 < woken < 5


def test_four_devices_are_faster_than_one_and_slower_than_a_quarter() -> None:
    four = driven(accelerator("h100"), devices=4)
    assert token_s("llama-3-70b") / 4 < token_s("llama-3-70b", four, tp=4) < token_s("llama-3-70b") / 2


def test_stages_pass_a_token_on_and_make_it_no_faster() -> None:
    four = driven(accelerator("h100"), devices=4)
    assert token_s("llama-3-70b") < token_s("llama-3-70b", four, pp=4) < 1.01 * token_s("llama-3-70b")


def test_devices_on_slots_sum_slower_than_on_a_link() -> None:
    linked, slotted = (driven(accelerator(name), devices=8) for name in ("h100", "l40s"))
    assert all_reduce_s(1e6, linked, 8) < all_reduce_s(1e6, slotted, 8) / 10


def test_a_width_that_fills_no_tile_costs_a_prompt_what_the_next_one_does() -> None:
    shapes = [f"like=llama,layers=8,hidden=2048,heads=16,head_dim=128,ffn={n},vocab=32000" for n in (8192, 8200, 8256)]
    times = [forward(find_model(m).ledger, Work(tokens=4096, prompt=True), IDEAL).total_s for m in shapes]
    assert times[0] < times[1] == pytest.approx(times[2], rel=5e-3)


def test_every_accelerator_has_a_time_for_a_token() -> None:
    assert all(token_s("gpt2", driven(a)) > 0 for a in accelerators())


def test_many_contexts_and_batches_at_once_equal_each_alone() -> None:
    contexts, batches = np.array([1.0, 1000.0, 50_000.0]), np.array([1.0, 7.0, 64.0])
    ledger = find_model("mixtral-8x7b").ledger
    at_once = forward(ledger, Work(past=contexts, batch=batches), H100).total_s
    alone = [token_s("mixtral-8x7b", past=int(n), batch=int(b)) for n, b in zip(contexts, batches, strict=True)]
    assert alone == pytest.approx(list(at_once))


def test_constants_can_be_corrected_by_measurements() -> None:
    slower = replace(H100.constants, memory_efficiency=H100.constants.memory_efficiency / 2)
    corrected = engine(accelerator("h100"), replace(H100.profile, constants=slower))
    before, after = (forward(LLAMA, Work(past=1024), on) for on in (H100, corrected))
    assert 1.5 * before.weights_s < after.weights_s <= 2 * before.weights_s
