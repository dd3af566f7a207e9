"""What does this machine do? Its kernels and the lab's models measured, the cost model's constants fitted to them.

The profile that comes of it stands for the machine as `this` wherever an accelerator is asked for. What it is worth is
measured on models that it was not fitted on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepwide.answers.calibrate.machine_answer import Check, MachineCalibration
from deepwide.answers.calibrate.times import (
    WEIGHTS,
    Timed,
    of_serving,
    of_training,
    roofline_serving,
    roofline_training,
)
from deepwide.answers.limits import whole
from deepwide.answers.models import find_model
from deepwide.calibration.machine import Fitted, fitted, serving_start, training_start
from deepwide.facts.device import Accelerator, Link
from deepwide.facts.own_files import THIS
from deepwide.facts.runtimes import PHASES, ServingConstants
from deepwide.facts.this_machine import Fit, checked_path, machine_path, write_machine
from deepwide.facts.training import TrainingConstants
from deepwide.lab.needs import need_lab
from deepwide.robust import need_scipy

if TYPE_CHECKING:
    import torch

    from deepwide.lab.kernels import Kernels
    from deepwide.lab.measure import Exchange, Rates

LLAMA, GPT2 = "like=llama,context=2048", "like=gpt2,context=2048"
# Small models apart from each other in depth, width, family, vocabulary: what is fitted must hold between them.
FITTED = (
    f"{LLAMA},layers=2,hidden=64,heads=4,ffn=176,vocab=256",
    f"{LLAMA},layers=12,hidden=64,heads=4,ffn=208,vocab=256",
    f"{LLAMA},layers=1,hidden=384,heads=12,ffn=1024,vocab=256",
    f"{LLAMA},layers=4,hidden=192,heads=6,kv_heads=3,ffn=512,vocab=2048",
    f"{GPT2},layers=3,hidden=128,heads=4,ffn=512,vocab=256",
    f"{GPT2},layers=10,hidden=96,heads=3,ffn=384,vocab=1024",
    f"{LLAMA},layers=24,hidden=32,heads=2,ffn=96,vocab=256",
    f"{LLAMA},layers=3,hidden=320,heads=5,ffn=864,vocab=512",
)
HELD_OUT = (
    f"{LLAMA},layers=7,hidden=112,heads=7,ffn=288,vocab=256",
    f"{LLAMA},layers=32,hidden=48,heads=3,ffn=112,vocab=256",
    f"{GPT2},layers=6,hidden=224,heads=7,ffn=896,vocab=512",
    f"{LLAMA},layers=2,hidden=256,heads=8,kv_heads=2,ffn=640,vocab=4096",
)
CONTEXTS = (24, 480, 1440)  # tokens in view of the first that is written
BATCHES = ((16, 128), (2, 320))  # sequences, and tokens of each: apart in length, which tells attention from the rest
HELD_OUT_CONTEXTS, HELD_OUT_BATCHES = (160, 960), ((16, 128), (4, 192))
MEASURED_S = 40.0  # for all models; one whole round is always taken
READ_TIMES = 8  # that tokens are written, and kernels run, in a round of steps
PROBED = (FITTED[1], FITTED[3])
NOISY = 1.5  # an upper quartile so many times the lower tells of a busy machine
Told = Callable[[str, float], None]


def calibrate_machine(
    *, out: str | Path | None = None, threads: int | None = None, told: Told = lambda what, share: None
) -> MachineCalibration:
    """Measures this machine in about a minute, fits the constants of the lab on it, and writes its profile.

    out               where to; this machine's own place when left out, from which `this` is read
    threads           that the lab may use; all cores when left out
    told              hears what is being done and which share of it is done
    """
    need_lab()
    need_scipy()
    from deepwide.lab.device import usual_device
    from deepwide.lab.measure import exchange, training_kernels
    from deepwide.lab.store.environment import cores

    began, path, device = time.perf_counter(), machine_path() if out is None else Path(out), usual_device()
    checked_path(path)
    used = whole("threads", cores() if threads is None else threads, 1, cores())
    told("processes that talk", 0.0)
    joined = exchange(device.type == "cuda")
    told("the quickest way to train", 0.0)
    fixed = {"threads": 1, "lanes": 1} if used == 1 else {}
    kernels = training_kernels([find_model(m).described() for m in PROBED], *BATCHES[0], device, **fixed)
    lab = _Lab(kernels=kernels, threads=used, device=device, told=told)
    reached, (seen, unseen) = lab.timed(
        _Set(models=FITTED, contexts=CONTEXTS, batches=BATCHES),
        _Set(models=HELD_OUT, contexts=HELD_OUT_CONTEXTS, batches=HELD_OUT_BATCHES),
    )
    here = _accelerator(reached, joined, used)
    serving, training = _fitted(here, seen, reached, joined, kernels)
    checks = _checks(here, unseen, serving, training, kernels)
    write_machine(path, here, kernels.to_dict(), _as_written(serving, WEIGHTS), _as_written(training, kernels.dtype))
    noise = sorted(t.spread for t in (*seen, *unseen))[-1 - len(seen) // 10]
    return MachineCalibration(
        name=THIS if path == machine_path() else str(path),
        out=str(path),
        machine=here.notes,
        accelerator={"peak_flops_per_s": reached.peak_flops_per_s, "near_bytes_per_s": reached.near_bytes_per_s}
        | {"bandwidth_bytes_per_s": here.bandwidth_bytes_per_s, "memory_bytes": here.memory_bytes}
        | {"call_s": reached.call_s, "link": None if joined is None else asdict(joined)},
        kernels=kernels.to_dict(),
        threads=used,
        inference=_told(serving),
        training=_told(training),
        checks=checks,
        coverage=sum(c.low_s <= c.measured_s <= c.high_s for c in checks) / len(checks),
        noise=noise,
        seconds=time.perf_counter() - began,
        notes=tuple(_notes(noise)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Set:
    """Models, the contexts that they write after, and the batches (sequences, tokens of each) that they learn from."""

    models: Sequence[str]
    contexts: Sequence[int]
    batches: Sequence[tuple[int, int]]

    @property
    def reads(self) -> list[tuple[str, int, int]]:
        """Each model after each context, as (model, sequences, tokens)."""
        return [(name, 1, context) for name in self.models for context in self.contexts]

    @property
    def steps(self) -> list[tuple[str, int, int]]:
        """Each model on each batch."""
        return [(name, *batch) for name in self.models for batch in self.batches]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lab:
    """How the lab computes while it is measured, and who hears of it."""

    kernels: Kernels
    threads: int
    device: torch.device
    told: Told

    def timed(self, *sets: _Set) -> tuple[Rates, list[list[Timed]]]:
        """What kernels reach; tokens, prompts and steps of each set. All take turns, so that no moment is for one."""
        from deepwide.lab.measure import Bench, Reading, Stepping, in_turn, woven
        from deepwide.lab.network import build

        bench = Bench(self.threads, self.device)
        built = {name: build(find_model(name).described(), device=self.device) for s in sets for name in s.models}
        reading = {of: Reading(built[of[0]], of[2], self.threads) for s in sets for of in s.reads}
        stepping = {of: Stepping(built[of[0]], *of[1:], self.kernels) for s in sets for of in s.steps}
        tasks = woven([*bench.tasks, *reading.values()], [*stepping.values()], READ_TIMES)
        taken = in_turn(tasks, MEASURED_S, lambda share: self.told("kernels and models", share))
        return bench.rates(taken), [
            [
                Timed(what=what, model=name, batch=batch, tokens=tokens, seconds=each.seconds, spread=each.spread)
                for ways, of_set in ((reading, s.reads), (stepping, s.steps))
                for name, batch, tokens in of_set
                for what, each in taken[ways[name, batch, tokens]].items()
            ]
            for s in sets
        ]


def _fitted(
    here: Accelerator, timed: Sequence[Timed], reached: Rates, joined: Exchange | None, kernels: Kernels
) -> tuple[Fitted, Fitted]:
    """The constants of writing and of training, each from its own times."""
    import numpy as np

    serving, steps = _of_kind(timed, ("decode", "prefill")), _of_kind(timed, ("step",))
    start = serving_start(reached.call_s)
    cached_times = reached.near_bytes_per_s[0][1] / here.bandwidth_bytes_per_s
    hop_s = joined.start_s if joined else reached.call_s
    first = training_start(reached.call_s, cached_times, kernels.attention == "sdpa", hop_s)
    return (
        fitted(lambda v: of_serving(serving, here, replace(start, **v)), start, np.array([t.seconds for t in serving])),
        fitted(
            lambda v: of_training(steps, here, replace(first, **v), kernels.dtype),
            first,
            np.array([t.seconds for t in steps]),
        ),
    )


def _of_kind(timed: Sequence[Timed], kinds: tuple[str, ...]) -> list[Timed]:
    return [each for each in timed if each.what in kinds]


def _checks(
    here: Accelerator, unseen: Sequence[Timed], serving: Fitted, training: Fitted, kernels: Kernels
) -> tuple[Check, ...]:
    """Each unseen time beside the roofline and the prediction."""
    of_two, of_steps = _of_kind(unseen, ("decode", "prefill")), _of_kind(unseen, ("step",))
    own, trained = ServingConstants(**serving.constants), TrainingConstants(**training.constants)
    bare = [
        *of_serving(of_two, here, roofline_serving(here)),
        *of_training(of_steps, here, roofline_training(trained), kernels.dtype),
    ]
    found = [*of_serving(of_two, here, own), *of_training(of_steps, here, trained, kernels.dtype)]
    spreads = [serving.spread] * len(of_two) + [training.spread] * len(of_steps)
    return tuple(
        Check(
            what=t.what,
            model=t.model,
            setting=t.setting,
            measured_s=t.seconds,
            roofline_s=float(roof_s),
            predicted_s=float(s),
            low_s=float(s) * math.exp(-spread),
            high_s=float(s) * math.exp(spread),
        )
        for t, roof_s, s, spread in zip([*of_two, *of_steps], bare, found, spreads, strict=True)
    )


def _accelerator(reached: Rates, joined: Exchange | None, threads: int) -> Accelerator:
    """The machine as a device: the slowest of the rates that weights stream at is that of its memory."""
    from deepwide.lab.store.environment import environment

    found = environment()
    name = (found["accelerators"] or [found["cpu"]])[0]
    return Accelerator(
        name=THIS,
        memory_bytes=reached.memory_bytes,
        bandwidth_bytes_per_s=reached.near_bytes_per_s[-1][1],
        peak_flops_per_s=reached.peak_flops_per_s,
        near_bytes_per_s=reached.near_bytes_per_s,
        link=None if joined is None else Link(kind=joined.backend, bytes_per_s=joined.bytes_per_s),
        notes=f"{name}, {threads} threads of {found['cores']} cores, torch {found['torch']}",
        source=f"measured by deepwide calibrate on {date.today()}",
        confidence="measured",
        checked=date.today(),
    )


def _as_written(fit: Fitted, form: str) -> Fit:
    """The constants as the file has them: a range is a factor for inference, a logarithm for training."""
    phases = ("step",) if "optimizer_passes" in fit.constants else PHASES
    width = fit.spread if phases == ("step",) else math.exp(fit.spread)
    return Fit(
        format=form,
        rows=len(fit.found.own),
        error_share=fit.error_share,
        spread=dict.fromkeys(phases, width),
        constants=fit.constants,
    )


def _told(fit: Fitted) -> dict[str, Any]:
    return {
        "rows": len(fit.found.own),
        "error_share": fit.error_share,
        "spread": math.exp(fit.spread),
        "constants": fit.constants,
    }


def _notes(noise: float) -> Iterator[str]:
    if noise > NOISY:
        yield (
            f"the machine was busy: of one time in ten, the middle half spans a factor of {noise:.2f} or more; "
            "calibrate again when it is quiet"
        )
