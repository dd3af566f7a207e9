"""Where a search runs: on the cores of this machine, or on a Ray cluster. The result is the same.

A shard is every n-th block of the space. On a cluster a worker that is lost costs its shards, which are run again.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from threading import active_count
from typing import Any

from deepwide.design.pricing import Purpose
from deepwide.design.search import Tally, merged, tally
from deepwide.errors import BadInput, did_you_mean

Progress = Callable[[int], None]
WORKERS = 2
SHARDS_PER_WORKER = 16  # progress is told as they come in, and an interrupt waits for the one at hand
SHARDS_PER_CPU = 4  # on a cluster: small enough that a lost one is soon made up for
RETRIES = 5


def searched(
    purpose: Purpose, engine: str = "local", workers: int = WORKERS, progress: Progress = lambda n: None
) -> Tally:
    """The whole space, by the engine of that name; `progress` is told how many shapes have been looked at."""
    if engine not in ENGINES:
        raise BadInput(f"engine={engine!r} is unknown{did_you_mean(str(engine), ENGINES)}; known: {', '.join(ENGINES)}")
    return ENGINES[engine](purpose, workers, progress)


def _local(purpose: Purpose, workers: int, progress: Progress) -> Tally:
    """Workers of this machine, as many as it has cores for."""
    workers = max(1, min(workers, os.cpu_count() or 1))
    count, counted = SHARDS_PER_WORKER * workers, 0
    with _pool(workers) as pool:
        shards = [pool.submit(tally, purpose, n, count) for n in range(count)]
        try:
            for shard in as_completed(shards):
                counted += shard.result().counted
                progress(counted)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        return merged(shard.result() for shard in shards)


def _pool(workers: int) -> Executor:
    """Forked processes, where there is nothing that a fork could tear; else threads, 0.6 times as fast.

    Threads wait for the interpreter's lock nearly half of the time.
    """
    if workers > 1 and active_count() == 1 and "fork" in multiprocessing.get_all_start_methods():
        return ProcessPoolExecutor(workers, multiprocessing.get_context("fork"), initializer=_left_to_the_parent)
    return ThreadPoolExecutor(workers)


def _left_to_the_parent() -> None:
    """An interrupt of the terminal reaches every process: the first one answers it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _ray(purpose: Purpose, workers: int, progress: Progress) -> Tally:
    """Tasks of the Ray cluster that RAY_ADDRESS names, or of one on this machine."""
    ray = _imported()
    if not ray.is_initialized():
        ray.init(address=os.environ.get("RAY_ADDRESS"), logging_level=logging.ERROR, log_to_driver=False)
    shards = SHARDS_PER_CPU * max(1, int(ray.cluster_resources().get("CPU", workers)))
    run = ray.remote(num_cpus=1, max_retries=RETRIES)(tally)
    shared = ray.put(purpose)
    return merged(_finished(ray, [run.remote(shared, n, shards) for n in range(shards)], progress))


def _imported() -> Any:
    """Ray, which has types for some of its parts alone."""
    from importlib import import_module

    try:
        return import_module("ray")
    except ImportError:
        raise BadInput("engine='ray' needs Ray: pip install 'deepwide[ray]'") from None


def _finished(ray: Any, waiting: list[Any], progress: Progress) -> Iterator[Tally]:
    """Tallies in the order of their shards, told as they come in."""
    order, counted, done = list(waiting), 0, {}
    while waiting:
        ready, waiting = ray.wait(waiting, num_returns=1)
        for each in ready:
            done[each] = ray.get(each)
            counted += done[each].counted
            progress(counted)
    yield from (done[each] for each in order)


ENGINES: dict[str, Callable[[Purpose, int, Progress], Tally]] = {"local": _local, "ray": _ray}
