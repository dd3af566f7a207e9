"""FLOPs: closed forms, the two conventions, and one equals many."""

from __future__ import annotations

import numpy as np
import pytest

from deepwide.answers.models import find_model
from deepwide.architecture.flops import Pass, backward_flops, context_flops, forward_flops, token_flops
from deepwide.architecture.ledger import Ledger

TOKENS = 2048


def ledger(name: str) -> Ledger:
    return find_model(name).ledger


# What PyTorch's FlopCounterMode counts on the meta device for one sequence (torch 2.13.0, transformers 5.23.0).
COUNTED = {
    ("llama-2-7b", 2048): 29_261_612_187_648,
    ("mixtral-8x7b", 2048): 54_417_235_640_320,
    ("gpt2", 1024): 291_648_307_200,
    ("bert-base", 512): 121_244_221_440,
    ("t5-base", 512): 257_194_721_280,
    ("mamba-130m", 256): 66_051_735_552,
    ("deberta-v3-base", 512): 222_141_874_176,
}


@pytest.mark.parametrize(("name", "tokens"), COUNTED)
def test_forward_equals_what_the_counter_sees(name: str, tokens: int) -> None:
    assert COUNTED[name, tokens] == forward_flops(ledger(name), Pass(tokens=tokens), "counter")


def test_the_closed_form_of_a_dense_decoder_is_two_per_weight_and_token_plus_scores() -> None:
    weights = 6_738_415_616 - 32_000 * 4096 - 65 * 4096
    scores = 4 * TOKENS**2 * 32 * 4096
    assert 2 * TOKENS * weights + scores == forward_flops(ledger("llama-2-7b"), Pass(tokens=TOKENS), "counter")


def test_backward_is_twice_forward() -> None:
    work = Pass(tokens=TOKENS)
    assert 2 * forward_flops(ledger("gpt2"), work) == backward_flops(ledger("gpt2"), work)


def test_a_causal_kernel_does_half_the_scores_and_the_diagonal() -> None:
    full, causal = (forward_flops(ledger("llama-2-7b"), Pass(tokens=TOKENS), c) for c in ("counter", "hardware"))
    per_pair = 4 * 32 * 4096
    assert per_pair * TOKENS * (TOKENS - 1) // 2 == full - causal


def test_a_window_bounds_the_scores_of_long_contexts() -> None:
    windowed = ledger("mistral-7b")
    near, far = (forward_flops(windowed, Pass(tokens=1, past=past), "hardware") for past in (8192, 32_768))
    assert near == far


def test_prefill_in_two_chunks_is_prefill_at_once() -> None:
    for name in ("llama-2-7b", "mistral-7b", "gemma-2-9b"):
        whole = forward_flops(ledger(name), Pass(tokens=8192))
        halves = forward_flops(ledger(name), Pass(tokens=4096)) + forward_flops(
            ledger(name), Pass(tokens=4096, past=4096)
        )
        assert whole == halves


def test_latent_attention_at_decode_is_absorbed_by_hardware_and_expanded_by_the_counter() -> None:
    step = Pass(tokens=1, past=2048)
    absorbed, expanded = (forward_flops(ledger("deepseek-v3"), step, c) for c in ("hardware", "counter"))
    assert expanded > 30 * absorbed


def test_a_batch_is_as_many_sequences() -> None:
    one, four = (forward_flops(ledger("llama-3-8b"), Pass(tokens=100, batch=b)) for b in (1, 4))
    assert 4 * one == four


def test_many_lengths_at_once_equal_each_alone() -> None:
    lengths = np.array([1.0, 128.0, 5000.0])
    at_once = forward_flops(ledger("mistral-7b"), Pass(tokens=lengths))
    assert [forward_flops(ledger("mistral-7b"), Pass(tokens=int(n))) for n in lengths] == at_once.tolist()


def test_a_decoding_step_is_its_matrices_and_the_scores_of_its_context() -> None:
    llama = ledger("llama-3-8b")
    assert token_flops(llama) + 101 * context_flops(llama) == forward_flops(llama, Pass(tokens=1, past=100))


def test_a_picture_goes_through_its_tower_once_for_each_sequence() -> None:
    seeing = ledger("gemma-3-4b")
    one, four = (forward_flops(seeing, Pass(tokens=300, batch=b)) for b in (1, 4))
    assert 4 * one == four


def test_a_table_of_relative_positions_is_multiplied_once_whatever_the_batch() -> None:
    table = 2 * 2 * 512 * 768**2 * 12  # two projections of 512 rows in each of 12 layers, multiply-add = 2
    one, four = (forward_flops(ledger("deberta-v3-base"), Pass(tokens=512, batch=b), "counter") for b in (1, 4))
    assert 3 * table == 4 * one - four
