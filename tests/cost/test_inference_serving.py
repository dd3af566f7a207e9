"""Prompts in chunks, batches in turns, servers in a steady state, speculation."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deepwide.answers.models import find_model
from deepwide.cost.inference.engine import driven
from deepwide.cost.inference.serving import Requests, generation_s, mixed_prompt_s, prompt_s, serving_token_s
from deepwide.cost.inference.speculation import speculated, tokens_per_pass
from deepwide.facts.accelerators import accelerator

H100 = driven(accelerator("h100"))
LLAMA = find_model("llama-3.1-8b").ledger
ASKED = Requests(batch=1, input=4096, output=128, chunk=8192)


def test_a_prompt_in_small_chunks_takes_longer_than_at_once() -> None:
    whole, chunked = (float(prompt_s(LLAMA, replace(ASKED, chunk=n), H100)) for n in (8192, 256))
    assert whole < chunked < 4 * whole


def test_chunks_that_divide_a_prompt_do_the_same_work() -> None:
    ideal = driven(accelerator("h100"), "ideal")
    whole, chunked = (float(prompt_s(LLAMA, replace(ASKED, chunk=n), ideal)) for n in (4096, 2048))
    assert whole == pytest.approx(chunked, rel=0.02)


def test_stages_read_the_chunks_of_a_long_prompt_side_by_side() -> None:
    asked = replace(ASKED, input=65_536, chunk=2048)
    assert prompt_s(LLAMA, replace(asked, pp=4), H100) < 0.35 * prompt_s(LLAMA, asked, H100)


def test_a_batch_that_memory_does_not_hold_takes_turns() -> None:
    asked = replace(ASKED, batch=64)
    at_once, in_turns = (float(generation_s(LLAMA, asked, H100, held=n)) for n in (64, 40))
    one_turn = float(generation_s(LLAMA, replace(asked, batch=32), H100))
    assert at_once < in_turns == pytest.approx(2 * one_turn)


def test_one_sequence_on_a_server_waits_for_nobody() -> None:
    assert 0.01 == serving_token_s(0.01, 0.2, concurrency=1, output=100, on=H100)


def test_long_answers_are_interrupted_less() -> None:
    short, long = (serving_token_s(0.01, 0.2, concurrency=32, output=n, on=H100) for n in (64, 1024))
    assert 0.01 < long < short


def test_a_chunk_that_rides_along_costs_less_than_a_step_of_its_own() -> None:
    asked = replace(ASKED, batch=32, chunk=512)
    alone = float(prompt_s(LLAMA, replace(asked, batch=1), H100))
    mixed = float(mixed_prompt_s(LLAMA, asked, H100, chunked=True))
    assert alone < mixed < 2 * alone


@pytest.mark.parametrize(("acceptance", "draft", "tokens"), [(0.0, 4, 1.0), (1.0, 4, 5.0), (0.8, 2, 2.44)])
def test_the_tokens_of_a_pass_follow_leviathan(acceptance: float, draft: int, tokens: float) -> None:
    assert tokens == pytest.approx(tokens_per_pass(acceptance, draft))


def test_good_cheap_drafts_speed_decoding_up_and_bad_ones_slow_it_down() -> None:
    good, bad = (speculated(LLAMA, ASKED, H100, acceptance=a, draft=4, draft_cost_share=0.1) for a in (0.9, 0.05))
    assert bad.speed_up < 1 < good.speed_up < good.tokens_per_pass
