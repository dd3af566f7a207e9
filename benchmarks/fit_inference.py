"""Fits the constants of runtimes to measured inference, and says how far they are off on what they have not seen.

    python benchmarks/fit_inference.py --data DIR [--runtime NAME] [--write]

For each runtime one fit in logarithms: its own constants, and factors for each accelerator and each format of
weights. All start from priors (the table of kernels, and PRIORS below) and leave them only as far as the measurements
insist: minimise sum of robust(log(predicted / measured) / NOISE) + sum of (log(constant / prior) / width)^2. No
constant belongs to a model or to a row. Runtimes of one family (FAMILIES) start from what a fit of all its members
says, and leave that less far: alone, most of them were measured with one model on one accelerator. Held out are
random halves, whole models and whole accelerators, a fifth of them in turn; the spread that predictions are given is
the factor that nine of ten of those residuals lie within.
--write puts the constants into facts/runtimes.toml; without it only the errors are printed.
"""

from __future__ import annotations

import argparse
import math
import os
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import numpy as np
from accuracy_inference import held_sequences, phase, predicted_s, target
from fit_inference_priors import (
    BY_ACCELERATOR,
    BY_BOTH,
    BY_FORMAT,
    FAMILIES,
    MEASURED,
    NOISE,
    OWN_PRIORS,
    PRIORS,
    RELATED,
)
from fit_inference_tables import CAPTURED, CHUNKS, NARROW_SUMS, Table, runtimes_table
from inference_cases import Case, cases
from scipy.optimize import least_squares

from deepwide.cost.inference.engine import engine
from deepwide.facts import runtimes as facts

FOLDS = 5  # into which models and accelerators are dealt
STEP = 1e-4  # of a logarithm, for slopes
NINE_OF_TEN = 0.9
LEAST_SPREAD, FEW = 1.08, 8  # no interval is narrower; below so many measurements a phase has the spread of all
Key = tuple[str, str, str]  # constant, accelerator ("" for all), format ("" for all)
Fold = Callable[[Case], bool]
NO_FAMILY: Mapping[Key, float] = {}


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Cases that are alike but for their sizes, as columns."""

    cases: list[Case]
    batch: Any
    into: Any
    out: Any
    held: Any
    measured: Any

    @property
    def one(self) -> Case:
        return self.cases[0]

    @property
    def format(self) -> str:
        return facts.weight_format(self.one.weights)


def batches(found: Iterable[Case]) -> list[Batch]:
    groups: dict[Any, list[Case]] = {}
    for c in found:
        groups.setdefault(
            (c.model.name, c.how.name, c.weights, c.cache, c.on.name, c.tp, c.pp, c.what, c.encoder), []
        ).append(c)
    return [_columns(group) for group in groups.values()]


def _columns(group: list[Case]) -> Batch:
    batch, into, out = (np.array([getattr(c, n) for c in group], dtype=float) for n in ("batch", "input", "output"))
    held = np.array([held_sequences(c) for c in group])
    return Batch(cases=group, batch=batch, into=into, out=out, held=held, measured=np.log([c.seconds for c in group]))


class Problem:
    """One runtime's parameters, in logarithms, and the residuals of its cases."""

    def __init__(self, runtime: str, groups: list[Batch], family: Mapping[Key, float] = NO_FAMILY) -> None:
        self.runtime, self.groups = runtime, groups
        priors = {**PRIORS, **next((own for name, own in OWN_PRIORS.items() if name in runtime), {})}
        accelerators = sorted({g.one.on.name for g in groups})
        formats = sorted({g.format for g in groups} - {""})
        pairs = sorted({(g.one.on.name, g.format) for g in groups if g.format})
        both = [(a, f) for a, f in pairs if sum(f == other for _, other in pairs) > 1]
        self.keys: list[Key] = [(name, "", "") for name in priors]
        self.keys += [(name, a, "") for a in accelerators for name in BY_ACCELERATOR]
        self.keys += [(name, "", f) for f in formats for name in BY_FORMAT]
        self.keys += [(name, a, f) for a, f in both for name in BY_BOTH]
        own = {(n, a, f): 0.0 if a or f else math.log(priors[n][0]) for n, a, f in self.keys}
        self.middle = np.array([family.get(key, middle) for key, middle in own.items()])
        self.width = np.array([self._width(key, priors) for key in self.keys]) * (RELATED if family else 1.0)
        self.touched = [
            [j for j, (_, a, f) in enumerate(self.keys) if a in ("", g.one.on.name) and f in ("", g.format)]
            for g in groups
        ]
        self.blank = facts.Profile(
            runtime=runtime,
            constants=facts.ServingConstants(**dict.fromkeys(facts.CONSTANTS, 1.0)),
            basis="",
            spread={},
            measured=True,
            chunk=next((n for name, n in CHUNKS.items() if runtime.startswith(name)), 8192),
            narrow_sums=runtime in NARROW_SUMS,
            captured_context=next((n for name, n in CAPTURED.items() if runtime.startswith(name)), 2**40),
        )

    def _width(self, key: Key, priors: Mapping[str, tuple[float, float]]) -> float:
        """How far a parameter may lie from its middle; measured kernels leave an accelerator less to explain."""
        name, accelerator, format = key
        if not accelerator:
            return BY_FORMAT[name] if format else priors[name][1]
        known = MEASURED if self.runtime in FAMILIES and facts.kernels_measured_on(accelerator) else 1.0
        return known * (BY_BOTH if format else BY_ACCELERATOR)[name]

    def residual(self, i: int, x: Any) -> Any:
        """Logarithms of predicted over measured, for one batch of cases."""
        g = self.groups[i]
        values = {n: math.log(facts.kernel_constants(g.one.on.name).get(n, 1.0)) for n in facts.CONSTANTS}
        for j in self.touched[i]:
            values[self.keys[j][0]] += x[j]
        by = replace(self.blank, constants=facts.ServingConstants(**{n: math.exp(v) for n, v in values.items()}))
        on = engine(g.one.on, by, weights=g.one.how, cache=g.one.cache, devices=g.one.tp * g.one.pp)
        return np.log(predicted_s(g.one, on, by.chunk, batch=g.batch, into=g.into, out=g.out, held=g.held)) - g.measured

    def residuals(self, x: Any) -> Any:
        parts = [_robust(self.residual(i, x)) for i in range(len(self.groups))]
        return np.concatenate([*parts, (x - self.middle) / self.width])

    def jacobian(self, x: Any) -> Any:
        """Slopes; a factor for an accelerator has the slope of the constant itself, on its own rows."""
        rows = sum(len(g.cases) for g in self.groups)
        found = np.zeros((rows + len(x), len(x)))
        start = 0
        for i, g in enumerate(self.groups):
            stop, base, slopes = start + len(g.cases), _robust(self.residual(i, x)), {}
            for j in self.touched[i]:
                name = self.keys[j][0]
                if name not in slopes:
                    moved = x.copy()
                    moved[j] += STEP
                    slopes[name] = (_robust(self.residual(i, moved)) - base) / STEP
                found[start:stop, j] = slopes[name]
            start = stop
        found[rows:] = np.diag(1 / self.width)
        return found

    def fitted(self) -> dict[Key, float]:
        """The parameters, by their keys."""
        x = least_squares(self.residuals, self.middle, jac=self.jacobian, xtol=1e-4, ftol=1e-4, max_nfev=30).x
        return dict(zip(self.keys, (float(v) for v in x), strict=True))

    def seen_by(self, parameters: dict[Key, float]) -> Iterator[tuple[Case, float]]:
        """Every case with its residual; where a fit knows nothing of an accelerator or format, the prior holds."""
        x = np.array([parameters.get(k, m) for k, m in zip(self.keys, self.middle, strict=True)])
        for i, g in enumerate(self.groups):
            yield from zip(g.cases, (float(r) for r in self.residual(i, x)), strict=True)


def _robust(residual: Any) -> Any:
    """Residuals whose square grows only linearly far out (soft l1)."""
    r = residual / NOISE
    return np.sign(r) * np.sqrt(2 * (np.sqrt(1 + r * r) - 1))


def fitted(runtime: str, found: Iterable[Case], relatives: Iterable[Case]) -> dict[Key, float]:
    """A runtime's parameters: from those of its family, where it has one, and from its own cases."""
    related = batches(relatives)
    family = Problem(runtime, related).fitted() if related else NO_FAMILY
    own = batches(found)
    return {**family, **(Problem(runtime, own, family).fitted() if own else {})}


def held_out(
    runtime: str, found: Sequence[Case], relatives: Sequence[Case], folds: list[Fold]
) -> list[tuple[Case, float]]:
    """Each case with its residual under the fit that has not seen it, nor has its family's."""
    full, residuals = Problem(runtime, batches(found)), []
    for outside in folds:
        seen, others = ([c for c in each if not outside(c)] for each in (found, relatives))
        if seen or others:
            parameters = fitted(runtime, seen, others)
            residuals += [(c, r) for c, r in full.seen_by(parameters) if outside(c)]
    return residuals


def folds(every: Sequence[Case]) -> dict[str, list[Fold]]:
    """Random halves; whole models, a part of them in turn; whole accelerators likewise."""
    chance = random.Random(0)
    first = {id(c) for c in every if chance.random() < 0.5}
    models, accelerators = _parts(c.model.name for c in every), _parts(c.on.name for c in every)
    return {
        "halves": [lambda c: id(c) in first, lambda c: id(c) not in first],
        "models": [lambda c, part=part: c.model.name in part for part in models],
        "accelerators": [lambda c, part=part: c.on.name in part for part in accelerators],
    }


def _parts(names: Iterable[str]) -> list[set[str]]:
    """Names dealt out to a few folds; none where there is but one name."""
    known = sorted(set(names))
    return [set(known[i::FOLDS]) for i in range(min(FOLDS, len(known)))] if len(known) > 1 else []


def spreads(residuals: list[tuple[Case, float]], floor: float) -> dict[str, float]:
    """By phase, the factor that nine of ten lie within."""
    found = {}
    for name in facts.PHASES:
        sizes = sorted(abs(r) for c, r in residuals if phase(c) == name)
        if len(sizes) >= FEW:
            found[name] = max(floor, math.exp(sizes[min(len(sizes) - 1, int(NINE_OF_TEN * len(sizes)))]))
    return found


def errors(label: str, residuals: list[tuple[Case, float]]) -> str:
    """Mean errors of the published figures, by target."""
    by: dict[str, list[float]] = {}
    for c, r in residuals:
        by.setdefault(target(c), []).append(abs(math.exp(-r if c.rate else r) - 1))
    return f"  {label:12} " + "; ".join(f"{k} {np.mean(v):.1%} ({len(v)})" for k, v in sorted(by.items()))


def studied(
    runtime: str, found: list[Case], relatives: list[Case]
) -> tuple[dict[Key, float], dict[str, list[tuple[Case, float]]]]:
    """The parameters fitted on all measurements of a runtime and its family, and residuals seen and unseen."""
    parameters = fitted(runtime, found, relatives)
    residuals = {"in sample": list(Problem(runtime, batches(found)).seen_by(parameters))}
    for name, each in folds([*found, *relatives]).items():
        residuals[name] = held_out(runtime, found, relatives, each)
    return parameters, residuals


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runtime", default="", help="one runtime alone")
    parser.add_argument("--write", action="store_true", help="put the constants into facts/runtimes.toml")
    given = parser.parse_args()
    by_runtime: dict[str, list[Case]] = {}
    for c in cases(given.data):
        if not c.excluded:
            by_runtime.setdefault(c.runtime, []).append(c)
    names = sorted((n for n in by_runtime if given.runtime in ("", n)), key=lambda name: -len(by_runtime[name]))
    relatives = {name: [c for n in FAMILIES.get(name, ()) for c in by_runtime.get(n, ())] for name in names}
    tables: dict[str, Table] = {}
    everything: dict[str, list[tuple[Case, float]]] = {}
    with ProcessPoolExecutor(2) as pool:
        answers = pool.map(studied, names, (by_runtime[n] for n in names), (relatives[n] for n in names))
        for name, (parameters, residuals) in zip(names, answers, strict=True):
            print(f"{name}: {len(by_runtime[name])} measurements", flush=True)
            for label, each in residuals.items():
                everything.setdefault(label, []).extend(each)
                print(errors(label, each), flush=True)
            near = spreads([*residuals["halves"], *residuals["models"]], LEAST_SPREAD)
            tables[name] = (parameters, near, spreads(residuals["accelerators"], LEAST_SPREAD), len(by_runtime[name]))
    print("all runtimes")
    for label, each in everything.items():
        print(errors(label, each))
    if given.write:
        (facts.FOLDER / "runtimes.toml").write_text(runtimes_table(dict(sorted(tables.items()))), "utf-8")


if __name__ == "__main__":
    main()
