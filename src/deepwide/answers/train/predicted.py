"""What a training will take on this machine, by deepwide's own predictor, from what the machine was measured to do.

The predictor is the one of `deepwide predict training`; only its accelerator is this machine, and its constants are
those of the lab's own loop: fitted by `deepwide calibrate` where it computes as the run does, else plausible ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from deepwide.answers.models import Model
from deepwide.architecture.flops import Pass, backward_flops, forward_flops
from deepwide.cost.training.engine import Engine, engine
from deepwide.cost.training.plan import Job, Plan
from deepwide.cost.training.step import step_time
from deepwide.facts.device import Accelerator
from deepwide.facts.own_files import THIS
from deepwide.facts.this_machine import calibrated
from deepwide.facts.training import TrainingConstants

if TYPE_CHECKING:
    from deepwide.lab.kernels import Kernels
    from deepwide.lab.machine import Speeds
    from deepwide.lab.training import Recipe

LAYER_CALLS = 45  # operations that the lab launches for one layer forward
STEP_CALLS = 400  # and once a step: the loss, clipping, the optimiser
COMPILED = 0.75  # of a step, where layers are compiled: 0.67 to 0.85 from 1 to 32 layers on a processor (notes/LOG.md)
SPREAD = 2.0  # nine of ten runs are expected within this factor, as long as nothing was fitted to this machine
# Of a plain loop on one device: plausible shares of what was measured, fitted to no shape.
CONSTANTS = TrainingConstants(
    compute_efficiency=0.8,
    head_efficiency=0.6,
    attention_efficiency=0.3,
    expert_efficiency=0.7,
    memory_efficiency=1.0,
    elementwise_passes=4.0,
    expert_passes=4.0,
    score_passes=0.0,
    layer_launch_s=0.0,
    expert_launch_s=0.0,
    micro_batch_s=0.0,
    step_s=0.0,
    optimizer_passes=1.0,
    near_efficiency=1.0,
    far_efficiency=1.0,
    hop_s=1e-5,
    tensor_exposed=1.0,
    pipeline_exposed=1.0,
    data_exposed=1.0,
    context_exposed=1.0,
    expert_exposed=1.0,
    jitter_share=0.0,
    gradient_bytes=4.0,
    orthogonal_efficiency=0.8,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """A run as it is predicted, before its first step; `low` and `high` of each number are a factor `spread` away.

    mfu               share of the measured peak, by `flops_per_token`: causal attention, forward and backward
    """

    step_s: float
    tokens_per_s: float
    seconds: float
    mfu: float
    flops_per_token: float
    peak_flops_per_s: float
    spread: float = SPREAD

    def to_dict(self) -> dict[str, dict[str, float]]:
        """The numbers that the run will be measured by, each with its range."""
        told = {"step_s": self.step_s, "tokens_per_s": self.tokens_per_s, "seconds": self.seconds, "mfu": self.mfu}
        return {name: {"value": of, "low": of / self.spread, "high": of * self.spread} for name, of in told.items()}

    def mfu_at(self, tokens_per_s: float) -> float:
        """The share of the measured peak that a speed amounts to."""
        return tokens_per_s * self.flops_per_token / self.peak_flops_per_s


def expected(model: Model, recipe: Recipe, kernels: Kernels, speeds: Speeds) -> Expected:
    """The run on this machine, computing this way."""
    job = Job(
        ledger=model.ledger,
        layers=sum(stack.layers for stack in model.described().stacks),
        sequence=recipe.context,
        global_batch=recipe.batch,
    )
    plan = Plan(micro_batch=recipe.batch // recipe.accumulate)
    driven, spread = _calibrated(recipe, kernels) or (_engine(recipe, kernels, speeds), SPREAD)
    step_s = float(step_time(job, plan, driven).step_s) * (COMPILED if kernels.compile else 1.0)
    work = Pass(tokens=recipe.context, batch=recipe.batch)
    flops = float(forward_flops(model.ledger, work) + backward_flops(model.ledger, work))
    return Expected(
        step_s=step_s,
        tokens_per_s=recipe.tokens_per_step / step_s,
        seconds=recipe.total_steps * step_s,
        mfu=flops / step_s / speeds.flops_per_s,
        flops_per_token=flops / recipe.tokens_per_step,
        peak_flops_per_s=speeds.flops_per_s,
        spread=spread,
    )


def _calibrated(recipe: Recipe, kernels: Kernels) -> tuple[Engine, float] | None:
    """This machine as it was calibrated, and the range found then; None where it was not, or for other kernels.

    It is calibrated with layers that are not compiled.
    """
    found = calibrated()
    if found is None or found.kernels != {**kernels.to_dict(), "compile": False}:
        return None
    constants = _of_optimizer(found.training.constants, recipe)
    return engine(found.accelerator, constants, found.training.format), math.exp(found.training.spread)


def _of_optimizer(constants: TrainingConstants, recipe: Recipe) -> TrainingConstants:
    """AdamW makes nothing orthogonal."""
    return constants if recipe.optimizer == "muon" else replace(constants, orthogonal_efficiency=0.0)


def _engine(recipe: Recipe, kernels: Kernels, speeds: Speeds) -> Engine:
    """This machine as the predictor sees it, before anything was fitted to it."""
    device = Accelerator(
        name=THIS,
        memory_bytes=1,
        bandwidth_bytes_per_s=speeds.bytes_per_s,
        peak_flops_per_s={kernels.dtype: speeds.flops_per_s},
        source="measured before the run",
        confidence="measured",
    )
    passes = CONSTANTS.elementwise_passes * (2 if kernels.dtype == "fp32" else 1)
    launched = {"layer_launch_s": LAYER_CALLS * speeds.call_s, "step_s": STEP_CALLS * speeds.call_s}
    constants = replace(CONSTANTS, elementwise_passes=passes, **launched)
    return engine(device, _of_optimizer(constants, recipe), kernels.dtype)
