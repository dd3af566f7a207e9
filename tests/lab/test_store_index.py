"""The index of runs: always what the folders say, whatever has happened to it, and however many write at once."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from deepwide.lab.store import create, open_run, summaries
from deepwide.lab.store.tables import SCHEMA

MANIFEST = {"model": "gpt2", "architecture": {"layers": 12, "hidden": 768, "parameters": 124_439_808}, "seed": 0}
WRITERS, ROWS = 4, 400
WRITER = """
import sys
from deepwide.lab.store import create
with create(sys.argv[1], None, {"model": "gpt2"}).lock() as run:
    for step in range(int(sys.argv[2])):
        run.log({"step": step, "tokens": 64 * step, "loss": 5 - step / 1000})
        if step % 20 == 0:
            run.sync()
    run.finish()
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, loss in (("a", 3.0), ("b", 2.0)):
        with create(tmp_path, name, MANIFEST).lock() as run:
            for step in range(5):
                run.log({"step": step, "tokens": step * 100, "loss": loss - step / 10, "validation_loss": loss})
            run.finish()
    return tmp_path


def asked(root: Path, question: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(root / "index.sqlite")) as index:
        return index.execute(question).fetchall()


def test_the_index_holds_every_run_and_every_number(root: Path) -> None:
    assert [("a", 4, "finished"), ("b", 4, "finished")] == asked(root, "SELECT name, step, status FROM runs ORDER BY 1")
    assert [(2 * 5 * 3,)] == asked(root, "SELECT count(*) FROM metrics")
    assert [(1.7,)] == asked(root, "SELECT value FROM metrics WHERE run = 'b' AND step = 3 AND key = 'loss'")
    assert [("wal",)] == asked(root, "PRAGMA journal_mode")


def test_several_processes_write_at_once_and_no_number_is_lost(tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", WRITER, str(tmp_path), str(ROWS)]
    processes = [subprocess.Popen(arguments) for _ in range(WRITERS)]
    while any(process.poll() is None for process in processes):
        assert WRITERS >= len(summaries(tmp_path))
    assert [0] * WRITERS == [process.wait() for process in processes]
    found = summaries(tmp_path)
    assert [("finished", ROWS, ROWS - 1)] * WRITERS == [(run.status, run.rows, run.step) for run in found]
    assert [(WRITERS * ROWS * 2,)] == asked(tmp_path, "SELECT count(*) FROM metrics")


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0" + b"\xff" * 9000])
def test_a_missing_or_corrupt_index_is_made_again_from_the_folders(root: Path, content: bytes) -> None:
    before = summaries(root)
    (root / "index.sqlite").write_bytes(content)
    assert before == summaries(root)
    assert [(30,)] == asked(root, "SELECT count(*) FROM metrics")


def test_an_index_with_torn_pages_is_made_again(root: Path) -> None:
    before = summaries(root)
    with (root / "index.sqlite").open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(8192))
    assert before == summaries(root)


@pytest.mark.parametrize(
    "change",
    [
        f"PRAGMA user_version = {SCHEMA + 1}",
        "UPDATE made_by SET version = '0.0.1'",
        "DROP TABLE made_by",
        "ALTER TABLE runs RENAME COLUMN loss TO cost",
        "UPDATE runs SET step = 'many'",
        "UPDATE runs SET metrics_end = 'far'",
    ],
)
def test_an_index_of_another_version_or_shape_is_made_again(root: Path, change: str) -> None:
    before = summaries(root)
    with closing(sqlite3.connect(root / "index.sqlite")) as index:
        index.execute(change)
        index.commit()
    assert before == summaries(root)
    assert [(4,), (4,)] == asked(root, "SELECT step FROM runs")


def test_a_locked_index_is_not_waited_for_long_and_the_folders_answer(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepwide.lab.store.index.BUSY_S", 0.05)
    with closing(sqlite3.connect(root / "index.sqlite")) as index:
        index.execute("BEGIN EXCLUSIVE")
        with open_run(root, "a").lock() as run:
            run.log({"step": 5, "loss": 1.0})
        assert [4, 5] == sorted(run.step or 0 for run in summaries(root))
        index.rollback()
    assert [4, 5] == sorted(run.step or 0 for run in summaries(root))
    assert [(1.0,)] == asked(root, "SELECT value FROM metrics WHERE run = 'a' AND step = 5")


def test_a_root_that_cannot_hold_an_index_is_listed_all_the_same(root: Path) -> None:
    before = summaries(root)
    (root / "index.sqlite").unlink()
    (root / "index.sqlite").mkdir()
    assert before == summaries(root)


def test_a_folder_that_is_gone_leaves_the_index(root: Path) -> None:
    (root / "a").rename(root.parent / f"{root.name}-gone")
    assert ["b"] == [run.name for run in summaries(root)]
    assert [("b",)] == asked(root, "SELECT DISTINCT run FROM metrics")


def test_metrics_written_anew_are_read_anew(root: Path) -> None:
    summaries(root)
    path = root / "a" / "metrics.jsonl"
    path.write_text("".join(f'{{"step": {step}, "loss": 9.5}}\n' for step in range(20)))
    assert {"a": 9.5, "b": 1.6} == {run.name: run.loss for run in summaries(root)}
    assert [(9.5, 9.5)] == asked(root, "SELECT min(value), max(value) FROM metrics WHERE run = 'a'")


HOSTILE = {
    "huge": (b'{"model": "' + b"x" * 2**21 + b'"}', "longer than"),
    "torn": (b'{"model": "gpt2"', "not JSON"),
    "nan": (b'{"model": "gpt2", "seed": NaN}', "not JSON: NaN is no number"),
    "deep": (b'{"model": "gpt2", "kernels": ' + b"[" * 60 + b"]" * 60 + b"}", "nested deeper"),
    "deeper": (b'{"model":' + b"[" * 200_000, "nested too deep"),
    "list": (b"[1]", "not a list"),
    "types": (b'{"model": ["gpt2"]}', "model=.* must be text"),
    "sizes": (
        b'{"model": "gpt2", "architecture": {"layers": "12"}}',
        "architecture.layers='12' must be a whole number",
    ),
    "large": (b'{"model": "gpt2", "seed": 1' + b"0" * 30 + b"}", "below 2\\^63"),
    "digits": (b'{"model": "gpt2", "seed": 1' + b"0" * 9000 + b"}", "not JSON"),
    "nothing": (b"{}", "model is missing"),
    "bytes": (b"\xff\xfe\x00", "not JSON"),
    "corpus": (b'{"model": "gpt2", "corpus": 3}', "corpus=3 must be a table"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_manifest_is_unreadable_in_one_line_and_the_others_are_listed(root: Path, kind: str) -> None:
    content, problem = HOSTILE[kind]
    (root / kind).mkdir()
    (root / kind / "manifest.json").write_bytes(content)
    for _ in range(2):  # from the folder, then from the index
        found = {run.name: run for run in summaries(root)}
        assert ("finished", "unreadable") == (found["a"].status, found[kind].status)
        assert re.search(problem, found[kind].problem)
        assert found[kind].problem.isprintable()
        assert 200 > len(found[kind].problem)


def test_pipes_loops_and_odd_names_are_listed_and_not_waited_for(root: Path) -> None:
    for name in ("pipe", "loop", "pipes"):
        (root / name).mkdir()
    os.mkfifo(root / "pipe" / "manifest.json")
    (root / "loop" / "manifest.json").symlink_to("manifest.json")
    os.mkfifo(root / "pipes" / "metrics.jsonl")
    (root / "pipes" / "manifest.json").write_text(json.dumps(MANIFEST))
    odd = os.fsdecode(os.fsencode(root) + b"/\xff\x1b[31m")
    os.mkdir(odd)  # noqa: PTH102  # a Path of such bytes is what is tested
    Path(odd, "manifest.json").write_text(json.dumps(MANIFEST))
    found = {run.name: run.status for run in summaries(root)}
    assert {"a": "finished", "b": "finished", "pipe": "unreadable", "loop": "unreadable"}.items() <= found.items()
    assert "interrupted" == found["pipes"]
    assert {"unreadable"} == {status for name, status in found.items() if "31m" in name}
    assert all(name.isprintable() for name in found)


def test_metrics_of_strangers_break_nothing(root: Path) -> None:
    lines = ['{"step": 1e9}', "[]", '{"step": -1}', '{"step": true}', "\\", '{"step": 9, "loss": "low", "\\ud800": 1}']
    lines += ['{"step": 10, "loss": 1' + "0" * 400 + "}", '{"step": 11, "loss": NaN}', "[" * 5000, "9" * 70_000]
    (root / "a" / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    found = {run.name: run for run in summaries(root)}["a"]
    assert (11, None, 3) == (found.step, found.loss, found.rows)


def test_logging_a_hundred_rows_a_second_costs_less_than_a_fifth_of_a_millisecond_each(tmp_path: Path) -> None:
    row = {"tokens": 1, "loss": 5.1, "learning_rate": 4e-3, "gradient_norm": 1.2, "tokens_per_s": 5e4, "mfu": 0.4}
    with create(tmp_path, "a", MANIFEST).lock() as run:
        costs_s = []
        for batch in range(5):  # the index is brought up to date every ten seconds: after a thousand rows
            begin_s = time.process_time()
            for step in range(1000):
                run.log({"step": 1000 * batch + step, **row, "seconds": step / 100})
            run.sync()
            costs_s.append((time.process_time() - begin_s) / 1000)
    assert 2e-4 > min(costs_s)
