"""`predict inference`: the answer, its range, its refusals, and what a terminal and a program see."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deepwide.answers.inference import MEASURES, predict_inference
from deepwide.cli.main import main
from deepwide.cli.predict import PREDICTIONS
from deepwide.cli.predict import command as group
from deepwide.errors import BadInput

FIXED = {"prefill_s", "decode_s_per_token", "ttft_s", "tokens_per_s", "memory_bytes", "fits", "low", "high"}


def ran(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(["predict", "inference", *arguments])
    said = capsys.readouterr()
    return int(end.value.code or 0), said.out, said.err


def test_the_fixed_keys_are_there_and_the_object_is_json() -> None:
    answer = predict_inference("llama-3.1-8b", on="h100", batch=8, input=2048, output=256).to_dict()
    assert set(answer) >= FIXED
    assert answer == json.loads(json.dumps(answer))


def test_every_measure_lies_in_its_range() -> None:
    answer = predict_inference("llama-3.1-8b", on="h100", concurrency=16)
    for name in MEASURES:
        assert answer.low[name] < getattr(answer, name) < answer.high[name]


def test_what_time_is_spent_on_adds_up_to_it() -> None:
    for asked in ({"batch": 4}, {"concurrency": 16}, {"tp": 2}):
        answer = predict_inference("llama-3.1-8b", on="h100", **asked)
        assert answer.prefill_s == pytest.approx(sum(answer.breakdown["prefill"].values()))
        assert answer.decode_s_per_token == pytest.approx(sum(answer.breakdown["decode"].values()))


def test_a_static_batch_writes_its_tokens_in_the_time_of_prompt_and_steps() -> None:
    answer = predict_inference("llama-3.1-8b", on="h100", batch=8, input=512, output=100)
    assert answer.tokens_per_s == pytest.approx(800 / (answer.prefill_s + 100 * answer.decode_s_per_token))


def test_more_served_at_once_means_more_tokens_and_longer_waits() -> None:
    few, many = (predict_inference("llama-3.1-8b", on="h100", concurrency=n) for n in (4, 64))
    assert few.tokens_per_s < many.tokens_per_s
    assert few.decode_s_per_token < many.decode_s_per_token


def test_stages_multiply_throughput_when_enough_is_asked() -> None:
    one, four = (predict_inference("llama-3.1-8b", on="h100", concurrency=64, pp=n) for n in (1, 4))
    assert four.tokens_per_s > 1.5 * one.tokens_per_s
    assert four.memory_bytes < one.memory_bytes


def test_what_speculation_would_bring_is_told_beside_the_answer() -> None:
    answer = predict_inference("llama-3.1-8b", on="h100", acceptance=0.8)
    assert answer.speculation
    assert answer.speculation.decode_s_per_token < answer.decode_s_per_token


def test_what_does_not_fit_is_told_with_what_would() -> None:
    answer = predict_inference("llama-3-70b", on="h100")
    assert not answer.fits
    assert any("--tp 2" in words for words in answer.remedies)
    assert not any("--devices" in words or "--context" in words for words in answer.remedies)


def test_a_prompt_beyond_the_models_context_is_noted() -> None:
    assert any("longer than" in note for note in predict_inference("llama-2-7b", on="h100", input=8000).notes)


def test_a_format_that_the_device_only_stores_is_noted() -> None:
    assert any("widened" in note for note in predict_inference("llama-3.1-8b", on="a100", weights="fp8").notes)


def test_llama_cpp_is_what_it_is_on_each_vendor() -> None:
    names = {
        on: predict_inference("llama-2-7b", on=on, runtime="llama.cpp").runtime for on in ("apple-m2-10c", "mi210")
    }
    assert {"apple-m2-10c": "llama.cpp-metal", "mi210": "llama.cpp-rocm"} == names
    assert "llama.cpp-metal" == predict_inference("llama-2-7b", on="apple-m2-10c").runtime


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"tp": 3}, "tp=3 does not divide heads=32"),
        ({"pp": 33}, "pp=33 is more than the 32 layers"),
        ({"tp": 0}, "tp=0 must lie between"),
        ({"batch": 0}, "batch=0"),
        ({"input": -5}, "input=-5"),
        ({"output": 0}, "output=0"),
        ({"runtime": "vlm"}, "did you mean vllm"),
        ({"weights": "int3"}, "weights='int3'"),
        ({"cache": "int3"}, "cache='int3'"),
        ({"on": "h1000"}, "no accelerator called"),
        ({"concurrency": 0}, "concurrency=0"),
        ({"concurrency": 8, "batch": 8}, "say the same twice"),
        ({"chunk": 0}, "chunk=0"),
        ({"acceptance": 1.5}, "acceptance=1.5"),
        ({"acceptance": float("nan")}, "acceptance=nan"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused_in_one_line(asked: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput) as refused:
        predict_inference("llama-3.1-8b", **{"on": "h100", **asked})
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_model_that_does_not_write_is_refused() -> None:
    with pytest.raises(BadInput, match="reads but does not write"):
        predict_inference("bert-base", on="h100")


def test_keys_may_be_fewer_than_devices_if_these_are_a_multiple() -> None:
    assert predict_inference("llama-3.1-8b", on="h100", tp=16).devices == 16


@pytest.mark.parametrize("model", ["gpt2", "mixtral-8x7b", "deepseek-v3", "gemma-2-9b", "t5-small", "mamba-130m"])
def test_every_kind_of_decoder_has_a_time(model: str) -> None:
    answer = predict_inference(model, on="h100", tp=1)
    assert 0 < answer.decode_s_per_token < answer.prefill_s * 10


def test_a_terminal_shows_times_ranges_and_parts(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ran(capsys, "llama-3.1-8b", "--on", "h100", "--batch", "8", "--input", "2k", "--output", "256")
    assert 0 == code
    for words in ("It fits", "first token", "each further token", " to ", "weights", "KV cache", "by vllm"):
        assert words in out


def test_json_is_one_object_and_no_fit_is_exit_1(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ran(capsys, "llama-3-70b", "--on", "h100", "--json")
    assert (1, "", False) == (code, err, json.loads(out)["fits"])


def test_bad_input_is_exit_2_and_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ran(capsys, "llama-3.1-8b", "--on", "h100", "--tp", "5")
    assert (2, "", 1) == (code, out, err.count("\n"))


def test_the_group_lists_its_predictions() -> None:
    import click

    assert [*PREDICTIONS] == group.list_commands(click.Context(group))
    assert all(group.get_command(click.Context(group), name) for name in PREDICTIONS)
