"""Which shape learns best at equal size, on equal tokens: shapes by seeds, the rate bracketed for each shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepwide.answers.answer import Answer
from deepwide.answers.sweep import asking
from deepwide.answers.sweep.law import LawBeside, law_beside, with_predictions
from deepwide.answers.sweep.plan import Plan
from deepwide.answers.sweep.ranking import Ranked, ranked
from deepwide.answers.sweep.running import Progress, carried_out, kept_results
from deepwide.answers.sweep.statistics import Optimum, Spread, optimum
from deepwide.answers.sweep.trial import carried_out as trial
from deepwide.answers.sweep.words import axis_of, sentences
from deepwide.lab.needs import need_lab
from deepwide.robust import need_scipy

if TYPE_CHECKING:
    from deepwide.answers.sweep.running import Found

__all__ = ["Progress", "Sweep", "resume_sweep", "sweep"]
Watch = Callable[[Progress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep(Answer):
    """What came of a sweep. Losses are in nats per byte of the held-out text.

    status     done, or interrupted: it can be resumed
    axis       what the shapes differ in: layers, ratio (FFN over hidden), or "" where it is no single thing
    equal      what is equal in all: parameters (of the body), flops_per_token, or "" of models as they were given
    sure       whether every shape has all its runs, each with a rate that was bracketed
    spread     how far the means can be trusted; None with one seed
    says       what the numbers mean, a sentence each
    """

    name: str
    folder: str
    status: str
    plan: Plan
    axis: str
    equal: str
    shapes: tuple[Ranked, ...]
    sure: bool
    spread: Spread | None
    optimum: Optimum | None
    law: LawBeside | None
    cpu_s: float
    says: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain values."""
        return {
            "name": self.name,
            "folder": self.folder,
            "status": self.status,
            "plan": self.plan.to_dict(),
            "axis": self.axis,
            "equal": self.equal,
            "shapes": [shape.to_dict() for shape in self.shapes],
            "sure": self.sure,
            "spread": asdict(self.spread) if self.spread else None,
            "optimum": asdict(self.optimum) if self.optimum else None,
            "law": self.law.to_dict() if self.law else None,
            "cpu_s": self.cpu_s,
            "says": list(self.says),
        }


def _unwatched(progress: Progress) -> None:
    """Nobody looks on."""


def sweep(
    *models: str,
    name: str = "",
    root: str | Path | None = None,
    engine: str = "local",
    workers: int | None = None,
    address: str = "",
    watch: Watch = _unwatched,
    **asked: Any,
) -> Sweep:
    """Trains shapes of equal size with several seeds each, and says which are best and which cannot be told apart.

    models            shapes as they are; or none, and `parameters` (of the body) or `flops_per_token` is equal
    engine, workers   local processes of one thread, as many as cores; or ray, with the `address` of a cluster
    watch             is told how far it is
    asked             fields of `Asked` (layers, ffn_ratios, seeds, tokens, ...) and kernels (dtype, attention, ...)
    """
    need_lab()
    need_scipy()
    from deepwide.lab.store import root_folder

    kernels = {key: asked.pop(key) for key in asking.CHOSEN if asked.get(key) is not None}
    folder = asking.new_folder(root_folder(root), name)
    plan = asking.plan_of(asking.asked_from(models, asked, kernels), folder)
    asking.keep(plan, folder)
    return _carried_out(plan, folder, engine, workers, address, watch)


def resume_sweep(
    name: str,
    *,
    root: str | Path | None = None,
    engine: str = "local",
    workers: int | None = None,
    address: str = "",
    watch: Watch = _unwatched,
) -> Sweep:
    """Goes on with a sweep: finished trials stand, others go on from their checkpoints. A finished one is only read."""
    need_lab()
    need_scipy()
    from deepwide.lab.store import root_folder

    plan, folder = asking.kept(root_folder(root), name)
    return _carried_out(plan, folder, engine, workers, address, watch)


def _carried_out(plan: Plan, folder: Path, engine: str, workers: int | None, address: str, watch: Watch) -> Sweep:
    """What is left of the sweep, and then its answer."""
    from deepwide.answers.sweep.plan import due
    from deepwide.lab.store.environment import cores
    from deepwide.lab.sweep import started
    from deepwide.lab.training.interruption import asked_to_stop

    results = kept_results(folder)
    if due(plan, results):
        with asked_to_stop() as asked, started(engine, trial, workers or cores(), address) as running:
            results = carried_out(plan, folder, running, watch, asked)
    return answer(plan, folder, results)


def answer(plan: Plan, folder: Path, results: Found) -> Sweep:
    """What the results say, as far as there are any."""
    rows, noise = ranked(plan, results)
    rows = with_predictions(rows, plan)
    axis, values = axis_of(plan.shapes)
    measured = [(x, row.mean) for x, row in zip(values, rows, strict=True) if row.mean is not None]
    mean_sd = noise.paired_sd / plan.seeds**0.5 if noise else 0.0
    lowest = optimum([x for x, _ in measured], [y for _, y in measured], mean_sd) if axis and noise else None
    law = law_beside(rows, plan, noise)
    sure = all(row.mean is not None and row.bracket and row.bracket.bracketed for row in rows)
    return Sweep(
        name=folder.name,
        folder=str(folder),
        status="interrupted" if any(row.verdict == "not finished" for row in rows) else "done",
        plan=plan,
        axis=axis,
        equal=plan.equal,
        shapes=rows,
        sure=sure,
        spread=noise,
        optimum=lowest,
        law=law,
        cpu_s=_cpu_s(plan, results),
        says=sentences(plan, rows, noise, lowest, law, sure=sure),
    )


def _cpu_s(plan: Plan, results: Found) -> float:
    """Processor time of all training steps, of short runs and long ones."""
    spent = 0.0
    for name, result in results.items():
        tokens = plan.tokens if "-seed" in name else plan.bracket_tokens
        spent += tokens * (result.get("cpu_s_per_token") or 0.0)
    return spent
