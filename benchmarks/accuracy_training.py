"""Training: the time of a step, as published by those who ran it.

Baseline: half of the accelerator's 16-bit matrix rate on 6 flops per active parameter and token, whatever the plan.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from accuracy_rows import Row
from training_cases import Case, cases

from deepwide.cost.training.engine import engine, peak_flops_per_s
from deepwide.cost.training.step import step_time
from deepwide.facts.training import training_profile

PEAK_SHARE = 0.5


def rows(folder: Path) -> Iterator[Row]:
    """Every row of training_cases*.csv."""
    for found in cases(folder):
        yield _row(found)


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
