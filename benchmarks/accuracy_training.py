"""Training: the time of a step, as published by those who ran it.

Baseline: half of the accelerator's 16-bit matrix rate on 6 flops per active parameter and token, whatever the plan.
Peers on the same tables (mean error, measured with llm-analysis d841e40, Calculon caa4b11 and SimuMax 4dcaae5):
Korthikanti 2022 table 5: Calculon 3.7% (tuned on it), SimuMax 6.3%, llm-analysis 11.4 to 47.9%; Narayanan 2021 table 1:
Calculon 7.4%, llm-analysis 7.9 to 88%; vTrain on several nodes: Calculon 15.3%, llm-analysis 17.9 to 24.5%; vTrain on
one: Calculon 38.9%, llm-analysis 57 to 59.9%; SimuMax on its own B200 table 4.8 to 5.6%.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from accuracy_rows import Row
from training_cases import Case, cases

from deepwide.cost.training.engine import engine, peak_flops_per_s
from deepwide.cost.training.step import step_time
from deepwide.facts.training import training_profile, training_profiles

PEAK_SHARE = 0.5


def rows(folder: Path) -> Iterator[Row]:
    """Every row of training_cases*.csv."""
    for found in cases(folder):
        yield _row(found)


def notes(_: list[Row]) -> Iterator[str]:
    """What every fit makes of steps that it has not seen."""
    yield "Steps left out of the fit (one half of all rows predicted from the other, and whole models from the others;"
    yield "of an engine on `any` accelerator, whole accelerators and formats from the others):\n"
    yield "| engine / accelerator / format | rows | mean error left out | interval |"
    yield "|---|---:|---:|---:|"
    for row in training_profiles():
        low, high = math.expm1(-row.spread), math.expm1(row.spread)
        yield f"| {row.name} | {row.rows} | {row.error_share:.1%} | {low:+.0%} to {high:+.0%} |"


def _row(case: Case) -> Row:
    if case.excluded or case.site is None or case.device is None:
        return Row(id=case.id, source=case.source, excluded=case.excluded)
    profile = training_profile(case.site.runtime, case.device.name, case.format)
    far = case.site.network_bytes_per_s
    drives = engine(case.device, profile.constants, case.format, network_bytes_per_s=far)
    job = case.job()
    step_s = min(float(step_time(job, plan, drives).step_s) for plan in case.plans())
    devices = case.plans()[0].devices
    tokens = job.global_batch * job.sequence
    rate = PEAK_SHARE * peak_flops_per_s(case.device, "bf16") * devices
    return Row(
        id=case.id,
        source=case.source,
        published=case.step_s,
        predicted=step_s,
        low=step_s * math.exp(-profile.spread),
        high=step_s * math.exp(profile.spread),
        baseline=6 * job.ledger.active_parameters() * tokens / rate,
    )
