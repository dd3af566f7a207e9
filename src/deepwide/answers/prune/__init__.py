"""A trained model with fewer layers, heads or channels, or with zeros: what it loses, and what it gains."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepwide.answers.answer import Answer
from deepwide.answers.judged import Judged, held_out_loss, judged, refuse_quantised, text_of
from deepwide.answers.prune.choice import chosen
from deepwide.answers.prune.shape import asked_shape, fitted, refuse_uncut, shape_of, smaller
from deepwide.answers.train.running import Watch, unwatched
from deepwide.architecture.flops import token_flops
from deepwide.errors import BadInput
from deepwide.lab.needs import need_lab

if TYPE_CHECKING:
    from deepwide.answers.models import Model
    from deepwide.answers.train.setting import Setting
    from deepwide.answers.train.start import Start
    from deepwide.lab.network import Transformer
    from deepwide.lab.store import Run

__all__ = ["Pruned", "prune"]
WEIGHT_BYTES = 4  # a run keeps fp32
NO_SPEED = "zeros are stored and multiplied like any other number: this model is neither smaller nor quicker"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned(Answer):
    """What was made, before and after.

    changes           the sizes that are smaller, and what they are now
    predicted         parameters, bytes of all weights, FLOPs of a token, as the ledger has them; measured: those of
                      the tensors and products of the built model
    sparsity          the share of zeros in the matrices inside layers, where that was asked for
    recovered         the run that trained it further, and its loss; None where it was not trained
    """

    name: str
    start: str
    model: str
    changes: dict[str, int]
    predicted: dict[str, int]
    measured: dict[str, int]
    before: Judged
    after: Judged
    sparsity: float | None = None
    recovered: str = ""
    recovered_loss: float | None = None
    recovered_tokens: int = 0
    folder: str = ""
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain values."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        return {**plain, "before": self.before.to_dict(), "after": self.after.to_dict(), "notes": list(self.notes)}


def prune(
    run: str,
    *,
    layers: int | None = None,
    heads: int | None = None,
    ffn: int | None = None,
    parameters: int | None = None,
    by: str = "",
    sparsity: float | None = None,
    recover: int | None = None,
    data: str = "",
    name: str = "",
    root: str | Path | None = None,
    watch: Watch = unwatched,
) -> Pruned:
    """Cuts a trained model down, and keeps it as a run of its own; `recover` tokens train it further.

    layers, heads, ffn    that are left
    parameters, by        as many as are left at most, by "depth", "width", or "both"
    sparsity              the share of weights that become zero, in a model that stays as it is
    data                  the text by which it is cut and judged; its own where left out
    """
    need_lab()
    from deepwide.answers.train.start import start_of
    from deepwide.answers.trained import run_of
    from deepwide.lab.store import free_name, root_folder

    cuts = [value for value in (layers, heads, ffn) if value is not None]
    _check_asked(bool(cuts), parameters, by, sparsity, recover)
    folder = root_folder(root)
    refuse_quantised(run_of(run, root), "pruned")
    start = start_of(run, root)
    if sparsity is None and parameters is None:
        asked_shape(start.model, layers, heads, ffn)  # refused before the text is read
    called = free_name(folder, name, f"{Path(start.name).name}-pruned")
    text = text_of(start, data, folder)
    if sparsity is not None:
        made, model = _with_zeros(start, sparsity), start.model
    else:
        own = shape_of(start.model)
        wanted = asked_shape(start.model, layers, heads, ffn) if cuts else fitted(start.model, parameters or 0, by)
        refuse_uncut(start.model, own, wanted)
        made, model = _cut(start, text, wanted)
    answer = _answer(start, model, made, text, _kept(start, model, made, text, folder, called))
    return answer if not recover else _recovered(answer, recover, text, root, data, watch)


def _check_asked(cuts: bool, parameters: int | None, by: str, sparsity: float | None, recover: int | None) -> None:
    """One way of pruning at a time, each whole."""
    if cuts + (parameters is not None) + (sparsity is not None) != 1:
        raise BadInput("give one of: layers, heads and ffn; parameters with by=depth, width or both; sparsity")
    if (parameters is None) != (not by):
        raise BadInput(f"by={by!r} goes with parameters: give both, as in parameters=500K by=width")
    if sparsity is not None and not 0 < sparsity < 1:
        raise BadInput(f"sparsity={sparsity} must be between 0 and 1: the share of weights that become zero")
    if recover is not None and recover < 1:
        raise BadInput(f"recover={recover} must be at least 1 token")
    if recover and sparsity is not None:
        raise BadInput("recover would fill the zeros again; leave it out beside sparsity")


def _with_zeros(start: Start, sparsity: float) -> Transformer:
    from deepwide.lab.compress import make_sparse

    made = deepcopy(start.trained.model)
    make_sparse(made, sparsity)
    return made


def _cut(start: Start, text: Setting, wanted: Any) -> tuple[Transformer, Model]:
    from deepwide.lab.compress import cut

    own = shape_of(start.model)
    model = smaller(start.model, own, wanted)
    kept = chosen(start.trained.model, own, wanted, text)
    return cut(start.trained.model, model.described(), kept), model


def _kept(start: Start, model: Model, made: Transformer, text: Setting, folder: Path, name: str) -> Run:
    """The run of the pruned model, whole or not at all."""
    from deepwide.answers.train.beginning import manifest_of
    from deepwide.lab.store import keep_whole
    from deepwide.lab.training.checkpoint import Checkpoint, write
    from deepwide.lab.training.tensors import weights

    changed = {"config": model.config} if "config" in start.described else {}
    manifest = {**manifest_of(replace(text, model=model)), **start.described, **changed, "start": start.name}
    told = {"changes": _changes(start.model, model), "predicted": _predicted(model), "measured": _measured(made)}
    empty = Checkpoint(step=0, tokens=0, seconds=0.0, recipe_sha256="", weights=weights(made), optimizer={})

    def fill(part: Path) -> None:
        write(part / "checkpoints", empty)
        start.trained.tokenizer.save(part)

    noted = {"pruned": told["changes"] or {"zeros": True}, "predicted": told["predicted"], "measured": told["measured"]}
    return keep_whole(folder, name, {**manifest, **noted}, fill)


def _answer(start: Start, model: Model, made: Transformer, text: Setting, run: Run) -> Pruned:
    from deepwide.lab.compress import zeros

    own_bytes, new_bytes = (WEIGHT_BYTES * int(each.ledger.parameters()) for each in (start.model, model))
    before, after = judged([(start.trained.model, own_bytes), (made, new_bytes)], text)
    changes, (none, matrices) = _changes(start.model, model), zeros(made)
    return Pruned(
        name=run.name,
        start=start.name,
        model=model.name,
        changes=changes,
        predicted=_predicted(model),
        measured=_measured(made),
        before=before,
        after=after,
        sparsity=None if changes else none / matrices,
        folder=str(run.path),
        notes=(*start.trained.notes, *(() if changes else (NO_SPEED,))),
    )


def _recovered(answer: Pruned, tokens: int, text: Setting, root: str | Path | None, data: str, watch: Watch) -> Pruned:
    """The same, with its model trained further on the text that it was cut by."""
    from deepwide.answers.finetune import finetune
    from deepwide.answers.trained import trained

    asked: dict[str, Any] = {"batch": text.recipe.batch, "context": text.recipe.context, "seed": text.recipe.seed}
    done = finetune(answer.name, data=data or text.data, tokens=tokens, root=root, sample=False, watch=watch, **asked)
    loss = held_out_loss(trained(done.name, root).model, text)
    stopped = f"recovery was interrupted: `deepwide train --resume {done.name}` goes on with it"
    notes = (*answer.notes, *(() if done.status == "done" else (stopped,)))
    return replace(answer, recovered=done.name, recovered_loss=loss, recovered_tokens=done.tokens, notes=notes)


def _changes(before: Model, after: Model) -> dict[str, int]:
    return {} if before is after else shape_of(before).without(shape_of(after))


def _predicted(model: Model) -> dict[str, int]:
    """What the ledger has of the smaller model."""
    parameters = int(model.ledger.parameters())
    flops = int(token_flops(model.ledger))
    return {"parameters": parameters, "weights_bytes": WEIGHT_BYTES * parameters, "flops": flops}


def _measured(made: Transformer) -> dict[str, int]:
    """What the built one has: its tensors, and two FLOPs for each weight that a token is multiplied with."""
    from deepwide.lab.compress import multiplied
    from deepwide.lab.training.tensors import weights

    tensors = weights(made).values()
    return {
        "parameters": sum(tensor.numel() for tensor in tensors),
        "weights_bytes": sum(tensor.numel() * tensor.element_size() for tensor in tensors),
        "flops": 2 * multiplied(made),
    }
