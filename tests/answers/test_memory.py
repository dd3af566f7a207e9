"""The question `memory`: hand-made sums, limits that are limits, remedies that help."""

from __future__ import annotations

import re
from typing import Any

import pytest

from deepwide.answers.memory import Memory, memory
from deepwide.errors import BadInput


def test_llama_3_70b_in_int4_on_two_devices() -> None:
    # 4 bits and 20 more for each group of 128 in layers, 16 bits outside; norms lie on both devices.
    ends, norms = 2 * 128_256 * 8192, 161 * 8192
    matrices = 70_553_706_496 - ends - norms
    half = matrices * (4 * 128 + 20) // 128 // 8 // 2 + ends + 2 * norms
    assert half == memory("llama-3-70b", on="h100", weights="int4", devices=2).weights_bytes


def test_gemma_2_caches_half_its_layers_in_a_window() -> None:
    per_token_and_layer = 2 * 8 * 256 * 2
    cache_bytes = memory("gemma-2-9b", on="h100", context=8192).kv_cache_bytes
    assert 21 * per_token_and_layer * (8192 + 4096) == cache_bytes


def test_qlora_of_llama_3_8b_to_the_byte() -> None:
    # peft prints 41,943,040 trainable parameters for rank 16 on all seven matrices.
    answer = memory("llama-3-8b", on="rtx-4090", weights="nf4", lora=16, recompute="full")
    ends, norms = 2 * 128_256 * 4096, 65 * 4096
    matrices = 8_030_261_248 - ends - norms
    means = 4 * 7 * 32  # the fp32 mean of each matrix's scales
    frozen = matrices // 2 + matrices // 64 + 4 * (matrices // (64 * 256)) + means + 2 * (ends + norms)
    adapters = 4 * 41_943_040
    assert (frozen + adapters, adapters, 2 * adapters) == (
        answer.weights_bytes,
        answer.gradient_bytes,
        answer.optimizer_bytes,
    )


def test_adafactor_of_llama_3_8b_to_the_byte() -> None:
    hidden, kv, ffn, vocab = 4096, 1024, 14336, 128_256
    layer = 2 * (hidden + hidden) + 2 * (hidden + kv) + 3 * (hidden + ffn) + 2 * hidden
    rows_and_columns = 32 * layer + 2 * (vocab + hidden) + hidden
    answer = memory("llama-3-8b", on="b200", train=True, optimizer="adafactor")
    assert 4 * rows_and_columns + 4 * 8_030_261_248 == answer.optimizer_bytes


def test_the_optimiser_of_adapters_is_the_one_asked_for() -> None:
    states = {name: memory("gpt2", on="t4", lora=8, optimizer=name).optimizer_bytes for name in ("adamw", "sgd")}
    assert states["adamw"] == 2 * states["sgd"]


def test_a_rank_means_training() -> None:
    assert memory("gpt2", on="t4", lora=8) == memory("gpt2", on="t4", lora=8, train=True)


def test_an_option_of_training_without_training_is_said_to_play_no_part() -> None:
    assert any("plays no part" in note for note in memory("gpt2", on="t4", zero=3).notes)


def test_precisions_may_be_written_in_capitals() -> None:
    assert memory("gpt2", on="t4", train=True, weights="BF16") == memory("gpt2", on="t4", train=True)


def test_an_encoder_reads_its_input_whole_and_a_decoder_in_chunks() -> None:
    def activation_bytes(name: str, context: int) -> int:
        return memory(name, on="t4", context=context).activation_bytes

    short, middle, long = (activation_bytes("bert-base", context) for context in (4096, 8192, 12_288))
    assert long - middle == middle - short > 0
    assert activation_bytes("llama-3-8b", 4096) == activation_bytes("llama-3-8b", 16_384)


def test_a_device_caches_whole_heads() -> None:
    one = memory("llama-3-8b", on="h100").kv_cache_bytes
    assert 3 * one // 8 == memory("llama-3-8b", on="h100", devices=3).kv_cache_bytes


LOADS: list[tuple[str, str, dict[str, Any]]] = [
    ("llama-3-70b", "h100", {"weights": "int4"}),
    ("gemma-2-9b", "rtx-4090", {"cache": "int8", "batch": 2}),
    ("mixtral-8x7b", "mi300x", {"context": 32_768}),
    ("llama-3-8b", "rtx-4090", {"weights": "nf4", "lora": 16, "recompute": "full"}),
]


@pytest.mark.parametrize(("model", "on", "load"), LOADS)
def test_the_limits_fit_and_one_more_does_not(model: str, on: str, load: dict[str, Any]) -> None:
    def fits(**changed: int) -> bool:
        return memory(model, on=on, **{**load, **changed}).fits

    found = memory(model, on=on, **load)
    context, batch = found.memory_context, found.max_batch
    assert (True, False) == (fits(context=context), fits(context=context + 1))
    assert (True, False) == (fits(batch=batch), fits(batch=batch + 1))


@pytest.mark.parametrize(
    ("model", "on", "load"),
    [
        ("mistral-7b", "rtx-4090", {"train": True, "context": 2048, "attention": "eager"}),
        ("llama-3-8b", "a100", {"lora": 64, "context": 8192, "batch": 4, "attention": "eager"}),
        ("llama-3-70b", "h100", {"batch": 8}),
        ("llama-3-8b", "h100", {"train": True, "devices": 4}),
    ],
)
def test_every_remedy_fits_when_its_options_are_given(model: str, on: str, load: dict[str, Any]) -> None:
    remedies = memory(model, on=on, **load).remedies
    assert len(remedies) > 1
    assert all(_with(remedy, model, on, load).fits for remedy in remedies)


def _with(remedy: str, model: str, on: str, load: dict[str, Any]) -> Memory:
    options = {name: int(v) if v.isdigit() else v for name, v in re.findall(r"--(\w+) ([\w-]+)", remedy)}
    return memory(model, on=on, **{**load, **options})


@pytest.mark.parametrize("train", [False, True])
def test_more_devices_never_hold_more_of_the_model_each(train: bool) -> None:
    def held_bytes(devices: int) -> int:
        answer = memory("llama-3-8b", on="h100", devices=devices, train=train, zero=3 if train else 0)
        return answer.total_bytes - answer.overhead_bytes

    sizes = [held_bytes(devices) for devices in range(1, 17)]
    assert sorted(sizes, reverse=True) == sizes


@pytest.mark.parametrize(
    ("load", "said"),
    [
        ({"context": 4096.5}, "context=4096.5 must be a whole number"),
        ({"context": "4k"}, "context='4k' must be a whole number"),
        ({"batch": 0}, "batch=0 must lie between 1 and"),
        ({"lora": 10**5000}, "more than 40 digits must lie between 1 and"),
        ({"zero": 4}, "zero=4 must lie between 0 and 3"),
        ({"attention": "flesh"}, "did you mean flash"),
        ({"weights": None}, "weights='none' is not a precision"),
    ],
)
def test_a_load_that_cannot_be_is_refused(load: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        memory("gpt2", on="h100", **load)
