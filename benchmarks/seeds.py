"""What several seeds say together: runs that are trained once and kept, and differences with their intervals."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from math import sqrt
from typing import Any

from scipy.stats import t

from deepwide.answers.runs import run
from deepwide.answers.train import resume
from deepwide.lab.store import RunSummary, run_names

SURE = 0.95
KERNELS: dict[str, Any] = {"dtype": "fp32", "matmul": "default", "attention": "bmm", "threads": 1, "lanes": 1}


def options(doc: str | None) -> argparse.ArgumentParser:
    """Where the runs lie, and how many seeds each has: two at least, or there is no interval."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--root", required=True)
    parser.add_argument("--seeds", type=int, default=3, choices=range(2, 33), metavar="N")
    return parser


def finished(root: str, name: str, begin: Callable[[str], object]) -> RunSummary:
    """The run at its end: begun where it is not there, gone on with where it was cut short."""
    if name not in run_names(root):
        begin(name)
    elif run(name, root).summary.status != "finished":
        resume(name, root=root, sample=False)
    found = run(name, root).summary
    if found.status != "finished":
        raise SystemExit(f"{name} was interrupted; the same command goes on")
    return found


def interval(differences: list[float]) -> str:
    """The mean difference with its 95 % interval by Student's t."""
    n = len(differences)
    half = float(t.ppf((1 + SURE) / 2, n - 1)) * statistics.stdev(differences) / sqrt(n)
    return f"{statistics.mean(differences):+.4f} ± {half:.4f}"
