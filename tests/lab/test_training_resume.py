"""A training that was stopped and resumed is the one that was not, bit for bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from deepwide.answers.models import find_model
from deepwide.lab import build
from deepwide.lab.network import Transformer
from deepwide.lab.training import Batch, Checkpoint, Recipe, Row, newest, next_token, train, write

TINY = "like=llama,layers=2,hidden=16,heads=2,kv_heads=2,ffn=24,vocab=31,context=16"


def model_of(seed: int = 0) -> Transformer:
    architecture = find_model(TINY).architecture
    assert architecture is not None
    return build(architecture, seed=seed)


def batches(step: int) -> Batch:
    return next_token(torch.randint(0, 31, (4, 9), generator=torch.Generator().manual_seed(step)))


def recipe_of(**fields: object) -> Recipe:
    return Recipe(**{"steps": 9, "batch": 4, "context": 8, "checkpoint_every_s": 0.0, **fields})  # type: ignore[arg-type]


def told(rows: list[Row]) -> list[tuple[float, ...]]:
    """What must not depend on how often a run was stopped."""
    return [tuple(row[key] for key in ("step", "loss", "learning_rate", "gradient_norm")) for row in rows]


@pytest.mark.parametrize("fields", [{"optimizer": "muon"}, {"optimizer": "adamw", "accumulate": 2, "schedule": "wsd"}])
@pytest.mark.parametrize("stop", [1, 4, 8])
def test_resumed_between_any_steps_the_rest_is_the_same(tmp_path: Path, fields: dict[str, object], stop: int) -> None:
    recipe = recipe_of(**fields)
    whole: list[Row] = []
    straight = model_of()
    train(straight, recipe, batches=batches, report=whole.append)

    rows: list[Row] = []
    save = partial(write, tmp_path)
    cut = train(
        model_of(), recipe, batches=batches, report=rows.append, save=save, should_stop=lambda: len(rows) == stop
    )
    assert (cut.status, cut.step) == ("interrupted", stop)
    found = newest(tmp_path)
    assert found is not None
    other = model_of(seed=1)
    train(other, recipe, batches=batches, report=rows.append, start=found.checkpoint)
    assert told(whole) == told(rows)
    assert all(torch.equal(a, b) for a, b in zip(straight.parameters(), other.parameters(), strict=True))


def test_the_clock_goes_on_where_it_stood() -> None:
    saved: list[Checkpoint] = []
    train(model_of(), recipe_of(), batches=batches, report=lambda row: None, save=saved.append)
    rows: list[Row] = []
    early = replace(saved[-1], seconds=100.0)
    outcome = train(model_of(), recipe_of(), batches=batches, report=rows.append, start=early)
    assert (outcome.status, outcome.step, rows) == ("done", 9, [])
    assert outcome.seconds > 100.0


# Trains in children that are killed at random moments, each going on from what the one before left; then once more
# without a kill. A row counts up to the checkpoint that the next child goes on from.
KILLED = """
import json, os, random, signal, sys, time
from functools import partial
from pathlib import Path
import torch
import torch._dynamo  # what any optimiser of torch imports at its first step, and each child would again
from deepwide.answers.models import find_model
from deepwide.lab import build
from deepwide.lab.training import Recipe, newest, next_token, train, write

folder, kills, steps, seed = Path(sys.argv[1]), *map(int, sys.argv[2:5])
recipe = Recipe(steps=steps, batch=4, context=8, checkpoint_every_s=0.003)
architecture = find_model(sys.argv[5]).architecture
windows = torch.randint(0, 31, (steps, 4, 9), generator=torch.Generator().manual_seed(0))

def rows(home):
    path = home / "rows"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\\n")]

def attempt(home):
    found = newest(home / "checkpoints")
    start = found.checkpoint if found else None
    step = start.step if start else 0
    part = home / "rows.part"
    part.write_text("".join(json.dumps(row) + "\\n" for row in rows(home) if row["step"] <= step))
    part.replace(home / "rows")
    with (home / "starts").open("a") as file:
        file.write(f"{step}\\n")
    with (home / "rows").open("a", buffering=1) as file:
        report = lambda row: file.write(json.dumps(row) + "\\n")
        save = partial(write, home / "checkpoints")
        train(build(architecture), recipe, batches=lambda step: next_token(windows[step]), report=report, save=save,
              start=start)

def child(home):
    home.mkdir(exist_ok=True)
    pid = os.fork()
    if pid == 0:
        attempt(home)
        os._exit(0)
    return pid

def curve(home):
    return [[row["step"], row["loss"], row["gradient_norm"]] for row in rows(home)]

began, whole, killed = time.monotonic(), folder / "whole", folder / "killed"
os.waitpid(child(whole), 0)
length_s, moments, done = time.monotonic() - began, random.Random(seed), 0
for _ in range(kills):
    pid = child(killed)
    time.sleep(moments.uniform(0.02, 1.0) * length_s / kills)
    os.kill(pid, signal.SIGKILL)
    done += os.waitpid(pid, 0)[1] == signal.SIGKILL
os.waitpid(child(killed), 0)
starts = [int(line) for line in (killed / "starts").read_text().split()]
print(json.dumps({"kills": done, "starts": starts, "whole": curve(whole), "killed": curve(killed)}))
"""


def curves(folder: Path, kills: int, steps: int, seed: int) -> dict[str, Any]:
    """The curves of an unkilled run and of a killed one, how many kills hit, and where each child went on from."""
    command = [sys.executable, "-c", KILLED, str(folder), str(kills), str(steps), str(seed), TINY]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True, env=environment)
    return dict(json.loads(done.stdout))


def test_killed_at_three_moments_the_curve_is_that_of_an_unkilled_run(tmp_path: Path) -> None:
    found = curves(tmp_path, kills=3, steps=60, seed=0)
    assert found["kills"] == 3
    assert len(found["whole"]) == 60
    assert found["whole"] == found["killed"]


@pytest.mark.slow
def test_killed_at_twenty_moments_the_curve_is_that_of_an_unkilled_run(tmp_path: Path) -> None:
    found = curves(tmp_path, kills=20, steps=1000, seed=1)
    assert found["kills"] == 20
    assert len(set(found["starts"])) > 10
    assert found["whole"] == found["killed"]
