"""Constants of a runtime from measured answers: how far each may move from what is known of a runtime."""

from __future__ import annotations

from dataclasses import asdict

from deepwide.calibration.fit import Prior
from deepwide.facts.runtimes import ServingConstants

# How far one installation lies from what its runtime was measured at, as the deviation of a logarithm. Shares of an
# accelerator's rates hardly differ, launches and waiting differ more: hosts, versions and settings do.
SPREADS = {
    "compute_efficiency": 0.3,
    "memory_efficiency": 0.2,
    "scores_efficiency": 0.4,
    "cache_efficiency": 0.4,
    "bytes_per_cycle": 0.2,
    "sharpness": 0.3,
    "launch_s": 0.4,
    "attention_launch_s": 0.4,
    "small_s": 0.5,
    "layer_s": 1.0,
    "step_s": 1.0,
    "sequence_s": 1.0,
    "request_s": 1.5,
    "stage_s": 1.0,
    "reread_share": 0.7,
    "host_layer_s": 0.7,
    "expert_s": 1.0,
    "all_reduce_s": 0.7,
    "link_efficiency": 0.4,
    "interference": 0.3,
}
UNKNOWN = 0.5  # tightness of the prior around a runtime that nobody measured: ten points then say more than it does


def prior(constants: ServingConstants, tightness: float = 1.0) -> dict[str, Prior]:
    """A prior around known constants, so many times tighter than what is known of any installation of a runtime."""
    values = asdict(constants)
    return {n: Prior(value=values[n], spread=s / tightness) for n, s in SPREADS.items() if n in values}
