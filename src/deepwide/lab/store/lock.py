"""Who may write a run: one process at a time, and none any more once it is dead.

The lock is the kernel's (POSIX record lock on ROOT/NAME/.lock): it goes when its process ends, however it ends, and a
forked child does not keep it alive. The kernel also tells who holds it, so that asking takes no lock and disturbs
nobody. A process holds a run once: its own threads and callers are kept apart by the set of what it holds.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deepwide.errors import BadInput
from deepwide.lab.store.files import shown

LOCK = ".lock"
TAKEN = (errno.EACCES, errno.EAGAIN)
APPLE = sys.platform == "darwin"
FLOCK = "qqihh" if APPLE else "hhqqi"  # struct flock: type, whence, start, length, pid; on macOS the numbers first
_held: dict[
    str, int
] = {}  # the runs that this process writes, by path -> the process: a forked child inherits the dict
_holding = threading.Lock()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the run of this folder; BadInput says at once who holds it already."""
    with _held_once(folder):
        try:
            descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise BadInput(f"{shown(folder)} cannot be written: {error.strerror}; choose another --root") from None
        try:
            _take(descriptor, folder)
            yield
        finally:
            os.close(descriptor)  # and with it goes the lock


def writer(folder: Path) -> int | None:
    """The process that writes this run now; None where there is none. Takes no lock.

    Where this process is the writer the file is not even opened: closing it would let the lock go.
    """
    if _held.get(os.path.realpath(folder)) == os.getpid():
        return os.getpid()
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        return _holder(descriptor)
    except OSError:  # a file system without locks
        return None
    finally:
        os.close(descriptor)


@contextmanager
def _held_once(folder: Path) -> Iterator[None]:
    """Keeps the threads of this process apart, which the kernel's lock does not."""
    key, process = os.path.realpath(folder), os.getpid()
    with _holding:
        if _held.get(key) == process:
            raise _busy(folder, process)
        _held[key] = process
    try:
        yield
    finally:
        del _held[key]


def _take(descriptor: int, folder: Path) -> None:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in TAKEN:
            raise _busy(folder, _holder(descriptor)) from None
        raise BadInput(
            f"{shown(folder)} cannot be locked: {error.strerror}; choose a --root on a file system with locks"
        ) from None


def _holder(descriptor: int) -> int | None:
    """The process whose lock is in the way of ours, by the kernel's word."""
    numbers = (0, 0, 0)
    kind = (fcntl.F_WRLCK, os.SEEK_SET)
    asked = struct.pack(FLOCK, *numbers, *kind) if APPLE else struct.pack(FLOCK, *kind, *numbers)
    told = struct.unpack(FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
    found, process = (told[3], told[2]) if APPLE else (told[0], told[4])
    return None if found == fcntl.F_UNLCK else int(process)


def _busy(folder: Path, process: int | None) -> BadInput:
    by = f"process {process}" if process and process > 0 else "another process"
    return BadInput(f"run {folder.name} is being written by {by}; wait, or choose another --name")
