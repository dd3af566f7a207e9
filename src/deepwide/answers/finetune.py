"""A trained model learns something else: all of its weights, or low-rank adapters beside them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepwide.answers.limits import whole
from deepwide.answers.load import LARGEST_RANK
from deepwide.answers.train.beginning import How, begin, parted
from deepwide.answers.train.origin import Origin, weights_sha256
from deepwide.answers.train.outcome import Training
from deepwide.answers.train.running import Watch, unwatched
from deepwide.answers.train.setting import setting_of
from deepwide.answers.train.start import Start, start_of
from deepwide.architecture.adapters import lora_targets
from deepwide.errors import BadInput
from deepwide.lab.needs import need_lab

if TYPE_CHECKING:
    from deepwide.lab.adapt import Adapter

MOST_ALPHA = 1e6
# Before the width rule of lab/training/rates.py, for 1.1M parameters and few steps; see docs/lab/adapt.md.
FULL_RATE, ADAPTER_RATE = 1e-3, 4e-3


def finetune(
    start: str,
    *,
    data: str = "",
    lora: int | None = None,
    alpha: float | None = None,
    targets: str = "all",
    name: str = "",
    root: str | Path | None = None,
    layout: str = "",
    sample: bool = True,
    watch: Watch = unwatched,
    **asked: Any,
) -> Training:
    """Trains a model further, on other text, with the tokeniser that it has; keeps it as a run of its own.

    start             a run, or a folder of Hugging Face's
    lora              the rank of adapters, which are then all that is trained; all weights where left out
    alpha             the adapters count alpha / lora; 2 lora where left out
    targets           the matrices that get one: "query,value", "attention", "ffn", "all"
    data, name, root, layout, sample, watch, asked    as in `train`
    """
    need_lab()
    adapter = _adapter(lora, alpha, targets)
    begun = start_of(start, root)
    kernels, recipe = parted(asked)
    wanted = {**_defaults(begun, adapter), **{key: value for key, value in recipe.items() if value is not None}}
    how = How(name=name, root=root, layout=layout, sample=sample, watch=watch, kernels=kernels)
    return begin(
        how,
        lambda folder: setting_of(begun.model, data, begun.trained.tokenizer, folder, wanted),
        origin=Origin(start=begun.name, sha256=weights_sha256(begun.trained.model), adapter=adapter),
        known={begun.name: begun.trained},
        more=begun.described,
    )


def _adapter(rank: int | None, alpha: float | None, targets: str) -> Adapter | None:
    from deepwide.lab.adapt import Adapter

    named = lora_targets(targets)
    if rank is None:
        if alpha is not None:
            raise BadInput(f"alpha={alpha} is of adapters; give their rank as well: lora=8")
        return None
    size = whole("lora", rank, 1, LARGEST_RANK)
    weight = 2.0 * size if alpha is None else float(alpha)
    if not 0 < weight <= MOST_ALPHA:
        raise BadInput(f"alpha={alpha} must be above 0 and at most {MOST_ALPHA:g}; 2 lora = {2 * size} is usual")
    return Adapter(rank=size, alpha=weight, targets=named)


def _defaults(begun: Start, adapter: Adapter | None) -> dict[str, Any]:
    """AdamW at a lower rate than from scratch; the context and the objective that the model was trained with."""
    kept = {"objective": begun.recipe["objective"]} if begun.recipe.get("objective") else {}
    rate = ADAPTER_RATE if adapter else FULL_RATE
    return {"optimizer": "adamw", "learning_rate": rate, "context": begun.context, **kept}
