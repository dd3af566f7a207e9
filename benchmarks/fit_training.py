"""Fits the constants of training engines on published steps and writes src/deepwide/facts/training.toml.

    python benchmarks/fit_training.py --data DIR [--only ENGINE] [--dry-run]

One fit for each engine, accelerator and number format, one for each engine on all its accelerators, one for everything.
No constant belongs to a row or to a model. The error beside each fit is that of steps left out of it: one half of the
rows predicted from the other, and whole models from the others.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from training_cases import MICRO_BATCHES, Case, cases

from deepwide.architecture.ledger import lower
from deepwide.calibration.fit import fit
from deepwide.calibration.training import TYPICAL, UNFUSED, prior
from deepwide.cost.training.engine import engine
from deepwide.cost.training.plan import Job, Plan
from deepwide.cost.training.step import step_time
from deepwide.facts.training import ANY, TABLE, TrainingConstants, TrainingProfile, training_profiles
from deepwide.formats.huggingface import read_config

UNFUSED_RUNTIMES = ("megatron", "megatron-2021", "megatron-deepspeed", "megatron-deepspeed-jean-zay")
MOST_OF_A_SOURCE = 90  # rows of one table in a fit
OWN_TIGHTNESS = 1.5  # how much less one accelerator and format differ from their engine's others than engines differ
FOLDS = 4  # parts that models, or accelerators and formats, are left out in
FEWEST_ROWS = 5  # for constants of one accelerator and format; of two models at least, or a fair sample of one
FAIR_SAMPLE = 20  # errors below which a group's own quantile says little
COVERED = 0.9  # share of left-out cases inside the interval
HEAD = """# Constants of training engines, written by `python benchmarks/fit_training.py`; do not edit.
#
# Fitted on published training steps (the rows of training_cases*.csv that state shape, plan and time), one fit for each
# engine, accelerator and number format; "any" is a fit over all of them. `error_share` is the mean absolute error of
# steps that were left out of the fit, `spread` the logarithm within which nine of ten of those lie.
"""


@dataclass(frozen=True, slots=True)
class Stack:
    """Cases of one engine, device and format that one pass of the formulas predicts: sizes and plans are columns."""

    index: NDArray[Any]
    first: Case
    job: Job
    plans: list[Plan]


def stacks(chosen: Sequence[Case]) -> list[Stack]:
    """The cases in as few columns as their kinds allow."""
    alike: dict[tuple[Any, ...], list[int]] = {}
    for i, c in enumerate(chosen):
        plan = (c.recompute, c.zero, c.shard, c.sequence_parallel, c.micro_batch is None)
        place = (c.site, c.device.name if c.device else "", c.format)
        alike.setdefault((c.model, c.family, c.trainable, *plan, *place), []).append(i)
    return [_stack(chosen, indices) for indices in alike.values()]


def _stack(chosen: Sequence[Case], indices: list[int]) -> Stack:
    members = [chosen[i] for i in indices]
    first = members[0]
    numbers = {name: np.array([c.numbers[name] for c in members], float) for name in first.numbers}
    job = first.job()
    if not first.model:
        sizes = {name: np.array([c.sizes[name] for c in members], float) for name in first.sizes}
        described = read_config({"model_type": first.family}, changes=sizes, where="row")
        job = replace(job, ledger=lower(described), layers=sizes["layers"])
    job = replace(job, sequence=numbers.pop("sequence"), global_batch=numbers.pop("global_batch"))
    known = np.array([c.micro_batch or 0 for c in members], float)
    each = numbers["dp"]
    choices = (
        [known] if first.micro_batch else [np.where(job.global_batch / each % m, np.nan, m) for m in MICRO_BATCHES]
    )
    plan = first.plans()[0]
    return Stack(np.array(indices), first, job, [replace(plan, **numbers, micro_batch=m) for m in choices])


def predicted_s(stacked: Iterable[Stack], constants: TrainingConstants, count: int) -> NDArray[Any]:
    """Seconds of each case, the fastest micro-batch where none is stated."""
    seconds = np.full(count, np.inf)
    for s in stacked:
        assert s.first.device
        assert s.first.site
        far = s.first.site.network_bytes_per_s
        drives = engine(s.first.device, constants, s.first.format, network_bytes_per_s=far)
        for plan in s.plans:
            seconds[s.index] = np.fmin(seconds[s.index], step_time(s.job, plan, drives).step_s)
    return seconds


def fitted(chosen: Sequence[Case], start: TrainingConstants, tightness: float = 1.0) -> TrainingConstants:
    """The constants that these cases make most likely."""
    if not chosen:
        return start
    stacked, count = stacks(chosen), len(chosen)
    measured = np.array([c.step_s for c in chosen])

    def predict(values: Mapping[str, float]) -> NDArray[Any]:
        return predicted_s(stacked, replace(start, **values), count)

    return replace(start, **fit(predict, prior(start, tightness), measured).values)


def residuals(chosen: Sequence[Case], constants: TrainingConstants) -> NDArray[Any]:
    """Logarithms of predicted over measured."""
    return np.log(predicted_s(stacks(chosen), constants, len(chosen)) / [c.step_s for c in chosen])


Key = tuple[str, str, str]  # engine, accelerator, number format
Groups = Mapping[Key, Sequence[Case]]


@dataclass(frozen=True, slots=True)
class Fits:
    """What all versions of an engine have in common, each version, and each on an accelerator in a format."""

    common: TrainingConstants
    versions: dict[str, TrainingConstants]
    own: dict[Key, TrainingConstants]

    def nearest(self, key: Key) -> TrainingConstants:
        """The constants for a group, or for the engine it belongs to."""
        return self.own.get(key) or self.versions.get(key[0]) or self.common


def fits(groups: Groups, start: TrainingConstants) -> Fits:
    """From the common fit each version's, from that each group's; the nearer the relatives, the less they differ."""
    common = fitted([c for g in groups.values() for c in thinned(g)], start)
    versions = {}
    for version in {key[0] for key in groups}:
        members = [c for key, g in groups.items() if key[0] == version for c in thinned(g)]
        versions[version] = fitted(members, common, 1.0 if len(members) > FAIR_SAMPLE else OWN_TIGHTNESS)
    own = {key: fitted(thinned(g), versions[key[0]], OWN_TIGHTNESS) for key, g in groups.items() if _says_enough(g)}
    return Fits(common, versions, own)


def _says_enough(group: Sequence[Case]) -> bool:
    """Whether constants of its own would be more than a constant for one row or for one model."""
    models = {_model(c) for c in group}
    return len(group) >= FEWEST_ROWS and (len(models) > 1 or len(group) > FAIR_SAMPLE)


def thinned(group: Sequence[Case], most: int = MOST_OF_A_SOURCE) -> Sequence[Case]:
    """Every n-th case of each source, so that no table outweighs all others."""
    sources: dict[str, list[Case]] = {}
    for c in group:
        sources.setdefault(c.source, []).append(c)
    return [c for members in sources.values() for c in members[:: -(-len(members) // most)]]


def left_out(groups: Groups, start: TrainingConstants) -> dict[Key, NDArray[Any]]:
    """Residuals of cases that no fit has seen: of either half of all rows, and of every model with all of its rows."""
    found: dict[Key, list[NDArray[Any]]] = {key: [] for key in groups}
    for unseen in (*_halves(groups), *_models(groups)):
        held = {key: [c for c in group if id(c) in unseen] for key, group in groups.items()}
        known = fits({key: [c for c in group if id(c) not in unseen] for key, group in groups.items()}, start)
        for key, cases_held in held.items():
            if cases_held:
                found[key].append(residuals(cases_held, known.nearest(key)))
    return {key: np.concatenate(errors) for key, errors in found.items()}


def _halves(groups: Groups) -> Iterator[set[int]]:
    """The identities of every second row, and of the others, in an order of chance."""
    order = np.random.default_rng(0)
    first = {
        id(c) for group in groups.values() for c, n in zip(group, order.permutation(len(group)), strict=True) if n % 2
    }
    yield first
    yield {id(c) for group in groups.values() for c in group} - first


def _models(groups: Groups) -> Iterator[set[int]]:
    """The identities of the rows of some models, all models in turn; nothing where there is but one."""
    every = [c for group in groups.values() for c in group]
    names = sorted({_model(c) for c in every})
    for fold in range(min(FOLDS, len(names)) if len(names) > 1 else 0):
        yield {id(c) for c in every if _model(c) in names[fold::FOLDS]}


def _model(c: Case) -> str:
    return c.model or str(sorted(c.sizes.items()))


def transferred(groups: Groups, start: TrainingConstants) -> NDArray[Any]:
    """Residuals of whole groups that a common fit has not seen; of a lone group, what the start makes of it."""
    found, keys = [], sorted(groups)
    for fold in range(min(FOLDS, len(keys))):
        held = [c for key in keys[fold::FOLDS] for c in thinned(groups[key])]
        others = [c for i, k in enumerate(keys) if i % FOLDS != fold for c in thinned(groups[k])]
        found.append(residuals(held, fitted(others, start) if others else start))
    return np.concatenate(found)


def profile(
    name: tuple[str, str, str], chosen: Sequence[Case], constants: TrainingConstants, errors: NDArray[Any]
) -> TrainingProfile:
    """A row of the table; `errors` are those of cases left out."""
    shares = np.abs(np.exp(errors) - 1)
    sources = sorted({c.source for c in chosen})
    print(f"{' / '.join(name):52} {len(chosen):4} rows, left out {shares.mean():6.1%}", file=sys.stderr, flush=True)
    return TrainingProfile(
        runtime=name[0],
        accelerator=name[1],
        format=name[2],
        constants=constants,
        rows=len(chosen),
        error_share=float(shares.mean()),
        spread=float(np.quantile(np.abs(errors), COVERED)),
        source="fitted by this project on " + "; ".join(sources[:3]) + (" and others" if len(sources) > 3 else ""),
        checked=str(date.today()),
    )


def profiles(every: Sequence[Case], only: str | None) -> Iterator[TrainingProfile]:
    """Every fit: versions of an engine on an accelerator in a format, each on all of its accelerators, everything."""
    engines: dict[str, dict[Key, list[Case]]] = {}
    for c in every:
        assert c.site
        assert c.device
        engines.setdefault(c.site.engine or c.site.runtime, {}).setdefault(
            (c.site.runtime, c.device.name, c.format), []
        ).append(c)
    for engine_name, groups in sorted(engines.items()):
        if only not in (None, engine_name):
            continue
        start = UNFUSED if engine_name in UNFUSED_RUNTIMES else TYPICAL
        found, errors = fits(groups, start), left_out(groups, start)
        everywhere = np.concatenate(list(errors.values()))
        for key in sorted(found.own):
            chosen = groups[key]
            yield profile(key, chosen, found.own[key], _blended(errors[key], everywhere))
        elsewhere = transferred(groups, start)
        for version, constants in sorted(found.versions.items()):
            chosen = [c for key, group in groups.items() if key[0] == version for c in group]
            yield profile((version, ANY, ANY), chosen, constants, elsewhere)
    if only is None:
        yield _anything(engines)


def _blended(own: NDArray[Any], everywhere: NDArray[Any]) -> NDArray[Any]:
    """A small group's errors, and beside them as many of its engine's others as make up a fair sample."""
    lacking = max(0, FAIR_SAMPLE - len(own))
    others = np.quantile(everywhere, (np.arange(lacking) + 0.5) / lacking) if lacking else everywhere[:0]
    return np.concatenate([own, others])


def _anything(engines: Mapping[str, Groups]) -> TrainingProfile:
    """One fit over every engine with fused attention: what is known of an engine that nobody measured."""
    modern = {
        (name, ANY, ANY): [c for group in groups.values() for c in thinned(group, FAIR_SAMPLE)]
        for name, groups in engines.items()
        if name not in UNFUSED_RUNTIMES
    }
    chosen = [c for group in modern.values() for c in group]
    return profile((ANY, ANY, ANY), chosen, fitted(chosen, TYPICAL), transferred(modern, TYPICAL))


def written(rows: Iterable[TrainingProfile]) -> str:
    """The table as TOML."""
    lines = [HEAD]
    for row in rows:
        lines.append("[[profile]]")
        lines += [f'{n} = "{getattr(row, n)}"' for n in ("runtime", "accelerator", "format")]
        lines += [f"{n} = {value:.4g}" for n, value in asdict(row.constants).items()]
        lines += [f"rows = {row.rows}", f"error_share = {row.error_share:.3g}", f"spread = {row.spread:.3g}"]
        lines += [f'source = "{row.source}"', f"checked = {row.checked}", ""]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder with training_cases*.csv")
    parser.add_argument("--only", help="one engine; the rows of the others stay")
    parser.add_argument("--dry-run", action="store_true", help="print the errors and write nothing")
    given = parser.parse_args()
    rows = list(profiles([c for c in cases(given.data) if not c.excluded], given.only))
    if given.only:
        fresh = {row.runtime for row in rows}
        rows = sorted([*rows, *(r for r in training_profiles() if r.runtime not in fresh)], key=_place)
    if not given.dry_run:
        TABLE.write_text(written(rows), "utf-8")


def _place(row: TrainingProfile) -> tuple[bool, str, bool, str, str]:
    """Engines by name, each one's accelerators before what it does on any; what fits no engine last."""
    return row.runtime == ANY, row.runtime, row.accelerator == ANY, row.accelerator, row.format


if __name__ == "__main__":
    main()
