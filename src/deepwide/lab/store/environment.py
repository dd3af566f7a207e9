"""On what a run was made: versions, processor, threads, this program's commit. Nothing that names a person or host.

Only libraries that are already imported are asked, so that this costs a millisecond and imports nothing.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

LIBRARIES = ("torch", "numpy", "safetensors", "tokenizers", "transformers")
COMMIT = re.compile(r"[0-9a-f]{40,64}")
SOURCES = Path(__file__).parents[4]  # the checkout, where the package is run from one


def environment() -> dict[str, Any]:
    """Versions, platform, processor, cores and threads of this process."""
    return {
        "deepwide": program_version(),
        "commit": commit(SOURCES),
        "python": platform.python_version(),
        **{name: _version_of(name) for name in LIBRARIES if name in sys.modules},
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": _processor(),
        "cores": cores(),
        "threads": _threads(),
        "accelerators": _accelerators(),
    }


def program_version() -> str:
    """The version of this program, or `unknown` where it runs from its sources without being installed."""
    try:
        return version("deepwide")
    except PackageNotFoundError:
        return "unknown"


def commit(sources: Path) -> str | None:
    """The commit that a checkout stands at, read from git's own files; None where there is none."""
    git = sources / ".git"
    try:
        head = (git / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head if COMMIT.fullmatch(head) else None
        ref = head.removeprefix("ref: ")
        if (git / ref).is_file():
            found = (git / ref).read_text().strip()
        else:
            packed = (git / "packed-refs").read_text().splitlines()
            found = next((line.split()[0] for line in packed if line.endswith(f" {ref}")), "")
    except (OSError, ValueError):
        return None
    return found if COMMIT.fullmatch(found) else None


def _version_of(library: str) -> str:
    return str(getattr(sys.modules[library], "__version__", "unknown"))


def _processor() -> str:
    """The model of the processor, as it calls itself."""
    try:
        with Path("/proc/cpuinfo").open() as file:
            found = next((line for line in file if line.startswith("model name")), "")
    except OSError:
        found = ""
    return found.partition(":")[2].strip() or platform.processor() or platform.machine()


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _threads() -> int | None:
    """The threads of a matrix product; None where PyTorch is not there to be asked."""
    torch: Any = sys.modules.get("torch")
    return int(torch.get_num_threads()) if torch is not None else None


def _accelerators() -> list[str]:
    """The accelerators this process has begun to use; to ask for more would start them."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return []
    return [str(torch.cuda.get_device_name(i)) for i in range(torch.cuda.device_count())]
