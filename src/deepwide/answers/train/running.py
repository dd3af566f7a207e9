"""A training from its first step, or from a checkpoint, to its answer: the lab's loop with a run's folder around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from deepwide.answers.generate import generate
from deepwide.answers.train.expectations import Expectations, expectations
from deepwide.answers.train.outcome import Moment, Started, Training
from deepwide.answers.trained import Trained

if TYPE_CHECKING:
    from deepwide.answers.train.origin import Origin
    from deepwide.answers.train.setting import Setting
    from deepwide.lab.distributed import Team
    from deepwide.lab.kernels import Kernels
    from deepwide.lab.network import Transformer
    from deepwide.lab.store import Run
    from deepwide.lab.training import Checkpoint, Learner, Outcome, Row

SAMPLE_TOKENS = 300
Watch = Callable[["Started | Moment"], None]


def unwatched(moment: Started | Moment) -> None:
    """Nobody looks on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """All that a training needs. Of several processes the first alone has the `run`, and whoever watches."""

    team: Team
    run: Run | None
    setting: Setting
    learner: Learner
    origin: Origin
    kernels: Kernels
    watch: Watch = unwatched
    sample: bool = True
    start: Checkpoint | None = None

    @property
    def model(self) -> Transformer:
        """What is trained."""
        return cast("Transformer", self.learner.model)


def carried_out(s: Session) -> Training:
    """Trains until the end, or until it is interrupted; the run holds every row, and at the end what was measured."""
    from deepwide.lab.kernels import apply, computing
    from deepwide.lab.machine import speeds

    for model in (s.learner.model, *s.learner.frozen):
        apply(s.kernels, model)  # type: ignore[arg-type] # all of them are Transformers
    run = s.run
    with run.lock() if run else nullcontext(), computing(s.kernels):
        machine = speeds(s.kernels, s.team.device)
        told = expectations(s.setting.model, s.setting.recipe, s.kernels, machine, s.origin, s.learner)
        started = _started(s, told)
        if run:
            _open(run, started, s.start)
            s.watch(started)
        outcome, held = _train(s, started)
        answer = _answer(s, started, outcome, held)
        if run and outcome.status == "done":
            run.finish(answer.measured)
    return replace(answer, sample=_sample(s) if s.sample else None)


def _train(s: Session, started: Started) -> tuple[Outcome, Mapping[str, float]]:
    """The loop, in this process alone or in all of the team's; and what is measured of a step beside its time."""
    from deepwide.lab.adapt import measured
    from deepwide.lab.distributed import mean_loss, spread, train
    from deepwide.lab.lanes import Lanes
    from deepwide.lab.training import Alone, write

    model, run, report = spread(s.model, s.team), s.run, _Reporter(s.run, started, s.watch)
    single = s.team.mesh is None
    alone = Alone(s.learner, s.setting.recipe, Lanes(s.kernels.lanes, s.kernels.threads)) if single else None

    def evaluate() -> float:
        return mean_loss(model, s.setting.feed.validation())

    if s.origin.start and s.start is None:
        report({"step": 0, "tokens": 0, "validation_loss": evaluate(), "seconds": 0.0})
    outcome = train(
        model,
        s.setting.recipe,
        batches=s.setting.feed.batches,
        report=report,
        evaluate=evaluate,
        save=lambda checkpoint: write(run.checkpoints, checkpoint) if run else None,
        start=s.start,
        alone=alone,
    )
    if s.origin.plain or alone is None:
        return outcome, {}
    return outcome, measured(alone, s.setting.feed.batches(0)).to_dict()


def _started(s: Session, hoped: Expectations) -> Started:
    return Started(
        name=s.run.name if s.run else "",
        setting=s.setting,
        kernels=s.kernels,
        expected=hoped.time,
        predicted=hoped.to_dict(),
        parameters=int(s.setting.model.ledger.parameters()),
        step=0 if s.start is None else s.start.step,
    )


def _open(run: Run, started: Started, start: Checkpoint | None) -> None:
    """Notes what is predicted, and where the run goes on from."""
    run.note(predicted=started.predicted)
    if start is not None or run.metrics():
        run.resumed(started.step)
    if start is None:
        run.drop_after(-1)  # what was validated before the first step is validated again
    started.setting.corpus.tokenizer.save(run.path)


class _Reporter:
    """Writes each row with its share of the peak, and tells whoever watches how long there is to go."""

    def __init__(self, run: Run | None, started: Started, watch: Watch) -> None:
        self.run, self.started, self.watch = run, started, watch

    def __call__(self, row: Row) -> None:
        hoped, steps = self.started.expected, self.started.setting.recipe.total_steps
        speed = row.get("tokens_per_s")
        told = row if speed is None else {**row, "mfu": hoped.mfu_at(speed)}
        if self.run:
            self.run.log(told)
        left = steps - int(row["step"])
        left_s = left * row["seconds"] / max(1, row["step"])
        self.watch(Moment(started=self.started, row=told, left_s=left_s, predicted_left_s=left * hoped.step_s))


def _answer(s: Session, started: Started, outcome: Outcome, told: Mapping[str, float]) -> Training:
    recipe, corpus = s.setting.recipe, s.setting.corpus
    step_s = outcome.seconds / max(1, outcome.step)
    speed = recipe.tokens_per_step / step_s
    mfu = started.expected.mfu_at(speed)
    loss = outcome.validation_loss
    of_text = loss is not None and corpus.kind == "text" and recipe.objective == "next"
    return Training(
        name=started.name,
        model=s.setting.model.name,
        parameters=started.parameters,
        status=outcome.status,
        step=outcome.step,
        tokens=outcome.tokens,
        loss=outcome.loss,
        validation_loss=loss,
        nats_per_byte=corpus.nats_per_byte(loss) if loss is not None and of_text else None,
        seconds=outcome.seconds,
        tokens_per_s=speed,
        mfu=mfu,
        kernels=s.kernels.to_dict(),
        predicted=started.predicted,
        measured={"step_s": step_s, "tokens_per_s": speed, "seconds": outcome.seconds, "mfu": mfu, **told},
        folder=str(s.run.path) if s.run else "",
        notes=s.setting.notes,
        **_adaptation(s),
    )


def _adaptation(s: Session) -> dict[str, Any]:
    """What there is to say of a run that did not begin with fresh weights, or learned from a teacher too."""
    if s.origin.plain or s.run is None:
        return {}
    first = next((row for row in s.run.metrics() if row["step"] == 0 and "validation_loss" in row), {})
    said: dict[str, Any] = {"start": s.origin.start, "start_validation_loss": first.get("validation_loss")}
    if s.origin.adapter:
        said |= {"adapter": asdict(s.origin.adapter), "adapter_bytes": _saved_adapter(s)}
    if s.origin.teacher:
        said["teacher"] = asdict(s.origin.teacher)
    return said


def _saved_adapter(s: Session) -> int:
    """Writes the adapters as peft does, into the run's folder; bytes of their file."""
    from deepwide.lab.adapt import saved_as

    assert s.run is not None
    assert s.origin.adapter is not None
    family = str((s.run.manifest.get("config") or {}).get("model_type") or "")
    return saved_as(s.model, s.origin.adapter, s.run.path, s.origin.start, family)["adapter"]


def _sample(s: Session) -> str | None:
    """The beginning of a text, as the model writes one; None where it learned something else."""
    from deepwide.lab.adapt import merge

    recipe, tokenizer = s.setting.recipe, s.setting.corpus.tokenizer
    if recipe.objective != "next" or s.run is None:
        return None
    if s.team.mesh is not None:  # its tensors are spread over processes; the checkpoint has them whole
        return generate(s.run.name, tokens=SAMPLE_TOKENS, root=s.run.path.parent).text
    end = tokenizer.specials.get("end")
    if s.origin.adapter:
        merge(s.model)
    itself = Trained(name=s.run.name, model=s.model, tokenizer=tokenizer, context=recipe.context, before=end)
    return generate(itself, tokens=SAMPLE_TOKENS).text
