"""How many training plans a second the search prices on one core, how soon the best is known, and a peer beside it.

    python benchmarks/plans.py [--repeats 5] [--peer-python PATH | --skip-peer]

A plan counts when its step time with all parts and the memory of its fullest stage were computed. "valid" are those
that can run, "evaluated" includes the corners of a mesh that cannot. Then plans are priced alone, and must equal their
entries. Last, the same plans go through llm-analysis (PyPI, its own pins): by PATH, or in an environment made here and
thrown away. It knows neither context parallelism nor interleaving, so it is given the plans without.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import numpy as np
from numpy.typing import NDArray

from deepwide.answers.models import find_model
from deepwide.answers.training.run import Run, setting
from deepwide.cost.training.memory import peak_training_bytes
from deepwide.cost.training.plan import RECOMPUTES, Plan
from deepwide.cost.training.plans import ZEROS, Task, search
from deepwide.cost.training.plans_space import divisors, layouts, space
from deepwide.cost.training.step import step_time
from deepwide.facts.accelerators import accelerator

BATCH = 3072
ONE_TRILLION = "like=gpt2,layers=128,hidden=25600,heads=160,vocab=51200,context=2048"  # arXiv:2104.04473, table 1
SEARCHES = {
    "1T on 3,072 A100": (ONE_TRILLION, "a100-sxm-80gb", 3072, BATCH, 2048),
    "1T on 3,072 H100": (ONE_TRILLION, "h100", 3072, BATCH, 2048),
    "405B on 16,384 H100": ("llama-3.1-405b", "h100", 16384, 2048, 8192),
    "671B MoE on 2,048 H100": ("deepseek-v3", "h100", 2048, 15360, 4096),
}
CLOSE = 1e-12
PEER = "llm-analysis"
PEER_PLANS = 3000
PEER_PROGRAM = """
import json, logging, sys, time
from llm_analysis.analysis import ActivationRecomputation, DSZeRO, LLMAnalysis
from llm_analysis.config import ModelConfig, ParallelismConfig, get_dtype_config_by_name, get_gpu_config_by_name
logging.disable(logging.CRITICAL)
model = ModelConfig(name="1T", num_layers=128, n_head=160, hidden_dim=25600, vocab_size=51200, max_seq_len=2048)
gpu, dtype = get_gpu_config_by_name("a100-sxm-80gb"), get_dtype_config_by_name("w16a16e16")
def priced(tp, pp, dp, micro_batch, count, recompute, zero):
    asked = LLMAnalysis(model, gpu, dtype, ParallelismConfig(tp_size=tp, pp_size=pp, dp_size=dp, sp_size=tp),
                        flops_efficiency=0.5)
    asked.training(batch_size_per_gpu=micro_batch, gradient_accumulation_steps=count, seq_len=2048,
                   total_num_tokens=10**12, activation_recomputation=ActivationRecomputation(recompute),
                   ds_zero=DSZeRO(zero))
def taken(plan):
    try:
        priced(*plan)
    except AssertionError:
        return False
    return True
plans = json.load(sys.stdin)
held = [plan for plan in plans if taken(plan)]
started = time.process_time()
for plan in held:
    priced(*plan)
print(json.dumps([len(held), time.process_time() - started]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="searches of each, of which the median is told")
    parser.add_argument("--peer-python", help="an interpreter that has llm-analysis")
    parser.add_argument("--skip-peer", action="store_true")
    given = parser.parse_args()
    rates = [searched(name, task(*problem), given.repeats) for name, problem in SEARCHES.items()]
    trillion = task(ONE_TRILLION, "a100-sxm-80gb", 3072, BATCH, 2048)
    plans = flat_plans(trillion)
    prices, rate = priced_together(trillion, plans)
    alone(trillion, plans, prices)
    if not given.skip_peer:
        beside(plans, rate, rates[0], given.peer_python)


def task(model: str, device: str, devices: int, batch: int, sequence: int) -> Task:
    run = Run(devices=devices, global_batch=batch, sequence=sequence)
    return setting(find_model(model), accelerator(device), run).task


def searched(name: str, asked: Task, repeats: int) -> float:
    """The search itself: wall time to the best plan, and valid plans for each second of one core."""
    walls, cores = [], []
    for _ in range(repeats):
        started_s = time.process_time()
        found = search(asked)
        cores.append(time.process_time() - started_s)
        walls.append(found.seconds)
    core_s, wall_s = statistics.median(cores), statistics.median(walls)
    counts = f"{found.evaluated:,} evaluated, {found.valid:,} valid, {found.fitting:,} fit"
    print(f"{name}: best known in {wall_s:.3f} s; {counts}")
    print(
        f"    {found.evaluated / core_s:,.0f} evaluated a second of one core, {found.valid / core_s:,.0f} of them valid"
    )
    best = found.best[0]
    lone_s = float(step_time(asked.job, best.plan, asked.engine).step_s)
    assert abs(best.value / lone_s - 1) < CLOSE, (best, lone_s)
    return found.valid / core_s


def flat_plans(asked: Task) -> list[Plan]:
    """Every plan of the space without context parallelism, experts and interleaving."""
    bounds = space(asked.job, asked.devices)
    return [
        Plan(
            tp=tp,
            pp=pp,
            dp=bounds.devices // (tp * pp),
            micro_batch=micro_batch,
            recompute=recompute,
            zero=zero,
            sequence_parallel=True,
        )
        for tp, pp, cp in layouts(bounds)
        for micro_batch in divisors(bounds.global_batch // (bounds.devices // (tp * pp)) if cp == 1 else 1)
        for recompute, zero in product(RECOMPUTES, ZEROS)
        if cp == 1
    ]


def columns(plans: Sequence[Plan]) -> list[tuple[Plan, list[int]]]:
    """The same plans as one plan of columns for each kind, with the places of its rows."""
    kinds: dict[tuple[Any, ...], list[int]] = {}
    for place, plan in enumerate(plans):
        kinds.setdefault((plan.recompute, plan.zero), []).append(place)
    return [
        (
            replace(
                plans[places[0]],
                **{
                    n: np.array([getattr(plans[i], n) for i in places], float)
                    for n in ("tp", "pp", "dp", "micro_batch")
                },
            ),
            places,
        )
        for places in kinds.values()
    ]


def priced_together(asked: Task, plans: Sequence[Plan]) -> tuple[NDArray[Any], float]:
    """Seconds and bytes of each plan, and how many plans a second of one core that took."""
    prices, many = np.empty((2, len(plans))), columns(plans)
    spent = []
    for _ in range(9):
        started_s = time.process_time()
        for plan, places in many:
            prices[0, places] = step_time(asked.job, plan, asked.engine).step_s
            prices[1, places] = peak_training_bytes(asked.architecture, asked.job, plan, asked.habits).total_bytes
        spent.append(time.process_time() - started_s)
    return prices, len(plans) / statistics.median(spent)


def alone(asked: Task, plans: Sequence[Plan], together: NDArray[Any]) -> None:
    """Some plans one by one, in plain numbers: the same as their entries."""
    some = range(0, len(plans), max(1, len(plans) // 500))
    started_s = time.process_time()
    for i in some:
        step_s = step_time(asked.job, plans[i], asked.engine).step_s
        total_bytes = peak_training_bytes(asked.architecture, asked.job, plans[i], asked.habits).total_bytes
        assert abs(step_s / together[0, i] - 1) < CLOSE, (plans[i], step_s, together[0, i])
        assert abs(total_bytes / together[1, i] - 1) < CLOSE, (plans[i], total_bytes, together[1, i])
    rate = len(some) / (time.process_time() - started_s)
    print(f"one by one: {len(some)} plans equal their entries to {CLOSE:g}; {rate:,.0f} a second")


def beside(plans: Sequence[Plan], rate: float, search_rate: float, python: str | None) -> None:
    """The peer on the same plans, in the same run."""
    asked = plans[:: max(1, len(plans) // PEER_PLANS)]
    rows = [
        [p.tp, p.pp, p.dp, p.micro_batch, BATCH // (p.dp * p.micro_batch), RECOMPUTES.index(p.recompute), p.zero]
        for p in asked
    ]
    with tempfile.TemporaryDirectory() as folder:
        program = python or environment(folder)
        said = subprocess.run(
            [program, "-c", PEER_PROGRAM], input=json.dumps(rows), capture_output=True, text=True, check=False
        )
    if said.returncode:
        sys.exit(f"{PEER}: {said.stderr.strip().splitlines()[-1]}")
    held, spent_s = json.loads(said.stdout.splitlines()[-1])
    peer = held / spent_s
    print(f"{PEER}, given {len(rows):,} of the same {len(plans):,} plans, prices the {held:,} that it finds to fit:")
    print(f"    {peer:,.0f} a second; deepwide all of these plans at {rate:,.0f}, {rate / peer:,.0f} times as many;")
    print(f"    and its search of all plans of this job at {search_rate:,.0f}, {search_rate / peer:,.0f} times as many")


def environment(folder: str) -> str:
    """An interpreter with the peer, to be thrown away."""
    print(f"installing {PEER} for this run ...", flush=True)
    venv.create(folder, with_pip=True)
    program = str(Path(folder) / "bin" / "python")
    subprocess.run([program, "-m", "pip", "install", "--quiet", PEER], check=True)
    return program


if __name__ == "__main__":
    main()
