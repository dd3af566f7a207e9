"""Trials on a Ray cluster: a task of one core each. A node that is lost costs its trials, which Ray begins again.

What a task returns travels back through Ray. The folder of runs has to be one that all nodes see (a shared disk) where
a trial is to go on from its checkpoint on another node; where it is not, the trial is done again from its start.
"""

from __future__ import annotations

import logging
import os
from types import TracebackType
from typing import Any, Self

from deepwide.errors import BadInput
from deepwide.lab.sweep.engine import RETRIES, Finished, Job, Work, outcome


class Cluster:
    """Tasks of the cluster at an address, of the one that RAY_ADDRESS names, or of one on this machine alone."""

    def __init__(self, work: Work, workers: int, address: str = "") -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        self.ray, self.workers = _imported(), workers
        self.address = address or os.environ.get("RAY_ADDRESS")
        self.work, self.running, self.ours = work, dict[Any, str](), False

    def __enter__(self) -> Self:
        ray = self.ray
        if not ray.is_initialized():
            alone: dict[str, Any] = {} if self.address else {"num_cpus": self.workers, "include_dashboard": False}
            try:
                ray.init(address=self.address, logging_level=logging.ERROR, log_to_driver=False, **alone)
            except (ConnectionError, ValueError) as error:
                raise BadInput(f"address={self.address!r}: no Ray cluster answers there ({error})") from None
            self.ours = True
        self.task = ray.remote(num_cpus=1, max_retries=RETRIES)(outcome).options(retry_exceptions=False)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
        if self.ours:
            self.ray.shutdown()

    @property
    def capacity(self) -> int:
        """Cores of the nodes that are there now."""
        return max(1, int(self.ray.cluster_resources().get("CPU", self.workers)))

    def submit(self, name: str, job: Job) -> None:
        """Begins a job as a task of the cluster."""
        self.running[self.task.remote(self.work, dict(job))] = name

    def finished(self, timeout_s: float) -> list[Finished]:
        """Tasks that have come to an end; a lost node's are begun again by Ray."""
        ready, _ = self.ray.wait(list(self.running), num_returns=1, timeout=timeout_s) if self.running else ([], [])
        return [self._fetched(each, self.running.pop(each)) for each in ready]

    def stop(self) -> None:
        """Asks all tasks to save and to end."""
        for each in self.running:
            self.ray.cancel(each, force=False)

    def _fetched(self, task: Any, name: str) -> Finished:
        try:
            result, error = self.ray.get(task)
        except self.ray.exceptions.RayError as lost:
            return Finished(name=name, error=f"lost on the cluster: {' '.join(str(lost).split())[:200]}")
        return Finished(name=name, result=result, error=error)


def _imported() -> Any:
    """Ray, which has types for some of its parts alone."""
    from importlib import import_module

    try:
        return import_module("ray")
    except ImportError:
        raise BadInput("engine='ray' needs Ray: pip install 'deepwide[ray]'") from None
