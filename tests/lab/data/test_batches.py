import math
import subprocess
import sys
import timeit

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepwide.errors import BadInput
from deepwide.lab.data import IGNORED, batch, masked, unigram_entropy, validation_batches

TOKENS = np.arange(10_000, dtype="<u2")
SIZES = {"context": 16, "batch": 12}


def test_every_row_is_a_run_of_the_tokens():
    rows = batch(TOKENS, **SIZES, seed=0, step=0)
    assert (12, 17) == rows.shape
    assert np.int64 == rows.dtype
    assert (np.diff(rows) == 1).all()


def test_a_batch_depends_on_the_seed_and_the_step_alone():
    rows = batch(TOKENS, **SIZES, seed=3, step=7)
    assert rows.tolist() == batch(TOKENS, **SIZES, seed=3, step=7).tolist()
    assert rows.tolist() != batch(TOKENS, **SIZES, seed=3, step=8).tolist()
    assert rows.tolist() != batch(TOKENS, **SIZES, seed=4, step=7).tolist()


def test_the_numbers_stay_the_same_from_version_to_version():
    assert [8582, 4352, 1383, 7706] == batch(TOKENS, context=16, batch=4, seed=0, step=1)[:, 0].tolist()


@pytest.mark.slow  # it imports PyTorch
def test_another_process_draws_the_same_batches():
    code = (
        "import numpy as np; from deepwide.lab.data import batch, masked;"
        "x = batch(np.arange(10_000), context=16, batch=12, seed=3, step=7);"
        "y = masked(x, mask=9999, vocab=10_000, seed=3, step=7);"
        "print([x.tolist(), y[0].tolist(), y[1].tolist()])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    x = batch(TOKENS, **SIZES, seed=3, step=7)
    inputs, targets = masked(x, mask=9999, vocab=10_000, seed=3, step=7)
    assert str([x.tolist(), inputs.tolist(), targets.tolist()]) == said.strip()


@given(st.integers(2, 200), st.integers(1, 199), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_windows_lie_within_the_text(length, context, seed, step):
    tokens = np.arange(length)
    if length <= context:
        with pytest.raises(BadInput, match="smaller context"):
            batch(tokens, context=context, batch=3, seed=seed, step=step)
    else:
        assert (3, context + 1) == batch(tokens, context=context, batch=3, seed=seed, step=step).shape


def test_windows_begin_everywhere_alike():
    tokens = np.arange(26)
    starts = np.concatenate([batch(tokens, **SIZES, seed=0, step=step)[:, 0] for step in range(1000)])
    counts = np.bincount(starts, minlength=10)
    assert 10 == len(counts)
    assert abs(counts - 1200).max() < 5 * math.sqrt(1200)


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"context": 0}, {"seed": -1}, {"step": 2**64}])
def test_sizes_that_cannot_be_are_refused(wrong):
    with pytest.raises(BadInput):
        batch(TOKENS, **{**SIZES, "seed": 0, "step": 0, **wrong})


@given(st.integers(2, 300), st.integers(1, 20), st.integers(1, 9))
def test_validation_predicts_every_token_once(length, context, size):
    tokens = np.arange(length)
    if length <= context:
        return
    targets = np.concatenate([rows[:, 1:].ravel() for rows in validation_batches(tokens, context=context, batch=size)])
    assert list(range(1, (length - 1) // context * context + 1)) == targets.tolist()


def test_a_limit_spreads_the_windows_over_the_text():
    rows = np.concatenate(list(validation_batches(TOKENS, context=16, batch=5, limit=4)))
    assert (20, 17) == rows.shape
    assert rows[-1, 0] > 9000
    assert 20 == len(set(rows[:, 0].tolist()))


def test_of_the_tokens_15_percent_are_chosen_and_of_those_80_10_10():
    tokens = np.random.default_rng(0).integers(4, 1000, (200, 128))
    inputs, targets = masked(tokens, mask=3, vocab=1000, specials=(0, 1, 2), seed=0, step=0)
    chosen = targets != IGNORED
    n = chosen.sum()
    assert 0.15 == pytest.approx(chosen.mean(), abs=4 * math.sqrt(0.15 * 0.85 / tokens.size))
    assert (inputs[~chosen] == tokens[~chosen]).all()
    assert (targets[chosen] == tokens[chosen]).all()
    hidden, kept = inputs[chosen] == 3, inputs[chosen] == tokens[chosen]
    shares = [hidden.mean(), (~hidden & ~kept).mean(), kept.mean()]
    assert [0.8, 0.1, 0.1] == pytest.approx(shares, abs=4 * math.sqrt(0.8 * 0.2 / n))
    replaced = inputs[chosen][~hidden & ~kept]
    assert replaced.min() >= 4
    assert replaced.max() < 1000


@given(st.integers(0, 1000), st.integers(1, 12))
def test_every_row_has_a_target_and_special_tokens_are_none(step, columns):
    tokens = np.tile(np.arange(columns), (4, 1))
    _, targets = masked(tokens, mask=0, vocab=20, specials=(3, 5), seed=0, step=step)
    assert not np.isin(targets, [0, 3, 5]).any()
    assert (columns > 1) == bool((targets != IGNORED).any(axis=1).all())


def test_a_mask_outside_the_vocabulary_is_refused():
    with pytest.raises(BadInput, match="mask=256"):
        masked(np.ones((2, 4), dtype=np.int64), mask=256, vocab=256, seed=0, step=0)


def test_the_unigram_entropy_of_equally_frequent_tokens_is_the_logarithm_of_their_number():
    assert math.log(8) == pytest.approx(unigram_entropy(np.arange(8000) % 8))
    assert 0 == unigram_entropy(np.zeros(10, dtype="<u2"))


def test_a_batch_takes_far_less_time_than_a_step():
    best = min(timeit.repeat(lambda: batch(TOKENS, context=64, batch=12, seed=0, step=9), number=100, repeat=5)) / 100
    assert best < 0.3e-3
