"""The questions `compare` and `design`: what they refuse, and that they agree with each other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import deepwide as dw
from deepwide.answers.compare import compare
from deepwide.answers.count import count
from deepwide.answers.design import design
from deepwide.answers.memory import memory
from deepwide.errors import BadInput

HUGE = 10**400


@pytest.mark.parametrize("asked", [{"tokens": 0}, {"tokens": -1}, {"tokens": HUGE}, {"context": 0}, {"context": HUGE}])
def test_a_comparison_that_cannot_be_is_refused(asked: dict[str, int]) -> None:
    with pytest.raises(BadInput, match="must lie between 1 and"):
        compare(["gpt2", "gpt2-medium"], on="h100", **asked)


@pytest.mark.parametrize("models", [["gpt2"], "gpt2", []])
def test_a_comparison_needs_two_models(models: Any) -> None:
    with pytest.raises(BadInput, match="two models or more"):
        compare(models)


def test_what_does_not_generate_has_no_decode_time() -> None:
    encoder, decoder = compare(["bert-base", "gpt2"], on="h100").models
    assert (None, True) == (encoder.decode_s, (decoder.decode_s or 0) > 0)


def test_an_encoder_has_run_before_its_decoder_generates() -> None:
    # Layers of T5 are equal on both sides but for the attention across: the encoder's would double the time.
    t5, deeper = compare(["t5-base", "t5-base,layers=13"], on="h100").models
    a_layer_s = (deeper.decode_s or 0) - (t5.decode_s or 0)
    assert pytest.approx(12 * a_layer_s, rel=0.35) == t5.decode_s  # beside the layers: the head, and what a step takes


def test_a_device_without_a_rate_for_matrices_is_refused_a_time(tmp_path: Path) -> None:
    profile = tmp_path / "npu.toml"
    profile.write_text("[npu]\nmemory_bytes=8e9\nbandwidth_bytes_per_s=1e11\npeak_flops_per_s={int8=1e13}\n")
    with pytest.raises(BadInput, match="npu: peak_flops_per_s needs one of bf16"):
        compare(["gpt2", "gpt2-medium"], on=str(profile))


def test_a_time_on_a_device_that_cannot_hold_the_model_is_marked() -> None:
    notes = compare(["mixtral-8x7b", "gpt2"], on="a100").notes
    assert ["mixtral-8x7b"] == [note.partition(":")[0] for note in notes if "do not fit one device" in note]


@pytest.mark.parametrize("name", ["tokens", "context", "vocab", "devices", "rows", "parameters"])
@pytest.mark.parametrize("value", [0, -1, HUGE, "1B", 1.5])
def test_a_design_that_cannot_be_asked_is_refused(name: str, value: Any) -> None:
    with pytest.raises(BadInput, match=f"^{name}="):
        design(**{"parameters": 10**9, "on": "h100", name: value})


def test_what_a_design_recommends_counts_and_compares_the_same() -> None:
    found = design(parameters=10**9, on="h100")
    best = found.recommended
    alone = compare([best["model"], "gpt2"], on="h100", tokens=found.tokens).models[0]
    assert best["parameters"] == count(best["model"]).total == alone.parameters
    assert best["kv_cache_bytes_per_token"] == alone.kv_cache_bytes_per_token
    assert pytest.approx(best["loss"], rel=1e-12) == alone.loss
    assert pytest.approx(best["decode_s"], rel=1e-12) == alone.decode_s


@pytest.mark.parametrize(("parameters", "devices"), [(6_200_000_000, 1), (12 * 10**9, 2)])
def test_what_a_design_recommends_fits_where_it_was_asked_for(parameters: int, devices: int) -> None:
    best = design(parameters=parameters, on="rtx-3060-12gb", devices=devices, tolerance=0.1).recommended
    assert memory(best["model"], on="rtx-3060-12gb", devices=devices).fits


def test_a_question_can_be_asked_again_though_a_room_has_its_name() -> None:
    code = "import deepwide.design.search, deepwide as dw; print(2 * [dw.design(parameters=10**9, on='t4').on])"
    ran = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert ("['t4', 't4']\n", "") == (ran.stdout, ran.stderr)


def test_every_question_is_offered_and_typed() -> None:
    assert set(dw.__all__) == set(dw.QUESTIONS) <= set(dir(dw))
    assert all(callable(getattr(dw, name)) for name in dw.QUESTIONS)
