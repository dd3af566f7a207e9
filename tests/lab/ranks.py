"""Small trainings by several processes, forked from one that has PyTorch loaded: python ranks.py '[CASE, ...]'.

A case is a layout, and what to train; the answer is a list of what each case reported, how its processes ended and what
they wrote to stderr.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import tempfile
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # what any optimiser of torch imports at its first step, and each process would again

from deepwide.answers.models import find_model
from deepwide.errors import BadInput
from deepwide.lab import build
from deepwide.lab.distributed import Layout, layout_from_text, mean_loss, spread, started, train
from deepwide.lab.training import Batch, Recipe, Row, batch_of, newest, next_token, write

LLAMA = "like=llama,layers=2,hidden=16,heads=2,kv_heads=2,ffn=24,vocab=31,context=16"
ROWS, CONTEXT, VOCAB = 8, 8, 31
Case = dict[str, Any]


def batch(objective: str, step: int) -> Batch:
    """Random tokens, the same for the same step; with padding and uneven targets where the objective has them."""
    generator = torch.Generator().manual_seed(step)
    tokens, targets = torch.randint(0, VOCAB, (2, ROWS, CONTEXT), generator=generator)
    kept = torch.rand((ROWS, CONTEXT), generator=generator) > 0.2
    if objective == "masked":
        targets[torch.rand((ROWS, CONTEXT), generator=generator) > 0.4] = -100
        return batch_of(tokens=tokens, targets=targets, kept=kept)
    if objective == "sequence":
        return batch_of(tokens=tokens[:, :5], targets=targets[:, :5], sources=tokens, source_kept=kept)
    return next_token(torch.randint(0, VOCAB, (ROWS, CONTEXT + 1), generator=generator))


def rows_of(case: Case) -> list[Row]:
    """Trains as the case says, in as many processes as call this."""
    rows: list[Row] = []
    layout = layout_from_text(case["layout"]) if case["layout"] else Layout()
    objective, folder = case.get("objective", "next"), case.get("folder")
    recipe = Recipe(steps=5, batch=ROWS, context=CONTEXT, evaluate_every=2, **case.get("recipe", {}))
    with started(layout, device="cpu", timeout_s=case.get("timeout_s", 60)) as team:
        model = spread(build(find_model(case.get("model", LLAMA)).described(), seed=7 * team.rank), team)
        found = newest(Path(folder)) if folder and team.leader else None
        train(
            model,
            recipe,
            batches=lambda step: failing(case, step, team.rank) or batch(objective, step),
            report=rows.append,
            evaluate=lambda: mean_loss(model, [batch(objective, 100), batch(objective, 101).pieces(ROWS)[0]]),
            save=partial(write, Path(folder)) if folder else None,
            start=found.checkpoint if found else None,
            should_stop=lambda: len(rows) == case.get("stop") if team.leader else False,
        )
    return rows


def failing(case: Case, step: int, rank: int) -> None:
    """Does to a process what the case says, as it asks for the batch of step 2."""
    if step == 2 and rank == case.get("victim"):
        if case["fate"] == "refused":
            raise BadInput("text=nothing must be something")
        os.kill(os.getpid(), {"killed": signal.SIGKILL, "stopped": signal.SIGSTOP}[case["fate"]])


def outcome(case: Case) -> dict[str, Any]:
    """What came of a case."""
    processes = layout_from_text(case["layout"]).processes if case["layout"] else 1
    with tempfile.TemporaryDirectory() as folder:
        told = [Path(folder) / str(rank) for rank in range(processes)]
        port = free_port()
        pids = [forked(partial(one_rank, case, rank, processes, port, told[rank])) for rank in range(processes)]
        codes = [ended(pid, case) for pid in pids]
        said = [path.with_suffix(".err").read_text() for path in told]
        rows = json.loads(told[0].read_text()) if told[0].exists() else []
    return {"rows": rows, "codes": codes, "said": said}


def one_rank(case: Case, rank: int, processes: int, port: int, told: Path) -> None:
    """One process of a case, started as torchrun does it; on stderr what the command line would say."""
    torch.set_num_threads(1)
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "MASTER_PORT": port, "MASTER_ADDR": "127.0.0.1"}
    os.environ.update({name: str(value) for name, value in place.items()} if processes > 1 else {})
    os.dup2(os.open(told.with_suffix(".err"), os.O_WRONLY | os.O_CREAT), 2)
    try:
        told.write_text(json.dumps(rows_of(case)))
    except BadInput as error:
        sys.stderr.write(f"{error}\n")
        sys.stderr.flush()
        os._exit(2)


def forked(work: Callable[[], None]) -> int:
    """A child that does this work and ends."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return pid


def ended(pid: int, case: Case) -> int:
    """How a child ended; one that was stopped for good is killed once the others are through."""
    _, status = os.waitpid(pid, os.WUNTRACED)
    if os.WIFSTOPPED(status):
        waiting.append(pid)
        return -signal.SIGSTOP
    return os.waitstatus_to_exitcode(status)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as there:
        there.bind(("127.0.0.1", 0))
        return int(there.getsockname()[1])


waiting: list[int] = []

if __name__ == "__main__":
    answers = [outcome(case) for case in json.loads(sys.argv[1])]
    for stopped in waiting:
        os.kill(stopped, signal.SIGKILL)
        os.waitpid(stopped, 0)
    sys.stdout.write(json.dumps(answers))
