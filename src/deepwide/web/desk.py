"""Where questions are answered: in worker threads, away from the event loop, once for all who ask the same.

An answer is kept as the bytes that are sent. Whatever a question is, what comes back is an answer or one line.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias

from anyio import CapacityLimiter, to_thread

from deepwide.answers.shelf import Shelf as Shelved
from deepwide.answers.shelf import only_from
from deepwide.errors import BadInput
from deepwide.web.asked import Asked
from deepwide.web.shelf import Shelf

THREADS = 4  # answers at once: more of them would only wait for the interpreter's lock
MOST_KEPT_BYTES = 32 * 2**20
Answering: TypeAlias = "Callable[[], Mapping[str, Any]]"
Key: TypeAlias = "tuple[str, str]"  # the kind of question, and what is asked


class Desk:
    """The configs that clients sent, and the answers that were given."""

    def __init__(self) -> None:
        self.shelf = Shelf()
        self._asked: dict[Key, asyncio.Task[bytes]] = {}
        self._kept: OrderedDict[Key, bytes] = OrderedDict()
        self._kept_bytes = 0
        self._threads = CapacityLimiter(THREADS)

    async def answer(self, question: Asked, answering: Answering, *models: str) -> bytes:
        """The answer as JSON; BadInput where there is none. `models` are the MODELs that it names."""
        key = (type(question).__name__, question.model_dump_json())
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        if key not in self._asked:
            self._asked[key] = asyncio.create_task(self._worked_out(key, answering, self.shelf.configs(*models)))
        return await asyncio.shield(self._asked[key])  # who leaves does not take it from the others

    async def _worked_out(self, key: Key, answering: Answering, configs: Shelved) -> bytes:
        try:
            told = await to_thread.run_sync(partial(answered, answering, configs), limiter=self._threads)
            self._keep(key, told)
            return told
        finally:
            del self._asked[key]

    def _keep(self, key: Key, told: bytes) -> None:
        self._kept_bytes += len(told) - len(self._kept.get(key, b""))
        self._kept[key] = told
        while self._kept_bytes > MOST_KEPT_BYTES:
            self._kept_bytes -= len(self._kept.popitem(last=False)[1])


def answered(answering: Answering, configs: Shelved) -> bytes:
    """One question answered, with no model but the catalogue's and these in reach."""
    try:
        with only_from(configs):
            return json.dumps(answering(), allow_nan=False, separators=(",", ":")).encode()
    except BadInput:
        raise
    except (ArithmeticError, MemoryError, RecursionError, ValueError) as error:  # a number that is none, or too long
        raise BadInput(f"this question comes to no number ({error}); give smaller sizes") from error
