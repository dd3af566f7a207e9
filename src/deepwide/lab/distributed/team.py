"""The processes that work on one model: who they are, how they agree, and how they stop together.

They are started by `torchrun`, or anything else that sets RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT.
The first of them, the leader, alone prints and writes. Where one fails, the others stop at their next exchange; the one
that failed first says why, and the others are silent.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.distributed_c10d import Store
from torch.distributed.rendezvous import rendezvous

from deepwide.errors import BadInput
from deepwide.lab.distributed.layout import WAYS, Layout, fitted

TIMEOUT_S = 1800.0  # of one exchange: longer than the leader takes to write the largest checkpoint
FIRST_FAILURE = "deepwide/first_failure"
GONE = ("connection", "closed by peer", "reset by peer", "broken pipe", "timed out", "timeout", "nccl", "gloo")


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """This process among those that train one model. `mesh` has a dimension for each way of the layout.

    leader    whether this is the process that prints, holds the run's lock and writes its files
    """

    layout: Layout
    device: torch.device
    rank: int = 0
    mesh: DeviceMesh | None = None

    @property
    def leader(self) -> bool:
        """Whether this is the first process."""
        return self.rank == 0

    @property
    def data_rank(self) -> int:
        """Which part of a batch's rows is this process's."""
        return self.place("dp") * self.layout.fsdp + self.place("fsdp")

    def place(self, way: str) -> int:
        """Where this process stands in one direction of the layout."""
        return 0 if self.mesh is None else self.mesh.get_local_rank(way)

    def group(self, way: str) -> dist.ProcessGroup:
        """The processes that differ from this one in that direction alone."""
        assert self.mesh is not None
        return self.mesh.get_group(way)

    def summed(self, x: Tensor, ways: Iterable[str]) -> Tensor:
        """Adds up `x`, in place, over the processes in these directions."""
        for way in ways:
            if getattr(self.layout, way) > 1:
                dist.all_reduce(x, group=self.group(way))
        return x

    def shared(self, value: Any, source: int = 0) -> Any:
        """What the process `source` has, for all; anything that JSON can write. The others' own value is ignored."""
        if self.mesh is None:
            return value
        text = json.dumps(value).encode() if self.rank == source else b""
        length = torch.tensor([len(text)])
        dist.broadcast(length, source)
        letters = torch.frombuffer(bytearray(text), dtype=torch.uint8) if text else torch.empty(0, dtype=torch.uint8)
        if self.rank != source:
            letters = torch.empty(int(length), dtype=torch.uint8)
        dist.broadcast(letters, source)
        return json.loads(bytes(letters.tolist()))

    def any_of(self, *flags: bool) -> tuple[bool, ...]:
        """Each flag as true for all where it is true for one."""
        if self.mesh is None:
            return flags
        raised = torch.tensor([int(flag) for flag in flags])
        dist.all_reduce(raised, dist.ReduceOp.MAX)
        return tuple(bool(flag) for flag in raised.tolist())

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        """What stands within is done by the leader, and after that by the others: they find the files it made."""
        if self.leader:
            yield
        self.any_of(False)
        if not self.leader:
            yield


@contextmanager
def started(layout: Layout | None = None, *, device: str | None = None, timeout_s: float = TIMEOUT_S) -> Iterator[Team]:
    """Within it, the processes that torchrun started are a team; one process alone is a team as well.

    layout       how they share the model; when left out each has all of it and a part of the batch
    device       "cpu" or "cuda"; when left out CUDA where there is one, one device per process
    timeout_s    how long a process waits for another before it gives up
    """
    processes = int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1
    chosen, own = fitted(layout, processes), _own_device(device)
    if processes == 1:
        yield Team(layout=chosen, device=own)
        return
    rank = int(os.environ["RANK"])
    store = next(iter(rendezvous("env://", timeout=timedelta(seconds=timeout_s))))[0]
    with _failing_together(store, rank):
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if own.type == "cuda" else "gloo",
            store=store,
            rank=rank,
            world_size=processes,
            timeout=timedelta(seconds=timeout_s),
        )
        try:
            ways = tuple(getattr(chosen, way) for way in WAYS)
            mesh = init_device_mesh(own.type, ways, mesh_dim_names=WAYS)
            yield Team(layout=chosen, device=own, rank=rank, mesh=mesh)
        finally:
            dist.destroy_process_group()


def _own_device(asked: str | None) -> torch.device:
    """The device of this process: its own of those that the machine has."""
    kind = asked or ("cuda" if torch.cuda.is_available() else "cpu")
    if kind == "cpu":
        return torch.device("cpu")
    local, there = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if kind != "cuda" or local >= there:
        raise BadInput(
            f"device={kind!r} for process {local} of this machine, which has {there} CUDA devices: start as many "
            "processes as it has, or use device=cpu"
        )
    torch.cuda.set_device(local)
    return torch.device("cuda", local)


@contextmanager
def _failing_together(store: Store, rank: int) -> Iterator[None]:
    """Lets the process that failed first say why, and makes a lost connection a message in one line."""
    try:
        yield
    except Exception as error:
        lost = isinstance(error, RuntimeError) and _tells_of_loss(error)
        if not _is_first(store, rank):
            sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 # for the few lines until this process ends
        if lost:
            raise BadInput(
                f"process {rank} lost another one that trains with it: that one died, hangs or cannot be reached; "
                "checkpoints are as they were: start the same processes again and resume"
            ) from error
        raise


def _is_first(store: Store, rank: int) -> bool:
    """Whether no other process has failed before this one; yes where nobody can be asked."""
    try:
        return bytes(store.compare_set(FIRST_FAILURE, "", str(rank))) == str(rank).encode()
    except RuntimeError:
        return True


def _tells_of_loss(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, speaks of a connection rather than of a computation."""
    while error is not None:
        if isinstance(error, dist.DistError) or any(word in str(error).lower() for word in GONE):
            return True
        error = error.__cause__ or error.__context__
    return False
