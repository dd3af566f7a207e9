"""Constants of the lab on one machine, from what it took there: rates of kernels, tokens written, steps taken.

What kernels alone reach says where the constants of a whole pass start from; measured passes then move them. Nothing is
fitted to one shape: a dozen constants for some forty measured times.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from deepwide.calibration.fit import Prior
from deepwide.calibration.points import Corrected, corrected, spread_after
from deepwide.facts.runtimes import ServingConstants
from deepwide.facts.training import TrainingConstants

if TYPE_CHECKING:
    from numpy.typing import NDArray

NONE_S = 1e-9  # of what the lab does not do
BEFORE = math.log(2.0)  # nine of ten times were expected within a factor of two, before anything was measured
PROMPT_SHARE = 0.5  # of the peaks, by prompts
# Operations that PyTorch is told of one by one, where the lab runs them: counted in its modules.
LAYER_CALLS, NORM_CALLS, ATTENTION_CALLS, LINEAR_CALLS = 12.0, 6.0, 10.0, 3.0
STEP_CALLS, REQUEST_CALLS, TRAINING_LAYER_CALLS, TRAINING_STEP_CALLS = 60.0, 500.0, 45.0, 400.0
PACKING_PASSES = 2.0  # weights read and written once more
ELEMENTWISE_PASSES = 4.0  # of elements of 32 bits, by operations that are not fused
PROMPT_PASSES = 16.0  # likewise of a prompt, against fused operations on 16 bits
# How far each may lie from where it starts, as the deviation of a logarithm.
SERVING_SPREADS = {
    "compute_efficiency": 0.5,
    "memory_efficiency": 0.15,  # rates are measured by the very products that read weights
    "scores_efficiency": 1.0,
    "cache_efficiency": 1.0,
    "reread_share": 0.7,
    "launch_s": 0.7,
    "attention_launch_s": 0.7,
    "small_s": 0.7,
    "rms_norm_s": 0.7,
    "layer_s": 0.7,
    "step_s": 0.7,
    "request_s": 1.0,
    "elementwise_passes": 1.0,
    "packing_passes": 1.0,
    "context_s": 1.5,
}
TRAINING_SPREADS = {
    "compute_efficiency": 0.3,
    "head_efficiency": 0.5,
    "attention_efficiency": 0.7,
    "memory_efficiency": 0.5,
    "elementwise_passes": 0.7,
    "score_passes": 0.7,
    "loss_passes": 0.7,
    "layer_s": 0.7,
    "rms_norm_s": 0.7,
    "rms_passes": 0.7,
    "step_s": 0.7,
    "optimizer_passes": 0.7,
    "orthogonal_efficiency": 0.5,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """Constants that the measurements make most likely.

    spread            the logarithm within which nine of ten further times are expected
    error_share       mean absolute error of each measurement, predicted from the others
    """

    constants: dict[str, float]
    spread: float
    error_share: float
    found: Corrected


def fitted(
    predict: Callable[[Mapping[str, float]], NDArray[Any]],
    start: ServingConstants | TrainingConstants,
    measured_s: NDArray[Any],
) -> Fitted:
    """The constants, from where they start; `predict` gives one time per measurement for a choice of them."""
    import numpy as np

    spreads = SERVING_SPREADS if isinstance(start, ServingConstants) else TRAINING_SPREADS
    values = asdict(start)
    prior = {name: Prior(value=values[name], spread=s) for name, s in spreads.items() if values[name] > 0}
    found = corrected(predict, prior, measured_s)
    return Fitted(
        constants={**values, **found.values},
        spread=spread_after(found.left_out, BEFORE),
        error_share=float(np.abs(np.expm1(found.left_out)).mean()),
        found=found,
    )


def serving_start(call_s: float) -> ServingConstants:
    """Where the constants of writing start: an operation costs what launching one does."""
    return ServingConstants(
        compute_efficiency=PROMPT_SHARE,
        memory_efficiency=1.0,
        scores_efficiency=0.2,
        cache_efficiency=1.0,
        bytes_per_cycle=1.0,
        sharpness=2.0,
        launch_s=LINEAR_CALLS * call_s,
        attention_launch_s=ATTENTION_CALLS * call_s,
        small_s=LINEAR_CALLS * call_s,
        layer_s=LAYER_CALLS * call_s,
        step_s=STEP_CALLS * call_s,
        sequence_s=NONE_S,
        request_s=REQUEST_CALLS * call_s,
        stage_s=NONE_S,
        reread_share=1.0,
        host_layer_s=NONE_S,
        expert_s=LAYER_CALLS * call_s,
        all_reduce_s=NONE_S,
        link_efficiency=1.0,
        interference=1.0,
        odd_sizes=0.0,
        rms_norm_s=NORM_CALLS * call_s,
        elementwise_passes=PROMPT_PASSES,
        packing_passes=PACKING_PASSES,
        context_s=call_s / 100,
    )


def training_start(call_s: float, cached_times: float, fused: bool, hop_s: float) -> TrainingConstants:
    """Where the constants of training start.

    cached_times      how many times faster activations move in caches than in memory
    fused             whether attention keeps its scores in a fused kernel
    """
    return TrainingConstants(
        compute_efficiency=0.8,
        head_efficiency=0.8,
        attention_efficiency=0.4,
        expert_efficiency=0.7,
        memory_efficiency=cached_times,
        elementwise_passes=ELEMENTWISE_PASSES,
        expert_passes=4.0,
        score_passes=0.0 if fused else 6.0,
        layer_launch_s=0.0,
        expert_launch_s=TRAINING_LAYER_CALLS * call_s,
        micro_batch_s=NONE_S,
        step_s=TRAINING_STEP_CALLS * call_s,
        optimizer_passes=1.0,
        near_efficiency=1.0,
        far_efficiency=1.0,
        hop_s=hop_s,
        tensor_exposed=1.0,
        pipeline_exposed=1.0,
        data_exposed=1.0,
        context_exposed=1.0,
        expert_exposed=1.0,
        jitter_share=0.0,
        gradient_bytes=4.0,
        element_bytes=4.0,
        odd_sizes=0.0,
        layer_s=TRAINING_LAYER_CALLS * call_s,
        rms_norm_s=NORM_CALLS * call_s,
        rms_passes=ELEMENTWISE_PASSES,
        loss_passes=2.0,
        orthogonal_efficiency=0.5,
    )
