"""Data to train on: text of any kind as tokens on the disk, and batches that depend on the seed and the step alone."""

from deepwide.lab.data.batches import IGNORED, batch, masked, unigram_entropy, validation_batches
from deepwide.lab.data.corpus import Corpus, prepare
from deepwide.lab.data.pairs import (
    PairBatch,
    Pairs,
    continuation_batch,
    continuation_validation_batches,
    pair_batch,
    pair_validation_batches,
    pairs_of,
)
from deepwide.lab.data.tokenizer import Tokenizer
from deepwide.lab.data.tokenizer_files import byte_tokenizer
from deepwide.lab.data.tokenizer_files import load as load_tokenizer

__all__ = [
    "IGNORED",
    "Corpus",
    "PairBatch",
    "Pairs",
    "Tokenizer",
    "batch",
    "byte_tokenizer",
    "continuation_batch",
    "continuation_validation_batches",
    "load_tokenizer",
    "masked",
    "pair_batch",
    "pair_validation_batches",
    "pairs_of",
    "prepare",
    "unigram_entropy",
    "validation_batches",
]
