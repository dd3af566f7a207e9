"""What a training reads: functions of the seed and the step, cut for the objective."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from deepwide.errors import BadInput
from deepwide.lab.data import Corpus, prepare
from deepwide.lab.feed import feed, pair_context
from deepwide.lab.training import Batch, Recipe
from deepwide.lab.training.objective import IGNORED


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Some text whose every place can be told from every other."""
    folder = tmp_path_factory.mktemp("texts")
    for number in range(40):
        (folder / f"{number}.txt").write_text("".join(f"{number}.{line};\n" for line in range(60)))
    return prepare(folder, folder=folder / "tokens")


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return prepare("reverse:6:8", folder=tmp_path_factory.mktemp("tokens"))


def recipe_of(objective: str, **fields: object) -> Recipe:
    return Recipe(**{"steps": 5, "batch": 8, "context": 16, "objective": objective, **fields})  # type: ignore[arg-type]


def tensors(batch: Batch) -> list[Tensor]:
    every = (batch.tokens, batch.targets, batch.kept, batch.sources, batch.source_kept)
    return [x for x in every if x is not None]


def same(first: Batch, second: Batch) -> bool:
    return all(torch.equal(a, b) for a, b in zip(tensors(first), tensors(second), strict=True))


def sources_of(batches: list[Batch]) -> set[tuple[int, ...]]:
    return {tuple(row) for batch in batches if batch.sources is not None for row in batch.sources.tolist()}


CASES = [("corpus", "next"), ("corpus", "masked"), ("corpus", "sequence"), ("words", "sequence")]


@pytest.mark.parametrize(("name", "objective"), CASES)
def test_a_batch_is_a_function_of_the_seed_and_the_step(
    name: str, objective: str, request: pytest.FixtureRequest
) -> None:
    text: Corpus = request.getfixturevalue(name)
    first, again = feed(text, recipe_of(objective)), feed(text, recipe_of(objective))
    assert same(first.batches(3), first.batches(3))
    assert same(first.batches(3), again.batches(3))
    assert not same(first.batches(3), first.batches(4))
    assert not same(first.batches(3), feed(text, recipe_of(objective, seed=1)).batches(3))


@pytest.mark.parametrize(("name", "objective"), CASES)
def test_validation_is_the_same_every_time_and_whatever_the_seed(
    name: str, objective: str, request: pytest.FixtureRequest
) -> None:
    text: Corpus = request.getfixturevalue(name)
    asked = recipe_of(objective, evaluation_windows=20)
    first, again = feed(text, asked), feed(text, recipe_of(objective, evaluation_windows=20, seed=7))
    batches = list(first.validation())
    assert 1 <= len(batches) <= 3  # of 8, for 20 windows
    assert all(same(a, b) for a, b in zip(batches, first.validation(), strict=True))
    assert all(same(a, b) for a, b in zip(batches, again.validation(), strict=True))


def test_each_target_is_the_next_token(corpus: Corpus) -> None:
    batch = feed(corpus, recipe_of("next")).batches(0)
    assert ((8, 16), (8, 16)) == (tuple(batch.tokens.shape), tuple(batch.targets.shape))
    assert torch.equal(batch.tokens[:, 1:], batch.targets[:, :-1])
    assert batch.kept is None


def test_a_masked_batch_hides_what_it_asks_for(corpus: Corpus) -> None:
    mask = corpus.tokenizer.special("mask")
    batch = feed(corpus, recipe_of("masked", batch=64)).batches(0)
    asked = batch.targets != IGNORED
    assert 0.1 < float(asked.float().mean()) < 0.2
    assert bool(asked.any(1).all())
    assert 0.7 < float((batch.tokens[asked] == mask).float().mean()) < 0.9
    assert not bool((batch.tokens[~asked] == mask).any())
    assert not bool((batch.targets == mask).any())


def test_a_pair_is_a_word_and_what_is_to_be_written_for_it(words: Corpus) -> None:
    batch = feed(words, recipe_of("sequence")).batches(0)
    assert batch.sources is not None
    assert batch.source_kept is not None
    start, end = words.tokenizer.special("start"), words.tokenizer.special("end")
    for row in range(8):
        source = batch.sources[row][batch.source_kept[row]].tolist()
        target = [t for t in batch.targets[row].tolist() if t != IGNORED]
        assert [*reversed(source), end] == target
        assert [start, *target[:-1]] == batch.tokens[row, : len(target)].tolist()
    assert batch.tokens.shape[1] == pair_context(words) == 7


def test_a_word_to_validate_on_is_never_trained_on(words: Corpus) -> None:
    fed = feed(words, recipe_of("sequence", batch=64, evaluation_windows=64))
    trained = sources_of([fed.batches(step) for step in range(20)])
    held_out = sources_of(list(fed.validation()))
    assert len(held_out) == 64
    assert not held_out & trained


def test_running_text_is_gone_on_with(corpus: Corpus) -> None:
    batch = feed(corpus, recipe_of("sequence")).batches(0)
    assert batch.sources is not None
    assert torch.equal(batch.tokens[:, 1:], batch.targets[:, :-1])
    assert batch.tokens[:, 0].tolist() == [corpus.tokenizer.special("start")] * 8
    text = corpus.train.tolist()
    read = [*batch.sources[0].tolist(), *batch.targets[0].tolist()]
    assert any(text[i : i + 32] == read for i in range(len(text) - 31))


@pytest.mark.parametrize("objective", ["next", "masked"])
def test_pairs_are_refused_to_a_model_of_one_stack(words: Corpus, objective: str) -> None:
    with pytest.raises(BadInput, match="holds pairs") as refusal:
        feed(words, recipe_of(objective))
    assert "\n" not in str(refusal.value)


def test_a_context_longer_than_the_text_is_refused_in_one_line(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"{number}.txt").write_text(f"{number} a short text " * 4)
    short = prepare(tmp_path, folder=tmp_path / "tokens")
    with pytest.raises(BadInput, match="context=4096 needs 4097 tokens"):
        feed(short, recipe_of("next", context=4096)).batches(0)
