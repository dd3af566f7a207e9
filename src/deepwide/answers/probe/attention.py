"""Where the heads of a model look, and what one matrix for queries, keys and values does to that and to the loss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from deepwide.answers.answer import Answer
from deepwide.answers.probe.subject import Subject, built, changed, refuse_steps, subject, tokens_of
from deepwide.answers.probe.teaching import Watch, taught, unwatched
from deepwide.errors import BadInput

if TYPE_CHECKING:
    from deepwide.lab.network import Transformer
    from deepwide.lab.probe import HeadMap

STEPS = 100
LONGEST = 128  # tokens of a map
TEXT = "def add(a, b):\n    return a + b\n\ndef sub(a, b):\n    return"
DIGITS = 4  # of a weight
ALIKE = 0.02  # symmetries and shares closer than this are called equal
LOSS_ALIKE = 0.05  # nats; seeds of short runs differ by 0.01 to 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """One head on the text: the numbers of `HeadMap`, and its weights as a table, a row for the token that looks."""

    layer: int
    head: int
    symmetry: float
    entropy: float
    diagonal: float
    weights: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """All heads of a model at one moment. `validation_loss` in nats per token, where the model was trained here."""

    model: str
    shared: bool
    step: int | None
    heads: tuple[Head, ...]
    validation_loss: float | None = None

    @property
    def label(self) -> str:
        """The moment in words."""
        matrices = "shared Q = K = V" if self.shared else "separate Q, K, V"
        return f"{matrices}, {'trained' if self.step is None else f'step {self.step:,}'}"

    def mean(self, name: str, layer: int = 0) -> float:
        """The mean of a number over all heads, or over those of a layer."""
        return fmean(getattr(head, name) for head in self.heads if layer in (0, head.layer))

    @property
    def layers(self) -> int:
        """How many layers have heads."""
        return max(head.layer for head in self.heads)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention(Answer):
    """The heads of a model on a text, beside those of the same model with one shared matrix, before and after training.

    tokens      the text, token by token
    """

    model: str
    text: str
    tokens: tuple[str, ...]
    looks: tuple[Look, ...]
    notes: tuple[str, ...] = ()

    def last(self, *, shared: bool) -> Look | None:
        """The latest look at the one or the other."""
        return next((look for look in reversed(self.looks) if look.shared == shared), None)

    @property
    def says(self) -> str:
        """What the picture shows, in a sentence."""
        own, shared = self.last(shared=False), self.last(shared=True)
        if own is None or shared is None:
            only = self.looks[-1]
            return f"{_said(only)[0].upper()}{_said(only)[1:]} ({only.label})."
        weight = shared.mean("diagonal") - own.mean("diagonal")
        look = "more" if weight > ALIKE else "less" if weight < -ALIKE else "no more"
        kind = "the scores are symmetric" if shared.mean("symmetry") > 1 - ALIKE else "the scores are not symmetric"
        said = f"With one matrix for all three {kind} ({shared.mean('symmetry'):.2f}, against "
        said += f"{own.mean('symmetry'):.2f} with three) "
        said += f"and a token looks {look} at itself ({shared.mean('diagonal'):.0%} of its weight, against "
        said += f"{own.mean('diagonal'):.0%}), with an entropy of {shared.mean('entropy'):.2f} against "
        said += f"{own.mean('entropy'):.2f} of an even look"
        return f"{said}{_losses(own, shared)}."

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain values."""
        from deepwide.lab.store.files import plain

        looks = [{**asdict(look), "label": look.label} for look in self.looks]
        table: dict[str, Any] = plain({**asdict(self), "looks": looks, "says": self.says})
        return table


def probe_attention(
    model: str,
    *,
    text: str = TEXT,
    steps: int | None = None,
    data: str = "",
    tokenizer: str = "",
    batch: int | None = None,
    context: int | None = None,
    seed: int = 0,
    root: str | Path | None = None,
    watch: Watch = unwatched,
) -> Attention:
    """Attention maps by layer and head on a text, with separate and with shared Q, K, V, before and after `steps`.

    Of a run: its own heads, as they are trained.
    """
    from deepwide.lab.kernels import Kernels, computing
    from deepwide.lab.store import root_folder

    folder, asked = root_folder(root), {"batch": batch, "context": context}
    found = subject(model, root=folder, data=data, tokenizer=tokenizer, seed=seed, **asked, steps=steps)
    taken = refuse_steps(found, STEPS if steps is None and not found.trained else steps)
    read, notes = tokens_of(found, text, LONGEST), list(found.notes)
    with computing(Kernels()):
        looks = [
            Look(
                model=found.text, shared=_one_projection(found.model), step=found.steps, heads=_heads(found.model, read)
            )
        ]
        if not found.trained:
            looks = []
            for name in (found.text, f"{found.text},shared_qkv"):
                try:
                    looks += _looks(found, name, read, taken, folder, seed, watch)
                except BadInput as reason:
                    notes.append(f"left out: {reason}")
    if not looks:
        raise BadInput(notes[-1].removeprefix("left out: "))
    return Attention(
        model=model,
        text=text,
        tokens=tuple(found.tokenizer.decode([token]) for token in read),
        looks=tuple(looks),
        notes=tuple(dict.fromkeys(notes)),
    )


def _looks(
    found: Subject, text: str, read: Sequence[int], steps: int, root: Path, seed: int, watch: Watch
) -> Iterator[Look]:
    """A model at initialisation, and after so many steps."""
    one = changed(found, text, root, seed, steps)
    model = built(one, seed)
    shared = _one_projection(model)
    yield Look(model=text, shared=shared, step=0, heads=_heads(model, read))
    if steps:
        loss = taught(model, one, root, watch, "shared Q, K, V" if shared else "separate Q, K, V")
        yield Look(model=text, shared=shared, step=steps, heads=_heads(model, read), validation_loss=loss)


def _heads(model: Transformer, read: Sequence[int]) -> tuple[Head, ...]:
    import torch

    from deepwide.lab.probe import attention_maps

    return tuple(_head(seen) for seen in attention_maps(model, torch.tensor([list(read)])))


def _head(seen: HeadMap) -> Head:
    rows = tuple(tuple(round(weight, DIGITS) for weight in row) for row in seen.weights.tolist())
    numbers = {name: getattr(seen, name) for name in ("layer", "head", "symmetry", "entropy", "diagonal")}
    return Head(**numbers, weights=rows)


def _one_projection(model: Transformer) -> bool:
    from deepwide.lab.network.attention import Attention as Module

    return any(a.one_projection for a in model.modules() if isinstance(a, Module))


def _said(look: Look) -> str:
    return (
        f"a token gives itself {look.mean('diagonal'):.0%} of its weight and spreads it with an entropy of "
        f"{look.mean('entropy'):.2f} of an even look, and the symmetry of the scores is {look.mean('symmetry'):.2f}"
    )


def _losses(own: Look, shared: Look) -> str:
    """What sharing does to the loss, where both were trained."""
    if own.validation_loss is None or shared.validation_loss is None:
        return ""
    more = shared.validation_loss - own.validation_loss
    verdict = "as good as" if abs(more) < LOSS_ALIKE else "worse than" if more > 0 else "better than"
    return (
        f"; after {own.step:,} steps its loss of {shared.validation_loss:.3f} nats is {verdict} the "
        f"{own.validation_loss:.3f} of three matrices"
    )
