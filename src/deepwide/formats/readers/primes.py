"""Prime numbers from a given one on: the sizes of hashed tables, which families choose prime so that hashes spread."""

from __future__ import annotations

from functools import cache

# With these bases the test of Miller and Rabin is exact below 3.3e24 (Sorenson and Webster 2015, arXiv:1509.00864).
BASES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41)


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
