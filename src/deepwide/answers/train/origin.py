"""Where a run's weights come from, what is trained of them, and whom it learns from; all of it is in its manifest.

A run that begins with fresh weights, trains all of them and learns from text alone has none of the three.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepwide.answers.trained import Trained, adapter_of, run_model, trained
from deepwide.errors import BadInput

if TYPE_CHECKING:
    import torch
    from torch import nn

    from deepwide.lab.adapt import Adapter
    from deepwide.lab.network import Transformer
    from deepwide.lab.training import Learner, Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Teaching:
    """A teacher, by its name, and how much of the loss follows it; see `lab/adapt/distillation.py`.

    sha256            of its weights: a run that is resumed goes on with the same one
    """

    name: str
    temperature: float = 1.0
    weight: float = 0.9
    hidden: float = 0.0
    sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """How a run differs from one that begins with fresh weights.

    start, sha256     the run or folder whose weights it begins with, and what these were
    """

    start: str = ""
    sha256: str = ""
    adapter: Adapter | None = None
    teacher: Teaching | None = None

    @property
    def plain(self) -> bool:
        """Whether it does not differ."""
        return not self.start and self.teacher is None

    def noted(self) -> dict[str, Any]:
        """What the manifest says of it."""
        said = {
            "start": self.start,
            "start_sha256": self.sha256,
            "adapter": asdict(self.adapter) if self.adapter else None,
            "teacher": asdict(self.teacher) if self.teacher else None,
        }
        return {name: value for name, value in said.items() if value}


def origin_of(manifest: Mapping[str, Any]) -> Origin:
    """What a manifest says of it."""
    taught = manifest.get("teacher")
    try:
        teacher = Teaching(**taught) if taught else None
    except TypeError as error:
        raise BadInput(f"manifest.json: teacher cannot be read ({error}); it is of another version") from None
    return Origin(
        start=str(manifest.get("start") or ""),
        sha256=str(manifest.get("start_sha256") or ""),
        adapter=adapter_of(manifest),
        teacher=teacher,
    )


def learner(
    origin: Origin,
    manifest: Mapping[str, Any],
    recipe: Recipe,
    root: Path,
    *,
    device: torch.device,
    known: Mapping[str, Trained] | None = None,
    begun: bool = False,
) -> Learner:
    """The model with the weights that it begins with, and what it learns by.

    known             models that are at hand already, by name
    begun             whether a checkpoint will put all its weights in the place of those that it began with
    """
    from deepwide.lab.adapt import adapt, adapter_names
    from deepwide.lab.training import Learner

    known = known or {}
    if not origin.start or (begun and origin.adapter is None):
        model = run_model(manifest, seed=recipe.seed, device=device)
    else:
        model = _same(origin.start, origin.sha256, root, known).to(device)
    if origin.adapter:
        adapt(model, origin.adapter, recipe.seed)
    if origin.teacher:
        return _taught(model, origin.teacher, recipe, root, known)
    return Learner(model=model, kept=adapter_names(model) if origin.adapter else None)


def _taught(
    model: Transformer, teaching: Teaching, recipe: Recipe, root: Path, known: Mapping[str, Trained]
) -> Learner:
    from deepwide.lab.adapt import Distillation
    from deepwide.lab.training import Learner

    device = next(model.parameters()).device
    teacher = _same(teaching.name, teaching.sha256, root, known).to(device)
    told = {"temperature": teaching.temperature, "weight": teaching.weight, "hidden": teaching.hidden}
    loss = Distillation(model, teacher, **told, seed=recipe.seed)
    return Learner(model=model, loss=loss, beside=loss if teaching.hidden else None, frozen=(teacher,))


def _same(name: str, sha256: str, root: Path, known: Mapping[str, Trained]) -> Transformer:
    """The model of that name, if it still is what it was."""
    found = (known[name] if name in known else trained(name, root)).model
    if sha256 and sha256 != weights_sha256(found):
        raise BadInput(f"{name} no longer has the weights that the run began with; begin a new run")
    return found


def weights_sha256(model: nn.Module) -> str:
    """A hash of all weights and their names."""
    from deepwide.lab.training.tensors import weights

    digest = hashlib.sha256()
    for name, tensor in sorted(weights(model).items()):
        digest.update(name.encode())
        digest.update(tensor.contiguous().cpu().view(-1).numpy().data)
    return digest.hexdigest()
