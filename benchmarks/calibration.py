"""What a few of a user's own measurements are worth: errors before and after, with and without a prior.

    python benchmarks/calibration.py --data DIR [--seeds 10] [--only WORD] [--inference]

A source of published measurements plays the user: its engine is pretended to be unknown, so that the fit starts from
constants fitted on all others (training) or on none (inference: the row `default`). It is shown 3, 10 and 30 random
rows of the source, and predicts those it has not seen. `covered` is the share of these inside the interval that the
answer gives, `no prior` a plain least-squares fit to the same rows from the same start.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import accuracy_inference
import fit_training
import inference_cases
import numpy as np
import training_cases
from numpy.typing import NDArray
from scipy.optimize import least_squares

from deepwide.calibration import inference as serving_constants
from deepwide.calibration import training as training_constants
from deepwide.calibration.fit import NOISE, Prior
from deepwide.calibration.points import corrected, spread_after
from deepwide.cost.inference.engine import engine as serving_engine
from deepwide.facts import runtimes
from deepwide.facts.training import ANY, TrainingConstants, training_profile

COUNTS = (3, 10, 30)
MOST_HELD_OUT = 150
FARTHEST = 30.0  # logarithms, where nothing else holds the constants
# Who plays the user: the words in front of the table, the engine, and its accelerator where it has several.
USERS = {
    "vTrain": ("megatron-deepspeed", ""),
    "llm-foundry A100 80 GB": ("llm-foundry", "a100-sxm-80gb"),
    "InternEvo": ("internevo", ""),
    "BigScience": ("megatron-deepspeed-jean-zay", ""),
    "NeMo H100": ("nemo", ""),
}
LEAST_ROWS = 24  # of a runtime on an accelerator, to learn from and to be judged by

Predict = Callable[[Mapping[str, float]], NDArray[Any]]
Predictor = Callable[[Sequence[int]], Predict]


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A source that plays the user: its times, what predicts some of them, and what is known beforehand."""

    name: str
    measured_s: NDArray[Any]
    predictor: Predictor
    prior: Mapping[str, Prior]
    spread: float


def training_users(folder: Path, only: str) -> Iterator[User]:
    every = [c for c in training_cases.cases(folder) if not c.excluded]
    known = training_profile(ANY, ANY, ANY)
    for name, (runtime, device) in USERS.items():
        if only.lower() not in name.lower():
            continue
        chosen = [c for c in every if c.site.runtime == runtime and device in ("", c.device.name)]
        start = all_but(every, chosen[0].site.engine or runtime)
        yield User(
            name=f"{name} ({len(chosen)})",
            measured_s=np.array([c.step_s for c in chosen]),
            predictor=_training_predictor(chosen, start),
            prior=training_constants.prior(start),
            spread=known.spread,
        )


def all_but(every: Sequence[training_cases.Case], engine: str) -> TrainingConstants:
    """The fit over every engine with fused attention, without one engine."""
    groups: dict[tuple[str, ...], list[training_cases.Case]] = {}
    for c in every:
        name = c.site.engine or c.site.runtime
        if name not in (*fit_training.UNFUSED_RUNTIMES, engine):
            groups.setdefault((name, c.site.runtime, c.device.name, c.format), []).append(c)
    chosen = [c for group in groups.values() for c in fit_training.thinned(group, fit_training.FAIR_SAMPLE)]
    return fit_training.fitted(chosen, training_constants.TYPICAL)


def _training_predictor(chosen: Sequence[training_cases.Case], start: TrainingConstants) -> Predictor:
    def predictor(which: Sequence[int]) -> Predict:
        members = [chosen[i] for i in which]
        stacked = fit_training.stacks(members)
        return lambda values: fit_training.predicted_s(stacked, replace(start, **values), len(members))

    return predictor


def inference_users(folder: Path, only: str) -> Iterator[User]:
    groups: dict[tuple[str, str], list[inference_cases.Case]] = {}
    for c in inference_cases.cases(folder):
        if not c.excluded:
            groups.setdefault((c.runtime, c.on.name), []).append(c)
    for (runtime, device), chosen in sorted(groups.items()):
        if only.lower() not in f"{runtime} {device}" or len(chosen) < LEAST_ROWS:
            continue
        known = runtimes.profile("default", device)
        yield User(
            name=f"{runtime} on {device} ({len(chosen)})",
            measured_s=np.array([c.seconds for c in chosen]),
            predictor=_serving_predictor(chosen, known),
            prior=serving_constants.prior(known.constants, serving_constants.UNKNOWN),
            spread=math.log(max(known.spread.values())),
        )


def _serving_predictor(chosen: Sequence[inference_cases.Case], known: runtimes.Profile) -> Predictor:
    start = asdict(known.constants)

    def one_s(c: inference_cases.Case, factors: Mapping[str, float]) -> float:
        by = runtimes.profile("default", c.on.name, c.weights)
        own = asdict(by.constants)
        by = replace(by, constants=replace(by.constants, **{n: own[n] * f for n, f in factors.items()}))
        on = serving_engine(c.on, by, weights=c.how, cache=c.cache, devices=c.tp * c.pp)
        size = {"batch": c.batch, "into": c.input, "out": c.output, "held": accuracy_inference.held_sequences(c)}
        try:
            return float(accuracy_inference.predicted_s(c, on, by.chunk, **size))
        except OverflowError:  # constants that only a fit without a prior comes to
            return math.exp(FARTHEST)

    def predictor(which: Sequence[int]) -> Predict:
        def predict(values: Mapping[str, float]) -> NDArray[Any]:
            factors = {n: v / start[n] for n, v in values.items()}
            return np.array([one_s(chosen[i], factors) for i in which])

        return predict

    return predictor


def least_squares_alone(predict: Predict, prior: Mapping[str, Prior], measured_s: NDArray[Any]) -> dict[str, float]:
    """The same constants fitted to the same rows with nothing to hold them."""

    def values(steps: NDArray[Any]) -> dict[str, float]:
        logs = np.clip(steps, -FARTHEST, FARTHEST)
        return {n: p.value * math.exp(s * p.spread) for (n, p), s in zip(prior.items(), logs, strict=True)}

    def residuals(steps: NDArray[Any]) -> NDArray[Any]:
        return bounded(np.log(predict(values(steps))) - np.log(measured_s)) / NOISE

    return values(least_squares(residuals, np.zeros(len(prior)), max_nfev=40).x)


def bounded(residuals: NDArray[Any]) -> NDArray[Any]:
    return np.clip(residuals, -FARTHEST, FARTHEST)


def error(residuals: NDArray[Any]) -> float:
    return float(np.abs(np.expm1(bounded(residuals))).mean())


def told(user: User, count: int, seeds: int) -> str:
    """A line of the table."""
    found: dict[str, list[float]] = {}
    middle = {n: p.value for n, p in user.prior.items()}
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(user.measured_s))
        seen, unseen = order[:count], order[count : count + MOST_HELD_OUT]
        known, held = user.predictor(seen), user.predictor(unseen)
        measured, logs = user.measured_s[seen], np.log(user.measured_s[unseen])
        fit = corrected(known, user.prior, measured)
        after = np.log(held(fit.values)) - logs
        alone = np.log(held(least_squares_alone(known, user.prior, measured))) - logs
        said = {
            "before": error(np.log(held(middle)) - logs),
            "after": error(after),
            "left out": error(fit.left_out),
            "covered": float((np.abs(after) <= spread_after(fit.left_out, user.spread)).mean()),
            "range": spread_after(fit.left_out, user.spread),
            "alone": error(alone),
        }
        for name, value in said.items():
            found.setdefault(name, []).append(value)
    mean = {name: float(np.mean(values)) for name, values in found.items()}
    return (
        f"| {user.name} | {count} | {mean['before']:.1%} | {mean['after']:.1%} | {max(found['after']):.1%} | "
        f"{mean['left out']:.1%} | {math.exp(mean['range']):.2f} | {mean['covered']:.0%} | "
        f"{_percent(float(np.median(found['alone'])))} | {_percent(max(found['alone']))} |"
    )


def _percent(share: float) -> str:
    return f"{share:.1%}" if share < 10 else f"{share:.1e}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder with training_cases*.csv")
    parser.add_argument("--seeds", type=int, default=10, help="random choices of the rows that are shown")
    parser.add_argument("--only", default="", help="users whose name contains this")
    parser.add_argument("--inference", action="store_true", help="runtimes instead of training engines")
    given = parser.parse_args()
    print(
        "| user (rows) | points | before | after | worst | left out | range ×÷ | covered | no prior, median | worst |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for user in (inference_users if given.inference else training_users)(given.data, given.only):
        for count in COUNTS:
            if 2 * count <= len(user.measured_s):
                print(told(user, count, given.seeds), flush=True)


if __name__ == "__main__":
    main()
