"""Processes that talk: how long a sum over two of them takes, by gloo on processors and nccl on accelerators.

Each is a Python of its own that runs this module.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import distributed

from deepwide.lab.device import seconds_of

SMALL, LARGE = 256, 2**20  # elements of fp32
TURNS = 16
LONGEST_S = 30.0
PACKAGES = Path(__file__).parents[3]  # where the package lies


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A sum over two processes: the time before the first byte, and the bytes in a second of one direction."""

    backend: str
    start_s: float
    bytes_per_s: float


def exchange(accelerated: bool = False) -> Exchange | None:
    """Measures it in about four seconds; None where two processes do not find each other.

    t = start + 2 (n - 1) / n * bytes / rate, with n = 2
    """
    if accelerated and torch.cuda.device_count() < 2:
        return None
    backend = "nccl" if accelerated else "gloo"
    paths = os.pathsep.join([str(PACKAGES), *filter(None, [os.environ.get("PYTHONPATH")])])
    around = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        told = str(Path(folder) / "told")
        command = [sys.executable, "-m", __name__, backend, str(Path(folder) / "store"), told]
        members = [
            subprocess.Popen([*command, rank], env=around, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for rank in ("0", "1")
        ]
        if not _ended(members):
            return None
        start_s, large_s = json.loads(Path(told).read_text())
    return Exchange(backend=backend, start_s=start_s, bytes_per_s=4 * LARGE / max(large_s - start_s, 1e-9))


def _ended(members: list[subprocess.Popen[bytes]]) -> bool:
    """Whether all ended well in time; none is left running."""
    try:
        return [member.wait(LONGEST_S) for member in members] == [0] * len(members)
    except subprocess.TimeoutExpired:
        return False
    finally:
        for member in members:
            member.kill()
            member.wait()


def member(backend: str, store: str, told: str, rank: int) -> None:
    """One of the two; the first writes down what it measured."""
    device = torch.device("cuda", rank) if backend == "nccl" else torch.device("cpu")
    distributed.init_process_group(backend, init_method=f"file://{store}", rank=rank, world_size=2)
    times = [_quartile_s(elements, device) for elements in (SMALL, LARGE)]
    distributed.destroy_process_group()
    if rank == 0:
        Path(told).write_text(json.dumps(times))


def _quartile_s(elements: int, device: torch.device) -> float:
    summed = torch.zeros(elements, device=device)
    return sorted(seconds_of(lambda: distributed.all_reduce(summed), device) for _ in range(TURNS))[TURNS // 4]


if __name__ == "__main__":
    member(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
