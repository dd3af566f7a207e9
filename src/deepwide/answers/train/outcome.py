"""What is told of a training: how it begins, how far it is, what came of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from deepwide.answers.answer import Answer

if TYPE_CHECKING:
    from deepwide.answers.train.predicted import Expected
    from deepwide.answers.train.setting import Setting
    from deepwide.lab.kernels import Kernels
    from deepwide.lab.training import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A run that is about to take its first step, or to go on from `step`."""

    name: str
    setting: Setting
    kernels: Kernels
    expected: Expected
    predicted: dict[str, Any]
    parameters: int
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """How far a run is: its newest row of metrics, and the seconds it has to go, as measured and as was predicted."""

    started: Started
    row: Row
    left_s: float
    predicted_left_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Training(Answer):
    """What came of a training. Losses are in nats per token; `nats_per_byte` is the validation loss per byte of text.

    status            "done", or "interrupted": the run can be resumed
    predicted         what was expected before the first step, with ranges; measured, under the same names
    sample            what the model writes by itself, where it learned to go on with text
    start             whose weights it began with, and their validation loss before the first step
    adapter           rank, alpha and targets, where adapters alone were trained, and the bytes of their file
    teacher           whom it learned from, and how
    """

    name: str
    model: str
    parameters: int
    status: str
    step: int
    tokens: int
    loss: float | None
    validation_loss: float | None
    nats_per_byte: float | None
    seconds: float
    tokens_per_s: float
    mfu: float
    kernels: dict[str, Any]
    predicted: dict[str, Any]
    measured: dict[str, float]
    folder: str
    sample: str | None = None
    start: str | None = None
    start_validation_loss: float | None = None
    adapter: dict[str, Any] | None = None
    adapter_bytes: int | None = None
    teacher: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain values."""
        return {**asdict(self), "notes": list(self.notes)}
