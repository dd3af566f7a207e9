"""What the networks of a trained model remember: which texts trigger a key, and what its value makes the model say.

Geva, Schuster, Berant and Levy 2021, arXiv:2012.14913. There the upper layers' values often promote the very token that
follows their keys' strongest triggers, the lower layers' hardly more often than chance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepwide.answers.answer import Answer
from deepwide.answers.probe.subject import Subject, subject
from deepwide.errors import BadInput

if TYPE_CHECKING:
    from torch import Tensor

    from deepwide.lab.data import Tokenizer
    from deepwide.lab.probe import Memory

WINDOWS, TRIGGERS = 256, 10
BATCH = 16
SHOWN = 3  # memories of a layer that are told
CONTEXT_TOKENS = 24  # of a trigger, that are shown
ENDING = 3  # tokens: triggers that share their last so many are called alike
CLEARLY = 2.0  # times chance, from which on an agreement is called one


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The text that triggers a key, up to the token where it fires, and the token that follows."""

    text: str
    following: str
    strength: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Recollection:
    """One key with its strongest triggers, and the tokens that its value promotes most.

    alike       share of the triggers that end like most others do (their last ENDING tokens)
    agrees      share of the triggers that are followed by the value's first token
    """

    layer: int
    key: int
    contexts: tuple[Context, ...]
    promotes: tuple[str, ...]
    alike: float
    agrees: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerMemories:
    """All keys of a layer: how often a value's first token is the one that follows its key's strongest trigger.

    chance      of the same, were keys and values of the layer paired at random
    alike       mean share of a key's triggers that end like most others do
    """

    layer: int
    keys: int
    agreement: float
    chance: float
    alike: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Memories(Answer):
    """The memories of a model: agreement by layer, and for each layer the clearest memories."""

    model: str
    tokens: int
    layers: tuple[LayerMemories, ...]
    clearest: tuple[Recollection, ...]
    notes: tuple[str, ...] = ()

    @property
    def says(self) -> str:
        """What the picture shows, in a sentence."""
        ordered = sorted(self.layers, key=lambda x: x.agreement / max(x.chance, 1e-9))
        best, least = ordered[-1], ordered[0]
        above = best.agreement > CLEARLY * best.chance
        said = f"In layer {best.layer} the value of {best.agreement:.1%} of the {best.keys:,} keys promotes first what "
        said += (
            f"follows its strongest trigger, {'against' if above else 'no more than about'} {best.chance:.1%} by chance"
        )
        if least.layer != best.layer:
            said += f", and in layer {least.layer} {least.agreement:.1%} against {least.chance:.1%}"
        if self.clearest:
            clear = max(self.clearest, key=lambda x: x.agrees + x.alike)
            said += f"; key {clear.key} of layer {clear.layer} fires at {_ending(clear)!r} and promotes "
            said += f"{clear.promotes[0]!r}, which follows {clear.agrees:.0%} of its triggers"
        return f"{said}."

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain values."""
        return {**asdict(self), "says": self.says}


def probe_memories(
    model: str,
    *,
    layer: int | None = None,
    windows: int = WINDOWS,
    triggers: int = TRIGGERS,
    shown: int = SHOWN,
    data: str = "",
    root: str | Path | None = None,
) -> Memories:
    """The memories of a run, or of a folder of weights, on its validation text: of one `layer`, or of all."""
    import torch

    from deepwide.lab.data import validation_batches
    from deepwide.lab.kernels import Kernels, computing
    from deepwide.lab.probe import memories
    from deepwide.lab.store import root_folder

    _check(windows=windows, triggers=triggers, shown=shown)
    found = subject(model, root=root_folder(root), data=data)
    layers = _layers(found, layer)
    context = found.setting.recipe.context
    rows = validation_batches(found.setting.corpus.validation, context=context, batch=BATCH, limit=-(-windows // BATCH))
    texts = [torch.from_numpy(each) for each in islice(rows, -(-windows // BATCH))]
    with computing(Kernels()):
        known = memories(found.model, texts, most=triggers, layers=layers)
    whole = torch.cat(texts)
    told = {i: [_recollection(m, whole, found.tokenizer) for m in known if m.layer == i] for i in layers}
    return Memories(
        model=model,
        tokens=int(whole[:, 1:].numel()),
        layers=tuple(_layer(i, [m for m in known if m.layer == i], told[i]) for i in layers),
        clearest=tuple(each for i in layers for each in _clearest(told[i], shown)),
        notes=found.notes,
    )


def _check(**counts: int) -> None:
    for name, count in counts.items():
        if not 1 <= count <= 100_000:
            raise BadInput(f"{name}={count} must be from 1 to 100,000")


def _layers(found: Subject, layer: int | None) -> list[int]:
    """The layers that are asked for, of a model that has memories to look at."""
    if not found.trained:
        raise BadInput(f"{found.name} is not trained and remembers nothing; give a run (`deepwide runs` lists them)")
    if found.model.stack_names != ["decoder"] or found.setting.recipe.objective != "next":
        raise BadInput(f"{found.name} does not tell next tokens, which memories are read by; give a trained decoder")
    depth = len(found.model.stack("decoder").blocks)
    if layer is not None and not 1 <= layer <= depth:
        raise BadInput(f"layer={layer} must be from 1 to {depth}, the layers of {found.name}")
    return [layer] if layer is not None else list(range(1, depth + 1))


def _recollection(memory: Memory, texts_NT: Tensor, tokenizer: Tokenizer) -> Recollection:
    contexts, endings = [], []
    for trigger in memory.triggers:
        read = texts_NT[trigger.window, : trigger.place + 1].tolist()
        endings.append(tuple(read[-ENDING:]))
        text = tokenizer.decode(read[-CONTEXT_TOKENS:]).lstrip("\ufffd")
        contexts.append(Context(text=text, following=tokenizer.decode([trigger.following]), strength=trigger.strength))
    first = memory.promoted[0]
    return Recollection(
        layer=memory.layer,
        key=memory.key,
        contexts=tuple(contexts),
        promotes=tuple(tokenizer.decode([token]) for token in memory.promoted),
        alike=Counter(endings).most_common(1)[0][1] / len(endings),
        agrees=sum(trigger.following == first for trigger in memory.triggers) / len(memory.triggers),
    )


def _layer(layer: int, known: Sequence[Memory], told: Sequence[Recollection]) -> LayerMemories:
    values = Counter(memory.promoted[0] for memory in known)
    followers = Counter(memory.triggers[0].following for memory in known)
    return LayerMemories(
        layer=layer,
        keys=len(known),
        agreement=sum(m.promoted[0] == m.triggers[0].following for m in known) / len(known),
        chance=sum(count * followers[token] for token, count in values.items()) / len(known) ** 2,
        alike=sum(each.alike for each in told) / len(told),
    )


def _clearest(told: Sequence[Recollection], shown: int) -> list[Recollection]:
    """The memories whose triggers are most alike and most often followed by what the value promotes; all different."""
    ordered = sorted(told, key=lambda each: (-(each.agrees + each.alike), each.key))
    different: dict[tuple[str, str], Recollection] = {}
    for each in ordered:
        different.setdefault((_ending(each), each.promotes[0]), each)
    return list(different.values())[:shown]


def _ending(each: Recollection) -> str:
    """The longest text that at least half of the triggers end with, up to a dozen letters."""
    texts = [context.text for context in each.contexts]
    for length in range(12, 0, -1):
        ending, count = Counter(text[-length:] for text in texts).most_common(1)[0]
        if count * 2 >= len(texts) and len(ending) == length:
            return ending
    return texts[0][-1:]
