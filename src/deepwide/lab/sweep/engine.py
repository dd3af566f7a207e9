"""What a sweep asks of an engine: take a job, tell of those that are finished, stop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

Job = Mapping[str, Any]  # plain values: a job may travel to another machine
Work = Callable[[Job], dict[str, Any]]
RETRIES = 3  # times that a job is begun again because its process or its machine was lost


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A job that came to an end: with a result, or with the words of an error."""

    name: str
    result: dict[str, Any] | None = None
    error: str = ""


class Engine(Protocol):
    """Processes of one thread each; a job that loses its process is begun again on another."""

    @property
    def capacity(self) -> int:
        """Jobs that run at once."""

    def submit(self, name: str, job: Job) -> None:
        """Begins a job; there is to be room for it."""

    def finished(self, timeout_s: float) -> list[Finished]:
        """Jobs that have come to an end; none where that takes longer than the timeout."""

    def stop(self) -> None:
        """Asks all that run to save and to end; they are finished soon after."""


def outcome(work: Work, job: Job) -> tuple[dict[str, Any] | None, str]:
    """A job's result, or the words of its error: what goes wrong in one is a row of the sweep, not its end."""
    try:
        return work(job), ""
    except Exception as error:
        return None, " ".join(f"{error}".split()) or type(error).__name__
