"""The device that the lab computes on: which one it is, what it holds, when it is done, how long work takes on it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import torch


def usual_device() -> torch.device:
    """What models are put on where nothing else is asked: an accelerator if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def memory_bytes(device: torch.device) -> int:
    """Bytes that it has in all."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[1])
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def settled(device: torch.device) -> None:
    """Waits until an accelerator has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(
    work: Callable[[], object], device: torch.device, clock: Callable[[], float] = time.perf_counter
) -> float:
    """What the work takes from a device that is done with everything before to one that is done with this."""
    settled(device)
    began = clock()
    work()
    settled(device)
    return clock() - began


def least_s(work: Callable[[], object], device: torch.device, budget_s: float) -> float:
    """The least of as many repetitions as the time allows, three at least: what a kernel alone takes."""
    least, count, ends = float("inf"), 0, time.perf_counter() + budget_s
    while time.perf_counter() < ends or count < 3:
        least, count = min(least, seconds_of(work, device)), count + 1
    return least
