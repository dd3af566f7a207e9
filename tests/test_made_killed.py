"""A run that is made of another: killed at any moment it is not there or whole, and the same command makes it then."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deepwide.answers.generate import generate
from deepwide.answers.train import train
from deepwide.lab.store import keep_whole, run_names

MODEL = "like=llama,layers=2,hidden=64,heads=2"
QUICK = {"steps": 2, "batch": 2, "context": 32, "threads": 1, "lanes": 1, "dtype": "fp32", "matmul": "default"}

# Makes runs in children that are killed at moments spread over the time that it takes, until none is killed.
KILLED = """
import json, os, signal, sys, time
from deepwide.answers.prune import prune
from deepwide.answers.quantize import quantize
from deepwide.lab.store import run_names

root, kills, how = sys.argv[1], int(sys.argv[2]), sys.argv[3]
make = {"quantize": lambda name: quantize("whole", to="int8", name=name, root=root),
        "prune": lambda name: prune("whole", layers=1, name=name, root=root)}[how]

def child(name):
    pid = os.fork()
    if pid == 0:
        make(name)
        os._exit(0)
    return pid

make(f"{how}-first")  # what is set up once is no part of the time
began = time.monotonic()
os.waitpid(child(f"{how}-timed"), 0)
length_s, killed, there = time.monotonic() - began, 0, []
for i in range(kills):
    pid = child(f"{how}-{i}")
    time.sleep((i + 0.5) / kills * length_s)
    os.kill(pid, signal.SIGKILL)
    killed += os.waitpid(pid, 0)[1] == signal.SIGKILL
    there.append(f"{how}-{i}" in run_names(root))
    if not there[-1]:
        os.waitpid(child(f"{how}-{i}"), 0)
print(json.dumps({"killed": killed, "there": there}))
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    text = root / "text"
    text.mkdir()
    for number in range(20):
        (text / f"{number}.txt").write_text("to be or not to be, that is the question. " * 60)
    train(MODEL, data=str(text), root=root, name="whole", sample=False, attention="sdpa", optimizer="adamw", **QUICK)
    return root


@pytest.mark.parametrize("how", ["quantize", "prune"])
def test_killed_at_any_moment_a_made_run_is_not_there_or_whole(root: Path, tmp_path: Path, how: str) -> None:
    kills = 6
    command = [sys.executable, "-c", KILLED, str(root), str(kills), how]
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}  # a fork has none of the threads that its parent had
    said = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=alone)
    assert said.returncode == 0, said.stderr
    found: dict[str, Any] = json.loads(said.stdout)
    assert found["killed"] >= kills // 2
    assert False in found["there"]
    for i in range(kills):
        assert generate(f"{how}-{i}", "to be", tokens=2, root=root).tokens == 2


def test_what_a_killed_process_left_of_a_made_run_is_swept_away_in_time(tmp_path: Path) -> None:
    for name in (".a.1.part", ".b.2.part"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").write_text("half")
    os.utime(tmp_path / ".a.1.part", (0, 0))
    keep_whole(tmp_path, "c", {"model": MODEL}, lambda part: None)
    assert [".b.2.part"] == [path.name for path in tmp_path.glob(".*.part")]
    assert ["c"] == list(run_names(tmp_path))
