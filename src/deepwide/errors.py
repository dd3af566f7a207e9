"""The one error a user can cause: bad input, told in one line with the way out."""

from __future__ import annotations

from collections.abc import Iterable


class BadInput(ValueError):
    """Input that cannot be used. The message names the field, the value, what was expected and the way out."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A short hint naming the nearest known words, or an empty string when nothing is near.

    >>> did_you_mean("lama", ["llama", "gpt2"])
    '; did you mean llama?'
    """
    from difflib import get_close_matches

    near = get_close_matches(word.lower(), list(known), n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(near)}?" if near else ""
