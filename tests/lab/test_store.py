"""A run's folder: made whole or not at all, written by one process, and readable whatever happened to it."""

from __future__ import annotations

import errno
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from deepwide.errors import BadInput
from deepwide.lab.store import Run, create, default_name, environment, open_run, run_names, summaries
from deepwide.lab.store import folder as folder_module
from deepwide.lab.store.environment import commit
from deepwide.lab.store.lock import writer

MANIFEST = {
    "model": "like=llama,layers=4,hidden=128",
    "architecture": {"layers": 4, "hidden": 128, "parameters": 802_944},
    "corpus": {"source": "python", "sha256": "ab" * 32, "tokenizer": "bytes", "vocab": 256},
    "recipe": {"steps": 10},
    "seed": 7,
}
# Holds the lock of a run and logs until it is killed.
WRITER = """
import sys
from deepwide.lab.store import open_run
with open_run(sys.argv[1], sys.argv[2]).lock() as run:
    run.log({"step": 1, "loss": 5.0})
    print("locked", flush=True)
    step = 1
    while True:
        step += 1
        run.log({"step": step, "loss": 1 / step})
"""


@contextmanager
def another_process(root: Path, name: str) -> Iterator[subprocess.Popen[str]]:
    arguments = [sys.executable, "-c", WRITER, str(root), name]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "locked\n" == process.stdout.readline()
        yield process
        process.kill()


def rows(count: int) -> list[dict[str, Any]]:
    return [{"step": i, "tokens": 64 * i, "loss": 5 - 0.1 * i} for i in range(1, count + 1)]


def logged(run: Run, count: int) -> Run:
    with run.lock():
        for row in rows(count):
            run.log(row)
    return run


def test_a_new_run_has_a_readable_name_and_a_manifest_that_says_when_and_on_what(tmp_path: Path) -> None:
    run = create(tmp_path, None, MANIFEST)
    manifest = json.loads((tmp_path / "llama-4x128-0001" / "manifest.json").read_text())
    assert ("llama-4x128-0001", "llama-4x128-0002") == (run.name, create(tmp_path, None, MANIFEST).name)
    assert MANIFEST == {key: manifest[key] for key in MANIFEST}
    assert {"created", "environment"} == manifest.keys() - MANIFEST.keys()


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("llama-3-8b,layers=4", "llama-3-8b-4x128-0001"),
        ("~/models/mine.gguf", "mine-4x128-0001"),
        ("layers=4,hidden=128", "run-4x128-0001"),
        ("../../etc/\x1b[31m", "31m-4x128-0001"),
    ],
)
def test_a_default_name_is_safe_whatever_the_model_is_called(tmp_path: Path, model: str, name: str) -> None:
    assert name == default_name(tmp_path, {**MANIFEST, "model": model})


@pytest.mark.parametrize(
    "name", ["..", ".", "a/b", "../a", ".hidden", "a..b", "a.", "-rf", "a\nb", "a\0b", "a b", "ä", "a" * 101]
)
def test_a_name_that_is_no_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="cannot name a run") as refused:
        create(tmp_path / "runs", name, MANIFEST)
    assert str(refused.value).isprintable()
    assert not (tmp_path / "runs").exists()


def test_a_name_that_is_taken_is_refused_and_what_is_there_stays(tmp_path: Path) -> None:
    logged(create(tmp_path, "a", MANIFEST), 3)
    (tmp_path / "empty").mkdir()
    for name in ("a", "empty"):
        with pytest.raises(BadInput, match=f"a run called {name} in .* already"):
            create(tmp_path, name, MANIFEST)
    assert 3 == len(open_run(tmp_path, "a").metrics())


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BadInput, match="cannot be written: No space left on device"):
        create(tmp_path, "a", MANIFEST)
    assert [] == list(tmp_path.iterdir())


def test_a_root_that_cannot_be_made_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for root in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(BadInput, match="cannot be written: "):
            create(root, "a", MANIFEST)


def test_a_row_that_a_full_disk_cuts_short_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, write = create(tmp_path, "a", MANIFEST), os.write

    def full(descriptor: int, line: bytes) -> int:
        if len(line) < 10:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, line[:-5])

    with run.lock():
        run.log({"step": 1, "loss": 5.0})
        with monkeypatch.context() as patched:
            patched.setattr(folder_module.os, "write", full)
            with pytest.raises(BadInput, match=r"metrics.jsonl cannot be written: No space left on device"):
                run.log({"step": 2, "loss": 4.0})
        run.log({"step": 2, "loss": 3.0})
    assert [5.0, 3.0] == [row["loss"] for row in run.metrics()]


def test_losses_come_back_bit_for_bit_and_one_that_is_not_finite_as_none(tmp_path: Path) -> None:
    losses = [math.pi, 1 / 3, 5e-324, math.nan, math.inf]
    run = create(tmp_path, "a", MANIFEST)
    with run.lock():
        for step, loss in enumerate(losses):
            run.log({"step": step, "loss": loss})
    assert [*losses[:3], None, None] == [row["loss"] for row in run.metrics()]
    assert None is summaries(tmp_path)[0].loss


def test_a_line_that_a_kill_cut_short_is_passed_over_and_cut_off_before_the_next(tmp_path: Path) -> None:
    run = logged(create(tmp_path, "a", MANIFEST), 3)
    with (run.path / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 4, "lo')
    assert [1, 2, 3] == [row["step"] for row in run.metrics()]
    with run.lock():
        run.log({"step": 4, "loss": 1.0})
    assert [1, 2, 3, 4] == [row["step"] for row in run.metrics()]


def test_rows_after_a_step_are_dropped_and_a_resumed_run_is_no_longer_finished(tmp_path: Path) -> None:
    run = logged(create(tmp_path, "a", MANIFEST), 9)
    with run.lock():
        run.finish({"tokens_per_s": 5.0})
    assert ("finished", 9) == (summaries(tmp_path)[0].status, summaries(tmp_path)[0].step)
    with run.lock():
        run.resumed(4)
        assert ("running", 4) == (summaries(tmp_path)[0].status, summaries(tmp_path)[0].step)
        run.log({"step": 5, "loss": 0.5})
    assert rows(4) == run.metrics()[:4]
    assert 5 == len(run.metrics())
    assert "interrupted" == summaries(tmp_path)[0].status
    assert [4] == [again["step"] for again in open_run(tmp_path, "a").manifest["resumed"]]


def test_the_manifest_takes_additions_and_keeps_what_it_had(tmp_path: Path) -> None:
    run = create(tmp_path, "a", MANIFEST)
    with run.lock():
        run.note(predicted={"tokens_per_s": 50_000.0, "loss": math.nan})
    assert {"tokens_per_s": 50_000.0, "loss": None} == open_run(tmp_path, "a").manifest["predicted"]
    assert MANIFEST["recipe"] == open_run(tmp_path, "a").manifest["recipe"]


def test_nothing_is_written_without_the_lock(tmp_path: Path) -> None:
    run = create(tmp_path, "a", MANIFEST)
    for write in (lambda: run.log({"step": 1}), lambda: run.drop_after(1), run.finish, lambda: run.note(predicted={})):
        with pytest.raises(RuntimeError, match=r"inside `with run\.lock\(\):`"):
            write()


def test_a_run_is_written_once_by_this_process(tmp_path: Path) -> None:
    run = create(tmp_path, "a", MANIFEST)
    with run.lock():
        refused = f"run a is being written by process {os.getpid()}; wait, or choose another --name"
        with pytest.raises(BadInput, match=refused), open_run(tmp_path, "a").lock():
            pass
        assert "running" == summaries(tmp_path)[0].status
        run.log({"step": 1})  # the lock and the file have stood it
    with run.lock():
        assert os.getpid() == writer(run.path)
    assert None is writer(run.path)


def test_another_process_keeps_us_out_until_it_is_killed_and_loses_no_row(tmp_path: Path) -> None:
    run = create(tmp_path, "a", MANIFEST)
    with another_process(tmp_path, "a") as process:
        with pytest.raises(BadInput, match=f"run a is being written by process {process.pid}; wait"), run.lock():
            pass
        assert "running" == summaries(tmp_path)[0].status
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert "interrupted" == summaries(tmp_path)[0].status
    with run.lock():
        steps = [row["step"] for row in run.metrics()]
    assert list(range(1, len(steps) + 1)) == steps


def test_a_forked_child_does_not_keep_the_lock_of_its_dead_parent(tmp_path: Path) -> None:
    create(tmp_path, "a", MANIFEST)
    program = """
import os, sys, time
from deepwide.lab.store import open_run
with open_run(sys.argv[1], "a").lock():
    if not os.fork():
        os.close(1)
        os.close(2)
        sys.stdin.read()
        os._exit(0)
    os.kill(os.getpid(), 9)
"""
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE)
    with process:
        assert -signal.SIGKILL == process.wait()
        with open_run(tmp_path, "a").lock() as run:
            run.log({"step": 1})


def test_a_misspelt_name_gets_a_suggestion(tmp_path: Path) -> None:
    create(tmp_path, None, MANIFEST)
    with pytest.raises(BadInput, match=r"no run called 'lama-4x128-0001' in .*; did you mean llama-4x128-0001\?"):
        open_run(tmp_path, "lama-4x128-0001")


def test_names_are_those_of_folders_with_a_manifest(tmp_path: Path) -> None:
    create(tmp_path, "b", MANIFEST)
    create(tmp_path, "a", MANIFEST)
    (tmp_path / "other").mkdir()
    (tmp_path / ".part").mkdir()
    assert ("a", "b") == run_names(tmp_path)
    assert () == run_names(tmp_path / "none")


def test_a_manifest_is_checked_before_a_run_is_made_of_it(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="seed='x' must be a whole number") as refused:
        create(tmp_path / "runs", "a", {**MANIFEST, "seed": "x"})
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "runs").exists()


def test_the_environment_names_versions_and_no_person_host_or_path() -> None:
    told = json.dumps(environment())
    for private in (os.uname().nodename, str(Path.home()), os.environ.get("USER", "/"), str(Path.cwd())):
        assert len(private) < 3 or private not in told
    assert {"deepwide", "python", "platform", "cpu", "cores"} <= json.loads(told).keys()


def test_the_commit_is_read_from_a_checkout_and_none_where_there_is_none(tmp_path: Path) -> None:
    assert None is commit(tmp_path)
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    (tmp_path / ".git" / "packed-refs").write_text(f"# pack-refs\n{'ab' * 20} refs/heads/main\n")
    assert "ab" * 20 == commit(tmp_path)
