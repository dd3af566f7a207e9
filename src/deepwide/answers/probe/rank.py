"""How alike tokens become on their way through a model: attention alone collapses to rank one, skips keep it apart.

Dong, Cordonnier and Loukas 2021, arXiv:2103.03404: "Attention is not all you need". There the distance to rank one of
attention without skip connections falls doubly exponentially with depth, at worst; networks and skips slow it down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepwide.answers.answer import Answer
from deepwide.answers.probe.subject import subject
from deepwide.errors import BadInput

if TYPE_CHECKING:
    from deepwide.architecture.model import Architecture
    from deepwide.lab.probe import Likeness

FLOOR = 1e-6  # of a distance in fp32: what is below is rounding
COLLAPSED, APART = 0.01, 0.1  # distances to rank one that are called so


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way through the weights: with or without networks and skip connections, and the tokens after each layer."""

    attention_only: bool
    residual: bool
    layers: tuple[Likeness, ...]

    @property
    def label(self) -> str:
        """The way in words."""
        return f"attention {'alone' if self.attention_only else '+ FFN'}, {'with' if self.residual else 'no'} skips"

    @property
    def end(self) -> float:
        """The distance to rank one after the last layer at which it is known."""
        return next(x.distance for x in reversed(self.layers) if x.distance is not None)

    @property
    def factors(self) -> tuple[float, float] | None:
        """By what the distance is multiplied at each layer, in the first half of the fall to FLOOR and in the second.

        Where the distance falls doubly exponentially the second is less than the first, squared; None of few layers.
        """
        seen = [x.distance for x in self.layers if x.distance is not None and x.distance > FLOOR]
        half = (len(seen) - 1) // 2
        if half < 1:
            return None
        return (seen[half] / seen[0]) ** (1 / half), (seen[-1] / seen[half]) ** (1 / (len(seen) - 1 - half))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rank(Answer):
    """The tokens of a text in the model as it is, the last of `ways`, and in its weights with parts taken out."""

    model: str
    trained: bool
    tokens: int
    ways: tuple[Way, ...]
    notes: tuple[str, ...] = ()

    def way(self, *, attention_only: bool, residual: bool) -> Way | None:
        """One of the ways, None where the model has none such."""
        return next((w for w in self.ways if (w.attention_only, w.residual) == (attention_only, residual)), None)

    @property
    def says(self) -> str:
        """What the picture shows, in a sentence."""
        alone = self.way(attention_only=True, residual=False)
        whole = self.way(attention_only=False, residual=True)
        if alone is None or whole is None:
            return f"{self.ways[-1].label}: {_state(self.ways[-1])}."
        bare = self.way(attention_only=False, residual=False)
        said = f"Attention alone without skip connections {_state(alone)}{_pace(alone)}; "
        said += f"the whole model, with them, {_state(whole)}"
        return f"{said}; with its networks but without skips it {_state(bare)}." if bare is not None else f"{said}."

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain values."""
        from deepwide.lab.store.files import plain

        ways = [{**asdict(w), "label": w.label, "end": w.end, "factors": w.factors} for w in self.ways]
        table: dict[str, Any] = plain({**asdict(self), "ways": ways, "says": self.says})
        return table


def probe_rank(
    model: str,
    *,
    data: str = "",
    tokenizer: str = "",
    batch: int | None = None,
    context: int | None = None,
    seed: int = 0,
    root: str | Path | None = None,
) -> Rank:
    """Mean cosine, effective rank and distance to rank one of the tokens by layer, with and without skips and FFNs."""
    from deepwide.lab.kernels import Kernels, computing
    from deepwide.lab.probe import likeness, with_weights_of
    from deepwide.lab.store import root_folder

    asked = {"batch": batch, "context": context}
    found = subject(model, root=root_folder(root), data=data, tokenizer=tokenizer, seed=seed, **asked)
    read = next(iter(found.setting.feed.validation()))
    tokens_BT = read.tokens if read.sources is None else read.sources
    if tokens_BT.shape[1] < 2:
        raise BadInput(f"context={tokens_BT.shape[1]}: tokens can be alike only where there are 2 or more")
    ways, notes, skips = [], list(found.notes), _has_skips(found.model.architecture)
    with computing(Kernels()):
        for alone, residual, change in _changes():
            try:
                changed = with_weights_of(found.model, change(found.model.architecture))
            except BadInput as reason:
                notes.append(f"left out: {reason}")
                continue
            ways.append(Way(attention_only=alone, residual=residual and skips, layers=likeness(changed, tokens_BT)))
        ways.append(Way(attention_only=False, residual=skips, layers=likeness(found.model, tokens_BT)))
    return Rank(
        model=model,
        trained=found.trained,
        tokens=int(tokens_BT.numel()),
        ways=tuple(ways),
        notes=tuple(dict.fromkeys(notes)),
    )


def _has_skips(architecture: Architecture) -> bool:
    return any(branch.residual for run in architecture.stacks[0].runs for branch in run.layer.branches)


def _changes() -> Iterator[tuple[bool, bool, Callable[[Architecture], Architecture]]]:
    """What is taken out of the model in turn: whether attention stays alone, whether skips stay, and the change."""
    from deepwide.lab.probe import attention_alone, without_skips

    yield True, False, lambda architecture: without_skips(attention_alone(architecture))
    yield False, False, without_skips
    yield True, True, attention_alone


def _state(way: Way) -> str:
    """How far apart the tokens end, in words."""
    depth = len(way.layers) - 1
    if any(x.distance is None for x in way.layers):
        gone = next(x.layer for x in way.layers if x.distance is None)
        return f"is nothing in fp32 from layer {gone} on"
    rank = next(x.effective_rank for x in reversed(way.layers) if x.effective_rank is not None)
    end = f"{way.end:.2g} from rank one after {depth} layers (effective rank {rank:.1f})"
    if way.end < COLLAPSED:
        return f"collapses to {end}"
    return f"stays {end}" if way.end > APART else f"comes down to {end}"


def _pace(way: Way) -> str:
    """How fast it falls, and whether ever faster."""
    factors = way.factors
    if factors is None or way.end > APART:
        return ""
    first, second = factors
    doubly = second < first**2
    kind = "ever faster, as a double exponential does" if doubly else "exponentially, not doubly so"
    return f", by × {first:.2f} and then × {second:.2f} a layer: {kind}"
