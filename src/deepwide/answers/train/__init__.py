"""Builds the very model that is counted, trains it, and measures whether what was predicted holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepwide.answers.generate import generate
from deepwide.answers.train.predicted import Expected, expected
from deepwide.answers.train.setting import Setting, setting
from deepwide.answers.trained import Trained, run_model
from deepwide.architecture.sizes import int_or_none, sizes
from deepwide.errors import BadInput

if TYPE_CHECKING:
    from deepwide.lab.kernels import Kernels
    from deepwide.lab.network import Transformer
    from deepwide.lab.store import Run
    from deepwide.lab.training import Checkpoint, Outcome, Row

SHOWN_SIZES = ("layers", "hidden", "heads", "kv_heads", "head_dim", "ffn", "vocab", "experts", "active_experts")
SAMPLE_TOKENS = 300
KERNELS = ("dtype", "matmul", "attention", "compile", "threads")


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A run that is about to take its first step, or to go on from `step`."""

    name: str
    setting: Setting
    kernels: Kernels
    expected: Expected
    parameters: int
    step: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """How far a run is: its newest row of metrics, and the seconds it has to go, as measured and as was predicted."""

    started: Started
    row: Row
    left_s: float | None
    predicted_left_s: float


Watch = Callable[["Started | Moment"], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What came of a training. Losses are in nats per token; `nats_per_byte` is the validation loss per byte of text.

    sample            what the model writes by itself, where it learned to go on with text
    status            "done", or "interrupted": the run can be resumed
    predicted         what was expected before the first step, with ranges; measured, under the same names
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
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain values."""
        return {**asdict(self), "notes": list(self.notes)}


def train(
    model: str = "",
    *,
    data: str = "",
    tokenizer: str = "bytes",
    name: str = "",
    root: str | Path | None = None,
    watch: Watch = lambda moment: None,
    **asked: Any,
) -> Training:
    """Trains a model on text, and keeps the run.

    data              text files, a folder, "copy" or "reverse"; "" is the source of Python's standard library
    tokenizer         "bytes", "bpe:4096", or a tokenizer.json
    name, root        the run's, and the folder of runs
    watch             is told of the start and of every row
    asked             fields of `Recipe` (tokens, batch, context, learning_rate, ...) and of `Kernels` (dtype,
                      attention, threads, ...); what is left out is chosen, and kept with the run
    """
    from deepwide.lab.kernels import probed
    from deepwide.lab.network import build
    from deepwide.lab.store import create, root_folder

    folder = root_folder(root)
    fixed = {key: asked.pop(key) for key in KERNELS if key in asked}
    chosen = setting(model, data, tokenizer, folder, asked)
    built = build(chosen.model.described(), seed=chosen.recipe.seed, device=_device())
    kernels = probed(built, chosen.recipe.batch, chosen.recipe.context, **fixed)
    run = create(folder, name, _manifest(chosen, data, tokenizer, kernels))
    return _trained(run, chosen, built, kernels, None, watch)


def resume(name: str, *, root: str | Path | None = None, watch: Watch = lambda moment: None) -> Training:
    """Goes on with a run from its newest whole checkpoint: the same recipe, text and kernels, the same losses."""
    from deepwide.lab.kernels import Kernels
    from deepwide.lab.store import open_run, root_folder
    from deepwide.lab.training import newest

    folder = root_folder(root)
    run = open_run(folder, name)
    manifest = run.manifest
    if manifest.get("finished"):
        raise BadInput(
            f"run {name} is finished; begin another to train longer, or look at it: deepwide runs show {name}"
        )
    corpus = manifest["corpus"]
    chosen = setting(manifest["model"], corpus["asked"], corpus["tokenizer_asked"], folder, manifest["recipe"])
    if chosen.corpus.sha256 != corpus["sha256"]:
        raise BadInput(
            f"run {name}: data={corpus['source']!r} is no longer the text it was trained on; begin a new run"
        )
    found = newest(run.checkpoints)
    built = run_model(manifest, seed=chosen.recipe.seed)
    start = found.checkpoint if found else None
    return _trained(run, chosen, built, Kernels(**manifest["kernels"]), start, watch)


def _trained(
    run: Run,
    chosen: Setting,
    model: Transformer,
    kernels: Kernels,
    start: Checkpoint | None,
    watch: Watch,
) -> Training:
    from deepwide.lab.feed import feed
    from deepwide.lab.kernels import apply, computing
    from deepwide.lab.machine import speeds
    from deepwide.lab.training import mean_loss, write
    from deepwide.lab.training import train as loop

    apply(kernels, model)
    device = next(model.parameters()).device
    fed = feed(chosen.corpus, chosen.recipe)
    with run.lock(), computing(kernels):
        hoped = expected(chosen.model, chosen.recipe, kernels, speeds(kernels, device))
        started = _started(run, chosen, kernels, hoped, start)
        _open(run, chosen, hoped, start)
        watch(started)
        outcome = loop(
            model,
            chosen.recipe,
            batches=fed.batches,
            report=_Reporter(run, started, watch),
            evaluate=lambda: mean_loss(model, fed.validation(), device),
            save=lambda checkpoint: write(run.checkpoints, checkpoint),
            start=start,
        )
        answer = _answer(run, started, outcome)
        if outcome.status == "done":
            run.finish(answer.measured)
    return replace(answer, sample=_sample(run.name, model, chosen))


def _sample(name: str, model: Transformer, chosen: Setting) -> str | None:
    """The beginning of a text, as the model writes one; None where it learned something else."""
    if chosen.recipe.objective != "next":
        return None
    tokenizer, context = chosen.corpus.tokenizer, chosen.recipe.context
    itself = Trained(name=name, model=model, tokenizer=tokenizer, context=context, before=tokenizer.specials.get("end"))
    return generate(itself, tokens=SAMPLE_TOKENS).text


def _started(run: Run, chosen: Setting, kernels: Kernels, hoped: Expected, start: Checkpoint | None) -> Started:
    return Started(
        name=run.name,
        setting=chosen,
        kernels=kernels,
        expected=hoped,
        parameters=int(chosen.model.ledger.parameters()),
        step=0 if start is None else start.step,
        notes=chosen.notes,
    )


def _open(run: Run, chosen: Setting, hoped: Expected, start: Checkpoint | None) -> None:
    """Notes what is predicted, and where the run goes on from."""
    run.note(predicted=hoped.to_dict())
    if start is not None or run.metrics():
        run.resumed(0 if start is None else start.step)
    chosen.corpus.tokenizer.save(run.path)


class _Reporter:
    """Writes each row with its share of the peak, and tells whoever watches how long there is to go."""

    def __init__(self, run: Run, started: Started, watch: Watch) -> None:
        self.run, self.started, self.watch = run, started, watch

    def __call__(self, row: Row) -> None:
        hoped, steps = self.started.expected, self.started.setting.recipe.total_steps
        speed = row.get("tokens_per_s")
        told = row if speed is None else {**row, "mfu": hoped.mfu_at(speed)}
        self.run.log(told)
        to_go = steps - int(row["step"])
        done = int(row["step"]) - self.started.step
        left = None if not done else to_go * row["seconds"] / row["step"]
        self.watch(Moment(started=self.started, row=told, left_s=left, predicted_left_s=to_go * hoped.step_s))


def _answer(run: Run, started: Started, outcome: Outcome) -> Training:
    recipe, corpus = started.setting.recipe, started.setting.corpus
    steps_s = outcome.seconds / max(1, outcome.step)
    speed = recipe.tokens_per_step / steps_s
    measured = {
        "step_s": steps_s,
        "tokens_per_s": speed,
        "seconds": outcome.seconds,
        "mfu": started.expected.mfu_at(speed),
    }
    loss = outcome.validation_loss
    per_byte = corpus.kind == "text" and recipe.objective == "next" and loss is not None
    return Training(
        name=run.name,
        model=started.setting.model.name,
        parameters=started.parameters,
        status=outcome.status,
        step=outcome.step,
        tokens=outcome.tokens,
        loss=outcome.loss,
        validation_loss=loss,
        nats_per_byte=corpus.nats_per_byte(loss) if per_byte and loss is not None else None,
        seconds=outcome.seconds,
        tokens_per_s=speed,
        mfu=measured["mfu"],
        kernels=started.kernels.to_dict(),
        predicted=started.expected.to_dict(),
        measured=measured,
        folder=str(run.path),
        notes=started.notes,
    )


def _manifest(chosen: Setting, data: str, tokenizer: str, kernels: Kernels) -> dict[str, Any]:
    """What decides a run, and what it was on: all that resuming it needs."""
    shape = sizes(chosen.model.described())
    corpus = chosen.corpus
    return {
        "model": chosen.model.name,
        "architecture": {
            **{size: int_or_none(getattr(shape, size)) for size in SHOWN_SIZES},
            "parameters": int(chosen.model.ledger.parameters()),
        },
        "recipe": chosen.recipe.to_dict(),
        "corpus": {
            "asked": data,
            "tokenizer_asked": tokenizer,
            "source": corpus.source,
            "sha256": corpus.sha256,
            "tokenizer": corpus.tokenizer.name,
            "vocab": corpus.vocab,
            "train_tokens": len(corpus.train),
            "validation_tokens": len(corpus.validation),
        },
        "seed": chosen.recipe.seed,
        "kernels": kernels.to_dict(),
    }


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
