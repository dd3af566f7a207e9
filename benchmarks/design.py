"""How many designs a second one core evaluates in full, how long 100 million take on two, and two peers beside it.

    python benchmarks/design.py [--repeats 5] [--skip-exhaustive] [--skip-peers | --peers FOLDER]

An evaluation is all that a search decides on: parameters, memory to serve and at the peak of training, KV cache, the
loss as the mean of both members, the time of a token, and a training step under a fixed plan, with its days, money and
carbon. "evaluated" is that alone; "searched" is the search on one core: limits, the best shape and the fronts besides.
Then a space of more than 100 million shapes, none of them left out for its size. Then shapes one by one, as every
other command prices them: they must equal their rows. Last, llm-analysis and GenZ (PyPI, their own pins) on the same
shapes, in environments made for this run, or kept in FOLDER; a peer that cannot be installed is said to be absent.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import numpy as np

from deepwide.answers.design.question import question
from deepwide.answers.design.wanted import Wanted
from deepwide.answers.loss import predicted
from deepwide.answers.models import Model, find_model
from deepwide.architecture.ledger import lower
from deepwide.cost.inference.passes import Work, forward
from deepwide.cost.training.memory import peak_training_bytes
from deepwide.cost.training.plan import Job
from deepwide.cost.training.step import step_time
from deepwide.design.engines import searched
from deepwide.design.pricing import Purpose, priced, serving_bytes
from deepwide.design.search import Tally, row, taken, tally
from deepwide.design.space import Block, blocks, spelled, template

DEVICE, BUDGET, DEVICES, TOKENS, CONTEXT = "h100", 10**10, 64, 2 * 10**11, 4096
HUNDRED_MILLION = 10**8
MULTIPLE, RATIOS = 64, tuple(1 + n / 64 for n in range(7 * 64 + 1))
WIDENED = (
    "hidden and FFN multiples of 64 instead of 128, FFN ratios from 1 to 8 in steps of 1/64 instead of 2.5 to 4 in 1/16"
)
CORES = 2
SAMPLE = 1_500_000  # shapes that are evaluated once for each repeat
ALONE = 500
CLOSE = 1e-15


class Peer(NamedTuple):
    """A tool on PyPI: what of a design it answers, how many shapes it is given, and the program that asks it."""

    package: str
    answers: str
    shapes: int
    program: str


READ = """
import json, logging, sys, time, warnings
warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)
"""
TIME = """
def taken(shape):
    try:
        priced(*shape)
    except (AssertionError, ValueError):
        return False
    return True
held = [shape for shape in json.load(sys.stdin) if taken(shape)]
started = time.process_time()
for shape in held:
    priced(*shape)
print(json.dumps([len(held), time.process_time() - started]))
"""
LLM_ANALYSIS = """
from llm_analysis.analysis import DSZeRO, LLMAnalysis
from llm_analysis.config import ModelConfig, ParallelismConfig, get_dtype_config_by_name, get_gpu_config_by_name
gpu, dtype = get_gpu_config_by_name("h100-sxm-80gb"), get_dtype_config_by_name("w16a16e16")
def asked(layers, hidden, heads, kv_heads, head_dim, ffn):
    model = ModelConfig(name="shape", num_layers=layers, n_head=heads, num_key_value_heads=kv_heads, hidden_dim=hidden,
                        ffn_embed_dim=ffn, vocab_size=128256, max_seq_len=4096)
    return LLMAnalysis(model, gpu, dtype, ParallelismConfig(dp_size=64), flops_efficiency=0.5,
                       hbm_memory_efficiency=0.8)
def step(on):
    on.training(batch_size_per_gpu=1, gradient_accumulation_steps=16, seq_len=4096, total_num_tokens=2 * 10**11,
                ds_zero=DSZeRO(3), mlp_gated_linear_units=True)
"""
STEP_ALONE = """
def priced(*shape):
    step(asked(*shape))
"""
STEP_AND_TOKEN = """
def priced(*shape):
    on = asked(*shape)
    step(on)
    on.inference(batch_size_per_gpu=1, seq_len=4096, num_tokens_to_generate=1)
"""
GENZ = """
from GenZ import ModelConfig, decode_moddeling
H100 = dict(Flops=989, Memory_size=80, Memory_BW=3350, ICN=450, ICN_LL=1, real_values=True)
def priced(layers, hidden, heads, kv_heads, head_dim, ffn):
    model = ModelConfig(vocab_size=128256, hidden_size=hidden, intermediate_size=ffn, num_ffi=2,
                        num_decoder_layers=layers, num_attention_heads=heads, num_key_value_heads=kv_heads,
                        head_dim=head_dim)
    decode_moddeling(model=model, batch_size=1, Bb=1, input_tokens=4096, system_name=H100, bits="bf16")
"""
PEERS = (
    Peer("llm-analysis", "a training step and its memory", 2000, READ + LLM_ANALYSIS + STEP_ALONE + TIME),
    Peer("llm-analysis", "these, and a token's time", 2000, READ + LLM_ANALYSIS + STEP_AND_TOKEN + TIME),
    Peer("genz-llm", "a token's time and memory", 100, READ + GENZ + TIME),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="how often; the best and the median are told")
    parser.add_argument("--skip-exhaustive", action="store_true")
    parser.add_argument("--skip-peers", action="store_true")
    parser.add_argument("--peers", type=Path, help="a folder that keeps the peers' environments")
    given = parser.parse_args()
    purpose = trained_under_one_plan()
    rate = evaluated(purpose, given.repeats)
    if not given.skip_exhaustive:
        exhaustive(purpose)
    alone(purpose)
    if not given.skip_peers:
        with tempfile.TemporaryDirectory() as folder:
            beside(purpose, rate, given.peers or Path(folder))


def trained_under_one_plan() -> Purpose:
    """A 10B design, served on one device and trained on 64, held to its limits but for the budget of parameters."""
    asked = question(DEVICE, Wanted(parameters=BUDGET, devices=DEVICES, tokens=TOKENS, context=CONTEXT)).purpose
    assert asked.cluster is not None
    cluster = replace(asked.cluster, plans=asked.cluster.plans[:1])
    limits = tuple(limit for limit in asked.limits if limit.column != "parameters")
    return replace(asked, cluster=cluster, limits=limits)


def evaluated(purpose: Purpose, repeats: int) -> float:
    """Evaluations for each second of one core; the rate of the search is told beside it."""
    every = list(blocks(purpose.space))
    shapes = sum(block.size for block in every)
    some = every[:: max(1, shapes // SAMPLE)]
    count = sum(block.size for block in some)

    def evaluate() -> None:
        for block in some:
            priced(purpose, block)

    rate = told("evaluated", count, evaluate, repeats)
    told("searched", shapes, lambda: tally(purpose), repeats)
    return rate


def told(what: str, count: int, work: Callable[[], Any], repeats: int) -> float:
    """Runs it some times, and prints how many of `count` shapes one second of one core takes."""
    spent = []
    for _ in range(repeats):
        started_s = time.process_time()
        work()
        spent.append(time.process_time() - started_s)
    best, median = count / min(spent), count / statistics.median(spent)
    print(f"{what}: {count:,} shapes, {best:,.0f} a second of one core at best, {median:,.0f} in the median")
    return best


def exhaustive(purpose: Purpose) -> None:
    """More than 100 million shapes, each evaluated with its training step."""
    purpose = replace(purpose, space=replace(purpose.space, multiple=MULTIPLE, ffn_ratios=RATIOS, tp=1))
    print(f"exhaustive: {WIDENED}")
    started_s, busy_s = time.perf_counter(), cpu_s()
    found = searched(purpose, "local", CORES, Shown(started_s))
    wall_s, spent_s = time.perf_counter() - started_s, cpu_s() - busy_s
    assert found.counted >= HUNDRED_MILLION, f"the space has only {found.counted:,} shapes"
    own, others = (
        resource.getrusage(who).ru_maxrss / 2**20 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    print(f"\r    {found.counted:,} shapes in {wall_s:.1f} s on {CORES} cores, training step included; {best(found)}")
    print(f"    {found.counted / wall_s:,.0f} a second, {found.counted / spent_s:,.0f} of each core's time")
    print(f"    peak memory {own:.2f} GiB, and {others:.2f} GiB in the largest process beside it")


class Shown:
    """A line that is written anew each second; where nobody watches, one every five."""

    def __init__(self, started_s: float) -> None:
        self.started_s, self.last_s, self.watched = started_s, started_s, sys.stdout.isatty()

    def __call__(self, counted: int) -> None:
        now_s = time.perf_counter()
        if now_s - self.last_s < (1 if self.watched else 5):
            return
        self.last_s = now_s
        line = f"    {counted:,} after {now_s - self.started_s:.0f} s"
        print(f"\r{line}" if self.watched else line, end="" if self.watched else "\n", flush=True)


def cpu_s() -> float:
    """Processor time of this process and of those that it has waited for."""
    return sum(os.times()[:4])


def best(found: Tally) -> str:
    """What came out of it, so that nobody wonders whether anything did."""
    kept = row(found.best)
    sizes = " ".join(f"{name} {kept[name]:g}" for name in ("layers", "hidden", "kv_heads", "ffn"))
    fronts = ", ".join(f"{len(front.rows['loss']):,} of {cost}" for cost, front in found.fronts.items())
    return f"{found.feasible:,} keep to the limits; best {sizes}; on fronts {fronts}"


def alone(purpose: Purpose) -> None:
    """Shapes from all over the space, each as one model with whole numbers: the same as their rows."""
    apart: dict[str, float] = {}
    rows = list(spread(purpose, ALONE))
    started_s = time.process_time()
    for found in rows:
        for name, value in one(purpose, find_model(spelled(purpose.space, found))).items():
            apart[name] = max(apart.get(name, 0.0), abs(value / found[name] - 1))
    rate = len(rows) / (time.process_time() - started_s)
    assert not apart["parameters"], apart
    assert not apart["loss"], apart
    assert max(apart.values()) < CLOSE, apart
    same = [name for name, share in apart.items() if share == 0]
    rest = [f"{name} {share:.0e}" for name, share in apart.items() if share > 0]
    print(f"one by one: {len(rows)} shapes, {rate:,.0f} a second, equal to their rows")
    print(f"    to the last digit: {', '.join(same)}")
    print(f"    and but for rounding, at most: {', '.join(rest) or 'nothing'}")


def spread(purpose: Purpose, count: int) -> Iterator[dict[str, Any]]:
    """Rows of blocks from all over the space, at places that are drawn with a fixed seed."""
    every, drawn = list(blocks(purpose.space)), np.random.default_rng(0)
    for block in every[:: max(1, len(every) // 50)]:
        columns, shape = priced(purpose, block), np.broadcast(block.layers, block.hidden).shape
        places = tuple(drawn.integers(0, n, max(1, count // 50)) for n in shape)
        rows = taken(block, columns, places)
        for index in range(len(places[0])):
            found = row(rows, index)
            yield {n: int(v) if v.is_integer() else v for n, v in found.items()}


def one(purpose: Purpose, model: Model) -> dict[str, Any]:
    """One model by the functions that the other commands price it with."""
    cluster, serving, ledger = purpose.cluster, purpose.serving, model.ledger
    architecture = model.described()
    assert cluster is not None
    job = Job(
        ledger=ledger,
        layers=architecture.main.layers,
        sequence=cluster.sequence,
        global_batch=cluster.global_batch,
    )
    plan = cluster.plans[0]
    decoding = Work(past=serving.context, batch=serving.batch, tp=serving.tp)
    quality, _ = predicted(model, float(TOKENS), purpose.unique_tokens)
    assert quality is not None
    return {
        "parameters": ledger.parameters(),
        "loss": float(quality.loss),
        "memory_bytes": serving_bytes(ledger, serving),
        "decode_s": forward(ledger, decoding, serving.engine).total_s,
        "step_s": step_time(job, plan, cluster.engine).step_s,
        "train_memory_bytes": peak_training_bytes(architecture, job, plan, cluster.habits).total_bytes,
    }


def beside(purpose: Purpose, rate: float, folder: Path) -> None:
    """The peers on shapes that both take: a FFN of 3 or 4 times the hidden size, that one device holds."""
    shapes = small_shapes(purpose)
    same = told_flat(purpose, shapes)
    rows = np.stack([np.broadcast_to(each, shapes.size) for each in columns_of(shapes)], axis=1)
    print(
        f"beside: {len(rows):,} shapes of at most {BUDGET:,} parameters; deepwide evaluates these {same:,.0f} a second"
    )
    for peer in PEERS:
        given = rows[:: max(1, len(rows) // peer.shapes)].astype(int).tolist()
        try:
            held, theirs = asked(peer, given, folder)
        except (OSError, subprocess.CalledProcessError) as failed:
            print(f"    {peer.package}: absent, {reason(failed)}")
            continue
        print(f"    {peer.package}, {peer.answers}: {theirs:,.0f} a second ({held:,} of {len(given):,} shapes taken);")
        print(f"        deepwide {same / theirs:,.0f} times as many of these, {rate / theirs:,.0f} of a search's")


def small_shapes(purpose: Purpose) -> Block:
    """Shapes of one kind, as single columns."""
    space = replace(purpose.space, ffn_ratios=(3.0, 4.0), head_dims=(128,), sharing=(4,), kv_heads=())
    block = next(blocks(space))
    small = np.asarray(lower(template(space, block)).parameters() <= BUDGET)
    return block.flat(np.flatnonzero(small))


def columns_of(block: Block) -> tuple[Any, ...]:
    """What a peer is told of a shape."""
    return block.layers, block.hidden, block.heads, block.kv_heads, block.kind.head_dim, block.ffn


def told_flat(purpose: Purpose, shapes: Block) -> float:
    """The rate at which single columns are evaluated, which share no axis."""
    spent = []
    for _ in range(20):
        started_s = time.perf_counter()
        priced(purpose, shapes)
        spent.append(time.perf_counter() - started_s)
    return shapes.size / min(spent)


def asked(peer: Peer, given: list[list[int]], folder: Path) -> tuple[int, float]:
    """How many of the shapes a peer takes, and how many of these a second."""
    program = interpreter(peer.package, folder)
    said = subprocess.run(
        [program, "-c", peer.program], input=json.dumps(given), capture_output=True, text=True, check=True
    )
    held, spent_s = json.loads(said.stdout.splitlines()[-1])
    return held, held / spent_s


def interpreter(package: str, folder: Path) -> str:
    """The interpreter of an environment with the peer, made where there is none."""
    home = folder / package
    program = str(home / "bin" / "python")
    if not home.exists():
        print(f"    installing {package} ...", flush=True)
        venv.create(home, with_pip=True)
        install = [program, "-m", "pip", "install", "--quiet", package]
        subprocess.run(install, capture_output=True, text=True, check=True)
    return program


def reason(failed: OSError | subprocess.CalledProcessError) -> str:
    """The last line of what went wrong."""
    said = (getattr(failed, "stderr", None) or str(failed)).strip()
    return said.splitlines()[-1] if said else "it said nothing"


if __name__ == "__main__":
    main()
