"""Tasks made up on the spot: copy a word, or write it backwards. What a model has to learn is known exactly.

`copy:8` has words of 4 to 8 letters out of 16, `reverse:12:26` of 6 to 12 letters out of 26. No word is there twice, so
a word to validate on was never trained on. As tokens: word, `start`, answer, `end`; a decoder alone can learn it, too.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass

import numpy as np

from deepwide.errors import BadInput
from deepwide.lab.data.draws import draws

TASKS = ("copy", "reverse")
LETTERS = string.ascii_letters + string.digits
SHAPE = re.compile(r"(copy|reverse)(?::(\d{1,4}))?(?::(\d{1,4}))?", re.ASCII)
LENGTH, SYMBOLS = 8, 16
LONGEST = 128
WORDS = 50_000
LEAST_WORDS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is done to words, how long they are at most, and of how many letters they are made."""

    name: str
    length: int
    symbols: int

    def answer(self, word: str) -> str:
        """What is to be written for a word."""
        return word if self.name == "copy" else word[::-1]


def task_of(source: str) -> Task | None:
    """The task that a source names; None where it names none."""
    if source.partition(":")[0] not in TASKS:
        return None
    asked = SHAPE.fullmatch(source)
    length, symbols = (int(asked[2] or LENGTH), int(asked[3] or SYMBOLS)) if asked else (0, 0)
    if not 1 <= length <= LONGEST or not 2 <= symbols <= len(LETTERS):
        raise BadInput(
            f"data={source[:60]!r} must be TASK[:LENGTH[:SYMBOLS]] with a length from 1 to {LONGEST} and 2 to "
            f"{len(LETTERS)} symbols, as in copy:8:16 (for a file of this name, write ./{source[:60]})"
        )
    return Task(name=asked[1] if asked else "", length=length, symbols=symbols)


def words(task: Task, seed: int) -> list[str]:
    """Distinct words in an order without meaning, the same for the same seed; fewer where there are not so many."""
    shortest = max(1, task.length // 2)
    drawn = draws(seed, 0, purpose="words", rows=WORDS, columns=task.length + 1)
    lengths = shortest + drawn[:, 0] % np.uint64(task.length - shortest + 1)
    letters = np.array(list(LETTERS))[(drawn[:, 1:] % np.uint64(task.symbols)).astype(np.int64)]
    found = list(dict.fromkeys("".join(row[: int(n)]) for row, n in zip(letters.tolist(), lengths, strict=True)))
    if len(found) < LEAST_WORDS:
        raise BadInput(
            f"data={task.name}:{task.length}:{task.symbols} has {len(found)} words only, fewer than {LEAST_WORDS}; "
            "take a larger length or more symbols"
        )
    return found
