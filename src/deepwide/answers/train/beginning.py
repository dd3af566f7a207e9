"""The one way into the loop: a setting, where the weights come from, kernels, a new run's folder, and off it goes.

`train`, `finetune` and `distill` differ in what they ask for; `resume` finds all of it in the run's manifest.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepwide.answers.train.origin import Origin, learner
from deepwide.answers.train.outcome import Training
from deepwide.answers.train.running import Session, Watch, carried_out, unwatched
from deepwide.answers.train.setting import Setting
from deepwide.architecture.sizes import int_or_none, sizes
from deepwide.errors import BadInput

if TYPE_CHECKING:
    from deepwide.answers.trained import Trained
    from deepwide.lab.distributed import Layout, Team
    from deepwide.lab.kernels import Kernels
    from deepwide.lab.network import Transformer
    from deepwide.lab.training import Recipe

SHOWN_SIZES = ("layers", "hidden", "heads", "kv_heads", "head_dim", "ffn", "vocab", "experts", "active_experts")
KERNELS = ("dtype", "matmul", "attention", "compile", "threads", "lanes")
DECISIVE = frozenset(KERNELS) - {"compile"}  # where all of these are given, nothing is tried


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """What a run is asked for beside what it learns: the same for every kind of training.

    kernels           fields of `Kernels` that are not to be chosen
    """

    name: str = ""
    root: str | Path | None = None
    layout: str = ""
    sample: bool = True
    watch: Watch = unwatched
    kernels: Mapping[str, Any] = field(default_factory=dict)


def parted(asked: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is asked of the kernels, and what of the recipe."""
    kernels = {key: value for key, value in asked.items() if key in KERNELS and value is not None}
    return kernels, {key: value for key, value in asked.items() if key not in KERNELS}


def begin(
    how: How,
    chosen_in: Callable[[Path], Setting],
    *,
    origin: Origin | None = None,
    known: Mapping[str, Trained] | None = None,
    more: Mapping[str, Any] | None = None,
) -> Training:
    """Makes a run and carries it out.

    chosen_in         the setting, given the folder of runs
    known             models that are at hand already, by name
    more              what the manifest is to say besides
    """
    from deepwide.lab.distributed import started
    from deepwide.lab.store import create, root_folder

    folder, origin = root_folder(how.root), origin or Origin()
    with started(layout_of(how.layout)) as team:
        _refuse_shared(team, origin, how.kernels)
        with team.leader_first():
            chosen = chosen_in(folder)
        manifest = {**manifest_of(chosen), **(more or {}), **origin.noted()}
        own = learner(origin, manifest, chosen.recipe, folder, device=team.device, known=known)
        model: Any = own.model
        _check_context(model, chosen)
        fixed = how.kernels if origin.plain else {"compile": False, **how.kernels}
        kernels = _kernels(team, model, chosen.recipe, fixed)
        run = create(folder, how.name, {**manifest, "kernels": kernels.to_dict()}) if team.leader else None
        session = Session(team=team, run=run, setting=chosen, learner=own, origin=origin, kernels=kernels)
        return carried_out(replace(session, watch=how.watch, sample=how.sample))


def layout_of(text: str) -> Layout | None:
    """How processes share the model, where several do."""
    from deepwide.lab.distributed import layout_from_text

    return layout_from_text(text) if text else None


def _refuse_shared(team: Team, origin: Origin, kernels: Mapping[str, Any]) -> None:
    """Adapters and teachers are for one process, and are not compiled."""
    special = "adapters" if origin.adapter else "a teacher" if origin.teacher else ""
    if special and team.mesh is not None:
        raise BadInput(f"layout: {special} and several processes do not go together yet; leave layout out")
    if special and kernels.get("compile"):
        raise BadInput(f"compile=True: a loss with {special} is not compiled; leave it out")


def _check_context(model: Transformer, chosen: Setting) -> None:
    context = chosen.recipe.context
    if model.longest is not None and context > model.longest:
        raise BadInput(f"context={context} exceeds the {model.longest} tokens that there are positions for")


def _kernels(team: Team, model: Transformer, recipe: Recipe, fixed: Mapping[str, Any]) -> Kernels:
    """The quickest way to compute, the same for all processes; several on a machine share its cores."""
    from deepwide.lab.kernels import Kernels, checked, probed
    from deepwide.lab.store.environment import cores

    if team.mesh is None and fixed.keys() >= DECISIVE:  # nothing is left to be tried
        return checked(Kernels(**fixed))
    batch, context, pieces = recipe.batch // recipe.accumulate, recipe.context, recipe.accumulate
    if team.mesh is None:
        return probed(model, batch, context, recipe.total_steps * pieces, **fixed)
    if fixed.get("compile") or fixed.get("lanes", 1) != 1:
        raise BadInput("compile and lanes are for one process; leave them out where torchrun starts several")
    own = max(1, cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    alone = {"threads": own, **fixed, "lanes": 1}
    found = probed(model, batch, context, **alone) if team.leader else Kernels()
    return Kernels(**team.shared(found.to_dict()))


def manifest_of(chosen: Setting) -> dict[str, Any]:
    """What decides a run, and what it was on: all that resuming it needs."""
    shape, corpus = sizes(chosen.model.described()), chosen.corpus
    return {
        "model": chosen.model.name,
        "architecture": {
            **{size: int_or_none(getattr(shape, size)) for size in SHOWN_SIZES},
            "parameters": int(chosen.model.ledger.parameters()),
        },
        "recipe": chosen.recipe.to_dict(),
        "corpus": {
            "asked": chosen.data,
            "tokenizer_asked": chosen.tokenizer,
            "source": corpus.source,
            "sha256": corpus.sha256,
            "tokenizer": corpus.tokenizer.name,
            "vocab": corpus.vocab,
            "train_tokens": len(corpus.train),
            "validation_tokens": len(corpus.validation),
        },
        "seed": chosen.recipe.seed,
    }
