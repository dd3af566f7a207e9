"""Constants of a training engine from measured steps: the prior they start from, and how far they may move."""

from __future__ import annotations

from dataclasses import asdict, replace

from deepwide.calibration.fit import Prior
from deepwide.facts.training import TrainingConstants

# What is known of any engine on any accelerator, before a measurement: the middle of what the first fits gave, and
# how far one engine lies from another, as the deviation of a logarithm. A constant of spread 0 is never fitted.
TYPICAL = TrainingConstants(
    compute_efficiency=0.75,
    head_efficiency=0.6,
    attention_efficiency=0.35,
    expert_efficiency=0.7,
    memory_efficiency=0.8,
    elementwise_passes=1.5,
    expert_passes=4.0,
    score_passes=0.0,
    layer_launch_s=5e-4,
    expert_launch_s=1e-3,
    micro_batch_s=2e-3,
    step_s=1e-2,
    optimizer_passes=1.0,
    near_efficiency=0.7,
    far_efficiency=0.6,
    hop_s=1e-5,
    tensor_exposed=0.8,
    pipeline_exposed=0.5,
    data_exposed=0.5,
    context_exposed=0.5,
    expert_exposed=0.7,
    jitter_share=0.003,
    gradient_bytes=2.0,
)
SPREADS = {
    "compute_efficiency": 0.12,
    "head_efficiency": 0.3,
    "attention_efficiency": 0.4,
    "expert_efficiency": 0.4,
    "memory_efficiency": 0.15,
    "elementwise_passes": 0.5,
    "expert_passes": 0.7,
    "score_passes": 0.5,
    "layer_launch_s": 1.0,
    "expert_launch_s": 0.7,
    "micro_batch_s": 0.7,
    "step_s": 0.5,
    "optimizer_passes": 0.5,
    "near_efficiency": 0.3,
    "far_efficiency": 0.4,
    "hop_s": 0.7,
    "tensor_exposed": 0.3,
    "pipeline_exposed": 0.5,
    "data_exposed": 0.5,
    "context_exposed": 0.5,
    "expert_exposed": 0.4,
    "jitter_share": 0.7,
}
UNFUSED = replace(TYPICAL, score_passes=6.0)  # engines before fused attention kernels


def prior(constants: TrainingConstants, tightness: float = 1.0) -> dict[str, Prior]:
    """A prior around known constants, so many times tighter than what is known of any engine."""
    values = asdict(constants)
    return {n: Prior(value=values[n], spread=s / tightness) for n, s in SPREADS.items() if values[n] > 0}
