"""A model that training begins with: a run's or a folder's, ready, as it is counted, and as a manifest tells of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepwide.answers.models import Model
from deepwide.answers.places import json_table
from deepwide.answers.trained import CONFIG, Trained, folder_of, run_description, run_of, trained
from deepwide.architecture.ledger import lower
from deepwide.errors import BadInput

if TYPE_CHECKING:
    from deepwide.lab.store import Run

DEFAULT_CONTEXT = 128  # of a model that does not say what it was trained on at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where training begins.

    name              of the run in its folder of runs, else the folder's whole path
    described         what the manifest of a run with this model has to say for it to be built again
    recipe            what the model was trained by, where that is known
    """

    name: str
    trained: Trained
    model: Model
    described: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)

    @property
    def context(self) -> int:
        """The tokens that further training reads at once where nothing else is asked for."""
        known = self.recipe.get("context")
        longest = self.trained.model.longest or DEFAULT_CONTEXT
        return known if isinstance(known, int) else min(DEFAULT_CONTEXT, longest)


def start_of(name: str, root: str | Path | None) -> Start:
    """The model of that name, if it can be trained."""
    run = run_of(name, root)
    if run is None:
        return _from_folder(name, trained(name, root))
    if run.manifest.get("quantized"):
        origin = run.manifest.get("start")
        way = f"`{origin}` is what it was made from: begin with that" if origin else "begin with the model it is of"
        raise BadInput(f"run {run.name} is quantised, and whole numbers cannot be trained; {way}, and quantise again")
    return _from_run(run, trained(name, root), root)


def _from_run(run: Run, found: Trained, root: str | Path | None) -> Start:
    from deepwide.lab.store import root_folder

    same = run.path.parent.resolve() == root_folder(root).resolve()
    kept = {key: run.manifest[key] for key in ("config", "numerics") if run.manifest.get(key)}
    recipe = run.manifest.get("recipe") or {}
    model = run_description(run.manifest)
    return Start(
        name=run.name if same else str(run.path.resolve()), trained=found, model=model, described=kept, recipe=recipe
    )


def _from_folder(name: str, found: Trained) -> Start:
    from deepwide.lab.huggingface.tables import is_tied

    folder, architecture = folder_of(name), found.model.architecture
    assert folder is not None
    config = {**json_table(folder / CONFIG), "tie_word_embeddings": is_tied(architecture)}
    model = Model(name=found.name, source=CONFIG, ledger=lower(architecture), architecture=architecture, config=config)
    kept = {"config": config, "numerics": asdict(found.model.numerics)}
    return Start(name=str(folder), trained=found, model=model, described=kept)
