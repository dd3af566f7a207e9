"""Several processes train one model to the losses of one, and what one writes the others go on from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

RANKS = Path(__file__).with_name("ranks.py")
WAYS = ("dp=2", "fsdp=2", "tp=2", "pp=2")
SIZES = "layers=2,hidden=16,heads=2,ffn=24,vocab=31,context=16"
Case = dict[str, Any]
Outcome = dict[str, Any]


def outcomes(cases: list[Case]) -> list[Outcome]:
    """What came of these trainings, one after the other."""
    command = [sys.executable, str(RANKS), json.dumps(cases)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True, env=environment)
    return list(json.loads(done.stdout))


def losses(outcome: Outcome) -> list[float]:
    """Losses, validation losses and gradient norms in the order in which they were reported."""
    assert set(outcome["codes"]) == {0}, outcome["said"]
    kinds = ("loss", "validation_loss", "gradient_norm")
    return [row[kind] for row in outcome["rows"] for kind in kinds if kind in row]


def assert_all_alike(cases: list[Case]) -> None:
    """The first case is one process; the others are to report the same."""
    alone, *others = map(losses, outcomes(cases))
    assert len(alone) == 5 * 2 + 3
    for case, found in zip(cases[1:], others, strict=True):
        assert found == pytest.approx(alone, rel=0, abs=1e-5), case


def test_two_processes_report_the_losses_of_one_however_they_share_the_model() -> None:
    assert_all_alike([{"layout": layout} for layout in ("", *WAYS)])


@pytest.fixture(scope="module")
def failures() -> dict[str, Outcome]:
    """How two processes end, one of which meets a fate."""
    cases = [
        {"layout": "dp=2", "victim": 1, "fate": "refused"},
        {"layout": "fsdp=2", "victim": 1, "fate": "killed"},
        {"layout": "pp=2", "victim": 0, "fate": "killed"},
        {"layout": "dp=2", "victim": 1, "fate": "stopped", "timeout_s": 1},
    ]
    found = outcomes(cases)
    return {f"{case['fate']} {case['layout']}": outcome for case, outcome in zip(cases, found, strict=True)}


def test_where_one_process_refuses_all_stop_and_it_alone_says_why(failures: dict[str, Outcome]) -> None:
    found = failures["refused dp=2"]
    assert found["codes"] == [2, 2]
    assert found["said"] == ["", "text=nothing must be something\n"]


@pytest.mark.parametrize(("fate", "lost"), [("killed fsdp=2", 1), ("killed pp=2", 0), ("stopped dp=2", 1)])
def test_where_one_process_dies_or_hangs_the_other_stops_and_says_so(
    failures: dict[str, Outcome], fate: str, lost: int
) -> None:
    found = failures[fate]
    assert found["codes"][1 - lost] == 2
    assert "lost another one that trains with it" in found["said"][1 - lost].splitlines()[-1]


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.slow
def test_a_checkpoint_of_two_goes_on_as_one_and_the_other_way_round(tmp_path: Path, way: str, optimizer: str) -> None:
    chosen = {"recipe": {"optimizer": optimizer}, "model": f"like=gpt2,{SIZES}"}
    forth, back = str(tmp_path / "forth"), str(tmp_path / "back")
    whole, *parts = outcomes(
        [
            {**chosen, "layout": ""},
            {**chosen, "layout": way, "folder": forth, "stop": 4},
            {**chosen, "layout": "", "folder": forth},
            {**chosen, "layout": "", "folder": back, "stop": 4},
            {**chosen, "layout": way, "folder": back},
        ]
    )
    first, then, other_first, other_then = map(losses, parts)
    assert 0 < len(first) < len(losses(whole))
    assert first + then == pytest.approx(losses(whole), rel=0, abs=1e-5)
    assert other_first + other_then == pytest.approx(losses(whole), rel=0, abs=1e-5)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize(
    ("model", "objective", "ways"),
    [
        (f"like=gpt2,{SIZES}", "next", WAYS),
        (f"like=bert,{SIZES}", "masked", WAYS),
        (f"like=qwen3,{SIZES},head_dim=8,kv_heads=2", "next", WAYS),
        (f"like=bloom,{SIZES}", "next", WAYS),
        (f"like=t5,{SIZES}", "sequence", ("dp=2", "fsdp=2", "tp=2")),
        (f"like=albert,{SIZES}", "masked", ("dp=2", "fsdp=2", "tp=2")),
        (f"like=mixtral,{SIZES},kv_heads=2,experts=4,active_experts=2", "next", ("dp=2", "fsdp=2", "pp=2")),
    ],
)
@pytest.mark.slow
def test_every_kind_of_model_trains_alike(model: str, objective: str, ways: tuple[str, ...], optimizer: str) -> None:
    chosen = {"model": model, "objective": objective, "recipe": {"optimizer": optimizer}}
    assert_all_alike([{**chosen, "layout": layout} for layout in ("", *ways)])


@pytest.mark.slow
def test_ways_can_be_combined_and_batches_cut_into_pieces() -> None:
    chosen = {"model": f"like=gpt2,{SIZES}", "recipe": {"accumulate": 2}}
    two = ("fsdp=2,tp=2", "dp=2,fsdp=2", "dp=2,pp=2", "pp=2,tp=2", "pp=2,fsdp=2", "dp=2,tp=2")
    assert_all_alike([{**chosen, "layout": layout} for layout in ("", *WAYS, *two)])


@pytest.mark.slow
def test_torchrun_starts_the_processes(tmp_path: Path) -> None:
    script = tmp_path / "job.py"
    script.write_text(
        "from deepwide.lab.distributed import started, layout_from_text\n"
        "with started(layout_from_text('tp=2'), device='cpu') as team:\n"
        "    names = team.shared(['run', team.rank])\n"
        "    print(names, team.place('tp')) if team.leader else None\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "['run', 0] 0\n"
