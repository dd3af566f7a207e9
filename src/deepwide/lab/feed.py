"""What a training reads: batches of a corpus, cut for an objective, as functions of the step alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from deepwide.errors import BadInput
from deepwide.lab.data import (
    Corpus,
    PairBatch,
    batch,
    continuation_batch,
    continuation_validation_batches,
    masked,
    pair_batch,
    pair_validation_batches,
    pairs_of,
    validation_batches,
)
from deepwide.lab.training.objective import Batch, batch_of, next_token
from deepwide.lab.training.recipe import Recipe

VALIDATION_SEED = 2**62  # of the masks that validation hides tokens by: the same ones every time


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """The batch of each step, and the batches of a validation."""

    batches: Callable[[int], Batch]
    validation: Callable[[], Iterator[Batch]]


def feed(corpus: Corpus, recipe: Recipe) -> Feed:
    """The batches that a recipe asks of a corpus."""
    if (corpus.kind == "pairs") and recipe.objective != "sequence":
        raise BadInput(f"data={corpus.source!r} holds pairs, which objective={recipe.objective!r} cannot learn")
    if recipe.objective == "next":
        return _next(corpus, recipe)
    if recipe.objective == "masked":
        return _masked(corpus, recipe)
    return _pairs(corpus, recipe) if corpus.kind == "pairs" else _continuations(corpus, recipe)


def _limit(recipe: Recipe) -> int:
    """Batches of a validation."""
    return max(1, -(-recipe.evaluation_windows // recipe.batch))


def _next(corpus: Corpus, recipe: Recipe) -> Feed:
    context, size = recipe.context, recipe.batch

    def at(step: int) -> Batch:
        return next_token(batch(corpus.train, context=context, batch=size, seed=recipe.seed, step=step))

    def validation() -> Iterator[Batch]:
        windows = validation_batches(corpus.validation, context=context, batch=size, limit=_limit(recipe))
        return (next_token(rows) for rows in windows)

    return Feed(batches=at, validation=validation)


def _masked(corpus: Corpus, recipe: Recipe) -> Feed:
    context, size = recipe.context, recipe.batch
    mask, specials = corpus.tokenizer.special("mask"), corpus.tokenizer.special_ids
    hidden = partial(masked, mask=mask, vocab=corpus.vocab, specials=specials)

    def at(step: int) -> Batch:
        rows = batch(corpus.train, context=context, batch=size, seed=recipe.seed, step=step)
        tokens, targets = hidden(rows[:, :context], seed=recipe.seed, step=step)
        return batch_of(tokens=tokens, targets=targets)

    def validation() -> Iterator[Batch]:
        windows = validation_batches(corpus.validation, context=context, batch=size, limit=_limit(recipe))
        for step, rows in enumerate(windows):
            tokens, targets = hidden(rows[:, :context], seed=VALIDATION_SEED, step=step)
            yield batch_of(tokens=tokens, targets=targets)

    return Feed(batches=at, validation=validation)


def _pairs(corpus: Corpus, recipe: Recipe) -> Feed:
    training = pairs_of(corpus.train, corpus.tokenizer)
    held_out = pairs_of(corpus.validation, corpus.tokenizer)

    def at(step: int) -> Batch:
        return _paired(pair_batch(training, batch=recipe.batch, seed=recipe.seed, step=step))

    def validation() -> Iterator[Batch]:
        return map(_paired, pair_validation_batches(held_out, batch=recipe.batch, limit=_limit(recipe)))

    return Feed(batches=at, validation=validation)


def _continuations(corpus: Corpus, recipe: Recipe) -> Feed:
    cut = {"source_context": recipe.context, "context": recipe.context, "start": corpus.tokenizer.special("start")}

    def at(step: int) -> Batch:
        return _paired(continuation_batch(corpus.train, **cut, batch=recipe.batch, seed=recipe.seed, step=step))

    def validation() -> Iterator[Batch]:
        pieces = continuation_validation_batches(corpus.validation, **cut, batch=recipe.batch, limit=_limit(recipe))
        return map(_paired, pieces)

    return Feed(batches=at, validation=validation)


def _paired(pair: PairBatch) -> Batch:
    return batch_of(tokens=pair.inputs, targets=pair.targets, sources=pair.sources, source_kept=pair.source_kept)


def pair_context(corpus: Corpus) -> int:
    """The longest target of a corpus of pairs: the context that its batches have."""
    return pairs_of(corpus.train, corpus.tokenizer).context
