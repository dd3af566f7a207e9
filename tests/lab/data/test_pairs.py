import numpy as np
import pytest

from deepwide.errors import BadInput
from deepwide.lab.data import (
    IGNORED,
    byte_tokenizer,
    continuation_batch,
    continuation_validation_batches,
    pair_batch,
    pair_validation_batches,
    pairs_of,
    prepare,
)
from deepwide.lab.data.synthetic import task_of, words

BYTES = byte_tokenizer()


@pytest.fixture(scope="module", params=["copy:6:8", "reverse:6:8"])
def corpus(request, tmp_path_factory):
    return prepare(request.param, folder=tmp_path_factory.mktemp("tokens"))


def said(pairs, number):
    source = BYTES.decode(pairs.sources[number][pairs.source_kept[number]])
    target = BYTES.decode(token for token in pairs.targets[number] if token != IGNORED)
    return source, target


def test_the_target_is_the_source_or_its_reverse(corpus):
    pairs = pairs_of(corpus.train, corpus.tokenizer)
    drawn = pair_batch(pairs, batch=50, seed=0, step=3)
    for number in range(50):
        source, target = said(drawn, number)
        assert target == (source if corpus.source.startswith("copy") else source[::-1])
        assert 3 <= len(source) <= 6


def test_the_decoder_reads_start_and_the_target_and_writes_the_target_and_end(corpus):
    pairs = pairs_of(corpus.train, corpus.tokenizer)
    inputs, targets = pair_batch(pairs, batch=50, seed=0, step=3)[2:]
    assert {BYTES.special("start")} == set(inputs[:, 0].tolist())
    for row_in, row_out in zip(inputs, targets, strict=True):
        real = row_out != IGNORED
        assert row_in[real][1:].tolist() == row_out[real][:-1].tolist()
        assert BYTES.special("end") == row_out[real][-1]
        assert {BYTES.special("pad")} >= set(row_in[~real].tolist())


def test_no_word_to_validate_on_is_trained_on(corpus):
    train, validation = (pairs_of(side, corpus.tokenizer) for side in (corpus.train, corpus.validation))
    seen = {tuple(train.tokens[a:b].tolist()) for a, b in zip(train.begins, train.starts, strict=True)}
    held_out = [
        tuple(validation.tokens[a:b].tolist()) for a, b in zip(validation.begins, validation.starts, strict=True)
    ]
    assert len(held_out) > 1000
    assert not seen & set(held_out)
    assert len(held_out) == sum(len(rows.inputs) for rows in pair_validation_batches(validation, batch=64))
    assert 2 == len(list(pair_validation_batches(validation, batch=64, limit=2)))


def test_words_are_distinct_and_the_same_for_the_same_seed():
    task = task_of("copy:8")
    assert words(task, 0) == words(task, 0)
    assert words(task, 0) != words(task, 1)
    assert len(words(task, 0)) == len(set(words(task, 0)))


@pytest.mark.parametrize("source", ["copy:", "copy:0", "copy:8:1", "copy:8:63", "reverse:999", "copy:a", "copy:8:9:9"])
def test_a_task_that_cannot_be_is_refused(source):
    with pytest.raises(BadInput, match="must be TASK"):
        task_of(source)


def test_a_task_with_hardly_any_words_is_refused(tmp_path):
    with pytest.raises(BadInput, match="larger length"):
        prepare("copy:1:4", folder=tmp_path)


def test_a_task_wants_bytes(tmp_path):
    with pytest.raises(BadInput, match="tokenizer=bytes"):
        prepare("copy", folder=tmp_path, tokenizer="bpe:300")


def test_running_text_holds_no_pairs():
    with pytest.raises(BadInput, match="running text"):
        pairs_of(np.arange(200), BYTES)


def test_a_continuation_is_what_follows_the_source():
    tokens = np.arange(1000)
    sizes = {"source_context": 10, "context": 6, "start": 5000, "batch": 4}
    for rows in (
        continuation_batch(tokens, **sizes, seed=0, step=0),
        next(continuation_validation_batches(tokens, **sizes)),
    ):
        assert (4, 10) == rows.sources.shape
        assert rows.source_kept.all()
        assert (rows.sources[:, -1] + 1).tolist() == rows.targets[:, 0].tolist()
        assert rows.targets[:, :-1].tolist() == rows.inputs[:, 1:].tolist()
        assert [5000] * 4 == rows.inputs[:, 0].tolist()
