"""Tables of n-grams read by hash (Qwen4): each head's has a prime number of rows, so that hashes spread."""

from __future__ import annotations

from functools import cache

from deepwide.architecture.extras import Convolution, Linear, Table
from deepwide.architecture.model import Small
from deepwide.architecture.parts import RMS, NormLayer
from deepwide.errors import BadInput
from deepwide.formats.fields import Fields
from deepwide.formats.readers.layer_lists import indices
from deepwide.formats.readers.layer_sizes import MOST_VARIANTS
from deepwide.units import Num

MOST_TABLES = 4096  # far above any published model; bounds the search for primes
# With these bases the test of Miller and Rabin is exact below 3.3e24 (Sorenson and Webster 2015, arXiv:1509.00864).
BASES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41)


def ngram_layers(c: Fields) -> list[int]:
    """The layers with tables of n-grams, counted from 1."""
    layers = sorted(set(indices(c, "ple_layer_ids")))
    if len(layers) > MOST_VARIANTS:
        raise BadInput(f"{c.where}: ple_layer_ids has {len(layers)} entries, more than {MOST_VARIANTS}")
    return layers


def ngram_parts(c: Fields, index: int, width: Num) -> tuple[Small, ...]:
    """The `index`-th table, keys and values from what it says, and a convolution; `width` is that of all streams."""
    dim, rows = _table_shape(c, index)
    embed = c.number("ple_embed_dim", c.number("hidden"))
    return (
        Table(name="ngrams", rows=rows, width=dim),
        Linear(name="ngram_key", inputs=embed, outputs=width),
        Linear(name="ngram_value", inputs=embed),
        *(NormLayer(norm=RMS, name=f"ngram_{role}_norm", width=width) for role in ("key", "query", "convolution")),
        Convolution(name="ngram_convolution", channels=width, kernel=c.number("ple_conv_kernel_size")),
    )


def _table_shape(c: Fields, index: int) -> tuple[int, int]:
    """Width and rows of the `index`-th table: the primes from `ngram_vocab_size_base` on, one per head, padded."""
    heads = (c.number("ngram_size") - 1) * c.number("heads_per_ngram")
    embed = c.number("ple_embed_dim", c.number("hidden"))
    if heads < 1 or embed % heads or heads * (index + 1) > MOST_TABLES:
        raise BadInput(
            f"{c.where}: (ngram_size - 1) * heads_per_ngram={heads} must divide ple_embed_dim={embed}, "
            f"and all heads together be at most {MOST_TABLES}"
        )
    sizes = primes_from(c.number("ngram_vocab_size_base"), heads * (index + 1))[heads * index :]
    multiple = c.positive("make_ngram_vocab_size_divisible_by", 1)
    return embed // heads, -(-sum(sizes) // multiple) * multiple


@cache
def primes_from(start: int, count: int) -> tuple[int, ...]:
    """The first `count` primes that are at least `start`.

    >>> primes_from(20, 3)
    (23, 29, 31)
    """
    found: list[int] = []
    number = max(start, 2)
    while len(found) < count:
        if is_prime(number):
            found.append(number)
        number += 1
    return tuple(found)


def is_prime(number: int) -> bool:
    """Whether a number is prime, by the test of Miller and Rabin."""
    if number < 2 or any(number % base == 0 for base in BASES):
        return number in BASES
    twos = ((number - 1) & (1 - number)).bit_length() - 1
    odd = (number - 1) >> twos
    return all(_passes(number, base, odd, twos) for base in BASES)


def _passes(number: int, base: int, odd: int, twos: int) -> bool:
    power = pow(base, odd, number)
    if power in (1, number - 1):
        return True
    for _ in range(twos - 1):
        power = power * power % number
        if power == number - 1:
            return True
    return False
