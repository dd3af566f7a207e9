"""Trials on this machine: a process for each core, of one thread each, which stays for the next trial.

Threads of one process share memory and wait for each other at every operation; small models gain nothing by that. A
process imports PyTorch once. One that is killed costs its trial, which another begins again; one whose parent is gone
saves and ends.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from time import sleep
from types import TracebackType
from typing import Self

from deepwide.lab.sweep.engine import RETRIES, Finished, Job, Work, outcome

ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
PARENT_S = 1.0  # between two looks whether the parent is still there


@dataclass(slots=True, eq=False)
class _Worker:
    process: BaseProcess
    pipe: Connection
    busy: tuple[str, Job] | None = None


class Local:
    """Spawned processes; as a context it ends them all."""

    def __init__(self, work: Work, workers: int) -> None:
        self.work, self.workers = work, workers
        self.all: list[_Worker] = []
        self.lost: Counter[str] = Counter()
        self.stopping = False

    def __enter__(self) -> Self:
        self.all = [self._begun() for _ in range(self.workers)]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for worker in self.all:
            worker.pipe.close()  # one that waits reads the end of it, and goes
            if worker.busy:
                worker.process.terminate()
        for worker in self.all:
            worker.process.join()

    @property
    def capacity(self) -> int:
        """Jobs that run at once."""
        return self.workers

    def submit(self, name: str, job: Job) -> None:
        """Begins a job in a process that has none."""
        self._send(next(worker for worker in self.all if worker.busy is None), name, job)

    def finished(self, timeout_s: float) -> list[Finished]:
        """Jobs that have come to an end; a job whose process died is begun again, a few times."""
        found = []
        ready = set(wait([worker.pipe for worker in self.all if worker.busy], timeout_s))
        for worker in [worker for worker in self.all if worker.pipe in ready]:
            try:
                result, error = worker.pipe.recv()
                name = worker.busy[0] if worker.busy else ""
                worker.busy = None
                found.append(Finished(name=name, result=result, error=error))
            except (EOFError, OSError):
                found += self._replaced(worker)
        return found

    def stop(self) -> None:
        """Asks all that run to save and to end."""
        self.stopping = True
        for worker in self.all:
            if worker.busy:
                worker.process.terminate()

    def _begun(self) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, self.work, os.getpid()), daemon=True)
        before = {name: os.environ.get(name) for name in ONE_THREAD}
        os.environ.update(dict.fromkeys(ONE_THREAD, "1"))  # read when a library is loaded, so set before it starts
        try:
            process.start()
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})
        theirs.close()
        return _Worker(process=process, pipe=ours)

    def _send(self, worker: _Worker, name: str, job: Job) -> None:
        worker.busy = (name, job)
        with suppress(OSError):  # it died while it waited: the next look at it finds that
            worker.pipe.send(job)

    def _replaced(self, dead: _Worker) -> list[Finished]:
        """Another process for one that died, with its job, unless that has cost too many already."""
        dead.process.join()
        name, job = dead.busy or ("", {})
        fresh = self.all[self.all.index(dead)] = self._begun()
        self.lost[name] += 1
        if self.stopping or self.lost[name] > RETRIES:
            return [Finished(name=name, error=f"its process died (exit code {dead.process.exitcode})")]
        self._send(fresh, name, job)
        return []


def _serve(pipe: Connection, work: Work, parent: int) -> None:
    """One job after the other, until there is nobody to ask for more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process: the first one answers it
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    while True:
        try:
            job = pipe.recv()
            pipe.send(outcome(work, job))
        except (EOFError, OSError):
            return


def _end_with(parent: int) -> None:
    """Asks this process to save and to end when its parent is gone, as Ctrl-C would."""
    while os.getppid() == parent:
        sleep(PARENT_S)
    os.kill(os.getpid(), signal.SIGTERM)
