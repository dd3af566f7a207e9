"""A training from its first step, or from a checkpoint, to its answer: the lab's loop with a run's folder around it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from deepwide.answers.generate import generate
from deepwide.answers.train.outcome import Moment, Started, Training
from deepwide.answers.train.predicted import expected
from deepwide.answers.trained import Trained

if TYPE_CHECKING:
    from deepwide.answers.train.setting import Setting
    from deepwide.lab.distributed import Team
    from deepwide.lab.kernels import Kernels
    from deepwide.lab.network import Transformer
    from deepwide.lab.store import Run
    from deepwide.lab.training import Checkpoint, Outcome, Row

SAMPLE_TOKENS = 300
Watch = Callable[["Started | Moment"], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """All that a training needs. Of several processes the first alone has the `run`, and whoever watches."""

    team: Team
    run: Run | None
    setting: Setting
    model: Transformer
    kernels: Kernels
    watch: Watch
    start: Checkpoint | None = None


def carried_out(s: Session) -> Training:
    """Trains until the end, or until it is interrupted; the run holds every row, and at the end what was measured."""
    from deepwide.lab.kernels import apply, computing
    from deepwide.lab.machine import speeds
    from deepwide.lab.training import write

    apply(s.kernels, s.model)
    fed, run = s.setting.feed, s.run
    with run.lock() if run else nullcontext(), computing(s.kernels):
        started = _started(s, expected(s.setting.model, s.setting.recipe, s.kernels, speeds(s.kernels, s.team.device)))
        if run:
            _open(run, started, s.start)
            s.watch(started)
        outcome = _train(
            s,
            batches=fed.batches,
            report=_Reporter(run, started, s.watch),
            save=lambda checkpoint: write(run.checkpoints, checkpoint) if run else None,
            start=s.start,
            validation=fed.validation,
        )
        answer = _answer(s, started, outcome)
        if run and outcome.status == "done":
            run.finish(answer.measured)
    return replace(answer, sample=_sample(s))


def _train(s: Session, *, validation: Callable[[], Any], **how: Any) -> Outcome:
    """The loop, in this process alone or in all of the team's."""
    from deepwide.lab.distributed import mean_loss, spread, train
    from deepwide.lab.lanes import Lanes

    model, lanes = spread(s.model, s.team), Lanes(s.kernels.lanes, s.kernels.threads)
    return train(model, s.setting.recipe, evaluate=lambda: mean_loss(model, validation()), lanes=lanes, **how)


def _started(s: Session, hoped: Any) -> Started:
    return Started(
        name=s.run.name if s.run else "",
        setting=s.setting,
        kernels=s.kernels,
        expected=hoped,
        parameters=int(s.setting.model.ledger.parameters()),
        step=0 if s.start is None else s.start.step,
    )


def _open(run: Run, started: Started, start: Checkpoint | None) -> None:
    """Notes what is predicted, and where the run goes on from."""
    run.note(predicted=started.expected.to_dict())
    if start is not None or run.metrics():
        run.resumed(started.step)
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
        left_s = left * row["seconds"] / row["step"]
        self.watch(Moment(started=self.started, row=told, left_s=left_s, predicted_left_s=left * hoped.step_s))


def _answer(s: Session, started: Started, outcome: Outcome) -> Training:
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
        predicted=started.expected.to_dict(),
        measured={"step_s": step_s, "tokens_per_s": speed, "seconds": outcome.seconds, "mfu": mfu},
        folder=str(s.run.path) if s.run else "",
        notes=s.setting.notes,
    )


def _sample(s: Session) -> str | None:
    """The beginning of a text, as the model writes one; None where it learned something else."""
    recipe, tokenizer = s.setting.recipe, s.setting.corpus.tokenizer
    if recipe.objective != "next" or s.run is None:
        return None
    if s.team.mesh is not None:  # its tensors are spread over processes; the checkpoint has them whole
        return generate(s.run.name, tokens=SAMPLE_TOKENS, root=s.run.path.parent).text
    end = tokenizer.specials.get("end")
    itself = Trained(name=s.run.name, model=s.model, tokenizer=tokenizer, context=recipe.context, before=end)
    return generate(itself, tokens=SAMPLE_TOKENS).text
