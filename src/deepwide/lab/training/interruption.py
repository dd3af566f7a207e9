"""A stop that is asked for from outside, by Ctrl-C or by the system, takes effect between two steps."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Within it, tells whether a stop was asked for. A second request does at once what the first would have done.

    Signals reach the main thread alone; in another one nothing is ever asked for.
    """
    asked = threading.Event()
    before: dict[int, Any] = {}

    def ask(number: int, frame: FrameType | None) -> None:
        asked.set()
        signal.signal(number, before[number])

    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    try:
        for number in SIGNALS:
            before[number] = signal.getsignal(number)
            signal.signal(number, ask)
        yield asked.is_set
    finally:
        for changed, handler in before.items():
            signal.signal(changed, handler)
