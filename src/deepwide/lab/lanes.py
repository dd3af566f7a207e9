"""Lanes: parts of a batch computed side by side, each in a Python thread that has a core of its own.

A small product gains little from two cores, for they wait for each other at the end of every operation; on a busy
machine they wait long. Two halves of a batch, each on its core, wait once a step. PyTorch gives up Python's lock while
it computes, and compiled layers hold it for a moment only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


class Lanes:
    """`count` threads with `threads` cores each; one alone is the calling thread itself."""

    def __init__(self, count: int = 1, threads: int = 1) -> None:
        self.count, self._warm = count, False
        # OpenMP keeps a number of threads for each thread that starts some.
        self._pool = ThreadPoolExecutor(count, "lane", torch.set_num_threads, (threads,)) if count > 1 else None

    def map(self, work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """The results in the order of the items. The first time they take turns: what is compiled is compiled once."""
        if self._pool is None:
            return [work(item) for item in items]
        if not self._warm:
            self._warm = True
            return [self._pool.submit(work, item).result() for item in items]
        return list(self._pool.map(work, items))
