"""Times that the lab took on this machine, and the same times as the cost model has them under some constants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from deepwide.answers.models import Model, find_model
from deepwide.cost.inference.engine import engine as serving_engine
from deepwide.cost.inference.passes import Work, forward
from deepwide.cost.inference.serving import Requests, prompt_s
from deepwide.cost.training.engine import engine as training_engine
from deepwide.cost.training.plan import Job, Plan
from deepwide.cost.training.step import step_time
from deepwide.facts.device import Accelerator
from deepwide.facts.runtimes import Profile, ServingConstants, profile
from deepwide.facts.this_machine import CHUNK, WITHOUT_END
from deepwide.facts.training import TrainingConstants

if TYPE_CHECKING:
    from numpy.typing import NDArray

WEIGHTS = "fp32"  # as the lab keeps them, while it trains and while it writes


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """What was measured of a model.

    what              "decode" (a token), "prefill" (a prompt) or "step" (of training)
    batch, tokens     sequences, and tokens of each: those in view, of the prompt, or trained on
    seconds           the mean of repeated times
    spread            their upper quartile over the lower
    """

    what: str
    model: str
    batch: int
    tokens: int
    seconds: float
    spread: float

    @property
    def setting(self) -> str:
        """What the time is of, in words."""
        if self.what == "step":
            return f"{self.batch} × {self.tokens}"
        return f"after {self.tokens}" if self.what == "decode" else f"of {self.tokens}"


def of_serving(
    timed: Sequence[Timed], device: Accelerator, constants: ServingConstants, runtime: str = "ideal"
) -> NDArray[Any]:
    """Seconds of tokens and prompts under these constants."""
    import numpy as np

    from deepwide.lab.measure import WRITTEN

    shipped = profile(runtime, device.name, WEIGHTS)
    by: Profile = replace(shipped, constants=constants, chunk=CHUNK, captured_context=WITHOUT_END)
    on = serving_engine(device, by, weights=WEIGHTS, cache=WEIGHTS)
    found = []
    for each in timed:
        model = known(each.model)
        stream = str(model.described().main.name)
        if each.what == "decode":
            found.append(forward(model.ledger, Work(past=each.tokens + WRITTEN // 2), on, stream).total_s)
        else:
            found.append(prompt_s(model.ledger, Requests(input=each.tokens, chunk=CHUNK), on, stream))
    return np.array(found, float)


def of_training(timed: Sequence[Timed], device: Accelerator, constants: TrainingConstants, format: str) -> NDArray[Any]:
    """Seconds of steps under these constants."""
    import numpy as np

    on = training_engine(device, constants, format)
    return np.array([step_time(job(each), Plan(micro_batch=each.batch), on).step_s for each in timed], float)


def job(timed: Timed) -> Job:
    """What a measured step trained."""
    model = known(timed.model)
    layers = model.described().main.layers
    return Job(ledger=model.ledger, layers=layers, sequence=timed.tokens, global_batch=timed.batch)


def roofline_serving(device: Accelerator) -> ServingConstants:
    """The machine's own rates, and nothing that a runtime adds."""
    return profile("ideal", device.name, WEIGHTS).constants


def roofline_training(constants: TrainingConstants) -> TrainingConstants:
    """The machine's own rates, every element moved once, and nothing that an engine adds."""
    whole = ("compute_efficiency", "head_efficiency", "attention_efficiency", "memory_efficiency")
    once = ("elementwise_passes", "loss_passes", "optimizer_passes", "orthogonal_efficiency")
    none = ("layer_s", "rms_norm_s", "rms_passes", "step_s", "micro_batch_s", "score_passes")
    return replace(constants, **dict.fromkeys((*whole, *once), 1.0), **dict.fromkeys(none, 0.0))


@cache
def known(model: str) -> Model:
    """The model of that text, lowered once."""
    return find_model(model)
