"""What is expected of a run before its first step: its time; where it adapts a model, also what a step holds.

Adapters and teachers change the work of a step, and with it its time in proportion: a frozen matrix needs no gradient
of its own, a teacher goes through the batch once, forward.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from deepwide.answers.models import Model
from deepwide.answers.train.predicted import Expected, expected
from deepwide.architecture.adapters import lora_flops, lora_weights
from deepwide.architecture.flops import Convention, Pass, backward_flops, forward_flops
from deepwide.architecture.ledger import Ledger, lower
from deepwide.cost.activations.saved import saved_activation_bytes
from deepwide.cost.memory import optimizer_bytes

if TYPE_CHECKING:
    from deepwide.answers.train.origin import Origin
    from deepwide.lab.kernels import Kernels
    from deepwide.lab.machine import Speeds
    from deepwide.lab.training import Learner, Recipe

FP32_BYTES = 4  # of a weight, of its gradient, and of each number of the loss
SOFT_COPIES = 2  # a teacher's loss keeps both log-probabilities beside what the hard loss keeps
ATTENTIONS = {"bmm": "eager", "sdpa": "sdpa"}  # as the cost of activations calls the kernels


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectations:
    """The time, with ranges, and numbers that are counted beforehand: `Accounts` of lab/adapt/measuring.py."""

    time: Expected
    accounts: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """All of it, under the names that it is measured by."""
        return {**self.time.to_dict(), **self.accounts}


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapting:
    """A model that is adapted, as the ledger sees it.

    trained           rows of what is trained: the adapters, or the model's own
    teacher           whose forward pass is part of each step
    projection        parameters of the matrix between the hidden sizes of student and teacher
    """

    model: Model
    origin: Origin
    trained: Ledger
    teacher: Model | None
    projection: int

    def step_flops(self, work: Pass, convention: Convention) -> float:
        """Products of a step on a batch: forward, backward, and the teacher's forward."""
        ledger, adapter = self.model.ledger, self.origin.adapter
        if adapter:
            own = lora_flops(ledger, adapter.rank, adapter.targets, work, convention)
        else:
            own = forward_flops(ledger, work, convention) + backward_flops(ledger, work, convention)
        other = forward_flops(self.teacher.ledger, work, convention) if self.teacher else 0
        return float(own + other + 3 * 2 * self.projection * work.tokens * work.batch)


def expectations(
    model: Model, recipe: Recipe, kernels: Kernels, speeds: Speeds, origin: Origin, learner: Learner
) -> Expectations:
    """The run on this machine, computing this way."""
    time = expected(model, recipe, kernels, speeds)
    if origin.plain:
        return Expectations(time=time)
    what = _adapting(model, origin, learner)
    work = Pass(tokens=recipe.context, batch=recipe.batch)
    flops = what.step_flops(work, "hardware")
    step_s = time.step_s * (_own_flops(what, work) / (time.flops_per_token * recipe.tokens_per_step))
    if what.teacher:
        step_s += _forward_share(what.teacher, work) * expected(what.teacher, recipe, kernels, speeds).step_s
    changed = replace(
        time,
        step_s=step_s,
        tokens_per_s=recipe.tokens_per_step / step_s,
        seconds=recipe.total_steps * step_s,
        mfu=flops / step_s / time.peak_flops_per_s,
        flops_per_token=flops / recipe.tokens_per_step,
    )
    return Expectations(time=changed, accounts=_accounts(what, recipe, kernels))


def _adapting(model: Model, origin: Origin, learner: Learner) -> Adapting:
    adapter, teacher = origin.adapter, _described(learner.frozen[0]) if learner.frozen else None
    rows = lora_weights(model.ledger, adapter.rank, adapter.targets) if adapter else model.ledger.weights
    matched = origin.teacher is not None and origin.teacher.hidden > 0 and teacher is not None
    widths = (each.described().main.hidden for each in (model, teacher) if each) if matched else (0,)
    projection = 1
    for width in widths:
        projection *= int(width)
    trained = Ledger(weights=tuple(rows), ops=(), caches=())
    return Adapting(model=model, origin=origin, trained=trained, teacher=teacher, projection=projection)


def _described(built: Any) -> Model:
    """A built model as the ledger has it."""
    architecture = built.architecture
    return Model(name=architecture.name, source="built", ledger=lower(architecture), architecture=architecture)


def _own_flops(what: Adapting, work: Pass) -> float:
    return replace(what, teacher=None).step_flops(work, "hardware")


def _forward_share(model: Model, work: Pass) -> float:
    """The forward pass, of a whole step."""
    forward = float(forward_flops(model.ledger, work))
    return forward / (forward + float(backward_flops(model.ledger, work)))


def _accounts(what: Adapting, recipe: Recipe, kernels: Kernels) -> dict[str, float]:
    """What a step holds and computes, under the names of `Accounts`."""
    work = Pass(tokens=recipe.context, batch=recipe.batch // recipe.accumulate)
    trained = int(what.trained.parameters()) + what.projection
    adapters = int(what.trained.parameters()) if what.origin.adapter else 0
    others = int(what.teacher.ledger.parameters()) if what.teacher else 0
    weights = int(what.model.ledger.parameters()) + adapters + others + what.projection
    states = int(optimizer_bytes(what.trained, recipe.optimizer, master=False)) + 2 * FP32_BYTES * what.projection
    tokens = recipe.context * (recipe.batch // recipe.accumulate)
    return {
        "trainable_parameters": trained,
        "weights_bytes": FP32_BYTES * weights,
        "gradients_bytes": FP32_BYTES * trained,
        "optimizer_bytes": states,
        "activations_bytes": _activation_bytes(what, recipe, kernels),
        "flops_per_token": what.step_flops(work, "counter") / tokens,
    }


def _activation_bytes(what: Adapting, recipe: Recipe, kernels: Kernels) -> int:
    """What the student's forward pass keeps, as in a run of transformers; a teacher keeps nothing but its scores.

    With adapters it is the bound that `memory --lora` gives: inputs of frozen matrices are counted, though not kept.
    """
    from deepwide.lab.data.batches import MASKED_SHARE

    architecture, batch = what.model.described(), recipe.batch // recipe.accumulate
    kept = saved_activation_bytes(
        architecture,
        batch=batch,
        tokens=recipe.context,
        attention=ATTENTIONS[kernels.attention],
        dtype=kernels.dtype,
    )
    counted = (
        MASKED_SHARE if recipe.objective == "masked" else 1.0
    )  # of the tokens: a taught student's loss keeps no others
    copies = (1 + SOFT_COPIES) * counted - 1 if what.teacher else 0.0
    return int(kept + copies * FP32_BYTES * batch * recipe.context * int(architecture.vocab))
