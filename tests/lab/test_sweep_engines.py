"""Where trials run: processes that stay, that may die, that end with their parent, and a cluster that loses a node."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deepwide.errors import BadInput
from deepwide.lab.sweep import Engine, Finished, started


@pytest.fixture(autouse=True)
def importable_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other processes import the functions below by the name of this module, from where this one looks for modules."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))


def doubled(job: Any) -> dict[str, Any]:
    if job["n"] == 13:
        raise ValueError("13 is not\n doubled")
    return {"twice": 2 * job["n"], "process": os.getpid(), "threads": os.environ.get("OMP_NUM_THREADS")}


def dies_at_first(job: Any) -> dict[str, Any]:
    mark = Path(job["mark"])
    if job.get("always") or not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"lived": True}


def slow_once(job: Any) -> dict[str, Any]:
    """Tells where it is by a file, and takes long the first time."""
    mark = Path(job["mark"])
    first = not mark.exists()
    mark.write_text(str(os.getpid()))
    time.sleep(60 if first and job["slow"] else 0.1)
    return {"first": first}


def all_of(engine: Engine, jobs: dict[str, dict[str, Any]], most_s: float = 60) -> dict[str, Finished]:
    found: dict[str, Finished] = {}
    waiting, running, ends = list(jobs), 0, time.monotonic() + most_s
    while len(found) < len(jobs) and time.monotonic() < ends:
        while waiting and running < engine.capacity:
            engine.submit(waiting[0], jobs[waiting.pop(0)])
            running += 1
        for each in engine.finished(0.2):
            running -= 1
            found[each.name] = each
    return found


def test_jobs_come_back_by_name_from_processes_that_stay_and_errors_are_words() -> None:
    jobs = {str(n): {"n": n} for n in (1, 2, 13, 4)}
    with started("local", doubled, 2) as engine:
        found = all_of(engine, jobs)
    results = {name: each.result for name, each in found.items()}
    assert {"1": 2, "2": 4, "4": 8} == {name: r["twice"] for name, r in results.items() if r}
    assert "13 is not doubled" == found["13"].error
    assert {"1"} == {r["threads"] for r in results.values() if r}
    assert len({r["process"] for r in results.values() if r}) <= 2


def test_a_job_whose_process_is_killed_is_begun_again(tmp_path: Path) -> None:
    with started("local", dies_at_first, 1) as engine:
        found = all_of(engine, {"a": {"mark": str(tmp_path / "a")}})
    assert {"lived": True} == found["a"].result


def test_a_job_that_kills_every_process_is_given_up_with_words(tmp_path: Path) -> None:
    with started("local", dies_at_first, 1) as engine:
        found = all_of(engine, {"a": {"mark": str(tmp_path / "a"), "always": True}})
    assert found["a"].error == "its process died (exit code -9)"


def test_an_engine_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(BadInput, match="engine='rya' is unknown; did you mean ray"):
        started("rya", doubled, 1)
    with pytest.raises(BadInput, match="address='a:1' is of a Ray cluster"):
        started("local", doubled, 1, "a:1")


PARENT = """
import sys, time
sys.path[:0] = [{tests!r}]
from {module} import slow_once
from deepwide.lab.sweep import started
if __name__ == "__main__":
    with started("local", slow_once, 1) as engine:
        engine.submit("a", {{"mark": {mark!r}, "slow": True}})
        time.sleep(60)
"""


def test_processes_whose_parent_was_killed_end_by_themselves(tmp_path: Path) -> None:
    mark, script = tmp_path / "mark", tmp_path / "parent.py"
    tests = Path(__file__)
    script.write_text(PARENT.format(tests=str(tests.parent), module=tests.stem, mark=str(mark)))
    parent = subprocess.Popen([sys.executable, str(script)])
    wait_until(lambda: mark.exists() and bool(mark.read_text()))
    child = int(mark.read_text())
    parent.kill()
    parent.wait()
    wait_until(lambda: not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text().split()[2])


def wait_until(holds: Any, most_s: float = 20) -> None:
    ends = time.monotonic() + most_s
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.05)


@pytest.fixture
def cluster() -> Iterator[Any]:
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    yield found
    ray.shutdown()
    found.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_node_killed_in_the_middle_loses_nothing(cluster: Any, tmp_path: Path) -> None:
    node = cluster.add_node(num_cpus=1)
    jobs = {str(n): {"mark": str(tmp_path / str(n)), "slow": n == 1} for n in range(6)}
    killed = False
    found: dict[str, Finished] = {}
    with started("ray", slow_once, 2, cluster.address) as engine:
        for name, job in jobs.items():
            engine.submit(name, job)
        ends = time.monotonic() + 150
        while len(found) < len(jobs) and time.monotonic() < ends:
            found |= {each.name: each for each in engine.finished(0.5)}
            if not killed and (tmp_path / "1").exists():
                cluster.remove_node(node, allow_graceful=False)
                killed = True
    assert killed
    assert set(jobs) == set(found)
    assert all(each.result for each in found.values())
