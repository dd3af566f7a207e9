"""A model learns from a text and from a teacher that was trained before: any two shapes with the same tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deepwide.answers.train.beginning import How, begin, parted
from deepwide.answers.train.origin import Origin, Teaching, weights_sha256
from deepwide.answers.train.outcome import Training
from deepwide.answers.train.running import Watch, unwatched
from deepwide.answers.train.setting import DEFAULT_MODEL, Setting, setting_of, with_vocab
from deepwide.answers.train.start import Start, start_of
from deepwide.answers.trained import Trained, run_of, trained
from deepwide.errors import BadInput
from deepwide.lab.needs import need_lab

LIMITS = {"temperature": (0.01, 100.0), "weight": (0.0, 1.0), "hidden": (0.0, 1e3)}


def distill(
    teacher: str,
    model: str = "",
    *,
    temperature: float = 1.0,
    weight: float = 0.9,
    hidden: float = 0.0,
    data: str = "",
    name: str = "",
    root: str | Path | None = None,
    sample: bool = True,
    watch: Watch = unwatched,
    **asked: Any,
) -> Training:
    """Trains a student on a text and on what a teacher makes of it; keeps it as a run of its own.

    loss = weight T² KL(teacher ‖ student at temperature T) + (1 - weight) cross entropy + hidden mean((P s - t)²)

    teacher           a run, or a folder of Hugging Face's; it is not trained
    model             the student: a shape, which begins with fresh weights, or a run, which goes on with its own
    hidden            how much the vectors before the head are to be alike, by a learned projection P; 0 for not at all
    data, name, root, sample, watch, asked    as in `train`
    """
    need_lab()
    told = {"temperature": temperature, "weight": weight, "hidden": hidden}
    _check(told)
    master = trained(teacher, root)
    begun = start_of(model, root) if model and run_of(model, root) else None
    if begun:
        _refuse_other_tokens(master, begun.trained)
    kernels, recipe = parted(asked)
    taught = Teaching(name=_kept_name(teacher, root), sha256=weights_sha256(master.model), **told)
    how = How(name=name, root=root, sample=sample, watch=watch, kernels=kernels)
    return begin(
        how,
        lambda folder: _setting(master, begun, model, data, folder, recipe),
        origin=Origin(**_begun(begun), teacher=taught),
        known={taught.name: master, **({begun.name: begun.trained} if begun else {})},
        more=begun.described if begun else {},
    )


def _check(told: dict[str, float]) -> None:
    for name, (lowest, highest) in LIMITS.items():
        if not lowest <= told[name] <= highest:
            raise BadInput(f"{name}={told[name]} must be a number from {lowest:g} to {highest:g}")


def _setting(
    master: Trained, begun: Start | None, model: str, data: str, folder: Path, recipe: dict[str, Any]
) -> Setting:
    from deepwide.answers.models import find_model

    if begun:
        return setting_of(begun.model, data, master.tokenizer, folder, {"context": begun.context, **_given(recipe)})
    found = find_model(with_vocab(model or DEFAULT_MODEL, int(master.model.architecture.vocab)))
    return setting_of(found, data, master.tokenizer, folder, {**_learned(master), **_given(recipe)})


def _given(recipe: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in recipe.items() if value is not None}


def _learned(master: Trained) -> dict[str, Any]:
    """The tokens at once that a teacher is used to, where it was trained here."""
    from deepwide.answers.train.start import DEFAULT_CONTEXT

    known = master.context or DEFAULT_CONTEXT
    return {"context": min(known, DEFAULT_CONTEXT, master.model.longest or known)}


def _kept_name(name: str, root: str | Path | None) -> str:
    """The name that finds the teacher again: a run's in the folder of runs, else a folder's whole path."""
    from deepwide.lab.store import run_names

    return name if name in run_names(root) else str(Path(name).expanduser().resolve())


def _begun(begun: Start | None) -> dict[str, Any]:
    return {"start": begun.name, "sha256": weights_sha256(begun.trained.model)} if begun else {}


def _refuse_other_tokens(teacher: Trained, student: Trained) -> None:
    """Refuses a teacher whose tokens mean other things than the student's."""
    one, other = teacher.tokenizer, student.tokenizer
    if one.engine.to_str() != other.engine.to_str() or one.specials != other.specials:
        raise BadInput(
            f"tokenizer={other.name!r} of {student.name} is not {one.name!r} of the teacher {teacher.name}: give a "
            "student with the same tokens, or a shape, which takes the teacher's"
        )
