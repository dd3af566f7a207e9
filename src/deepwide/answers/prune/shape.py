"""The shape of a pruned model: which sizes it has, as they are asked for or as they follow from a parameter count."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from deepwide.answers.models import Model, find_model
from deepwide.architecture.attention import Attention
from deepwide.architecture.ffn import FeedForward
from deepwide.architecture.ledger import lower
from deepwide.architecture.model import Architecture
from deepwide.architecture.sizes import bodies, sizes
from deepwide.errors import BadInput
from deepwide.formats.huggingface import read_config

BY = ("depth", "width", "both")
MIXING = ("relative", "alibi")  # positions that treat heads by their number, in all layers alike


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The sizes that pruning changes."""

    layers: int
    heads: int
    kv_heads: int
    ffn: int

    def without(self, other: Shape) -> dict[str, int]:
        """The sizes in which the other differs from this."""
        return {n: getattr(other, n) for n in self.__slots__ if getattr(other, n) != getattr(self, n)}


def shape_of(model: Model) -> Shape:
    """The sizes of a model that can be pruned: one run of equal layers of attention and a network."""
    architecture = model.described()
    found, parts = sizes(architecture), bodies(architecture)
    plain = all(type(part) in (Attention, FeedForward) for part in parts)
    runs = [run for stack in architecture.stacks for run in stack.runs]
    if not plain or len(runs) > len(architecture.stacks) or any(run.shared for run in runs):
        raise BadInput(
            f"{model.name} has experts or layers of several kinds, which pruning does not cut yet; sparsity=0.5 makes "
            "zeros in any model"
        )
    heads, kv_heads, ffn = (int(size or 0) for size in (found.heads, found.kv_heads, found.ffn))
    return Shape(layers=int(found.layers), heads=heads, kv_heads=kv_heads, ffn=ffn)


def asked_shape(model: Model, layers: int | None, heads: int | None, ffn: int | None) -> Shape:
    """The shape with these sizes, if it is a smaller one that can be cut out."""
    own = shape_of(model)
    for name, value in (("layers", layers), ("heads", heads), ("ffn", ffn)):
        if value is not None and not 1 <= value <= getattr(own, name):
            raise BadInput(f"{name}={value} must be from 1 to the {getattr(own, name)} that the model has")
    shared = own.heads // own.kv_heads
    if heads is not None and heads % shared:
        raise BadInput(f"heads={heads} must be a multiple of {shared}: so many share keys and values, and go together")
    wanted = Shape(
        layers=layers or own.layers,
        heads=heads or own.heads,
        kv_heads=(heads or own.heads) // shared,
        ffn=ffn or own.ffn,
    )
    if wanted == own:
        raise BadInput("nothing is pruned: give layers, heads or ffn below the model's own, parameters, or sparsity")
    refuse_uncut(model, own, wanted)
    return wanted


def refuse_uncut(model: Model, own: Shape, wanted: Shape) -> None:
    """Refuses cuts that would leave a model that is not one of its family."""
    architecture = model.described()
    if wanted.layers != own.layers and len(architecture.stacks) > 1:
        raise BadInput(f"layers={wanted.layers}: an encoder-decoder's layers are not cut yet; prune ffn instead")
    if wanted.heads != own.heads and not _heads_can_go(architecture):
        raise BadInput(f"heads={wanted.heads}: positions belong to heads by their number here; prune layers or ffn")


def fitted(model: Model, parameters: int, by: str) -> Shape:
    """The largest shape of at most so many parameters, by fewer layers, narrower ones, or half by each.

    width    the same share of heads and of FFN channels goes, as near as whole heads allow
    both     layers go until half of what is too much has gone
    """
    if by not in BY:
        raise BadInput(f"by={by!r} is unknown; known: {', '.join(BY)}")
    own = shape_of(model)
    count = _counter(model)
    if not parameters < count(own):
        raise BadInput(f"parameters={parameters:,} must be below the {count(own):,} of the model")
    if by == "depth":
        return _fewer_layers(own, parameters, count)
    if by == "width":
        return _narrower(model, own, parameters, count)
    half = (count(own) + parameters) // 2
    return _narrower(model, _fewer_layers(own, half, count), parameters, count)


def smaller(model: Model, own: Shape, wanted: Shape) -> Model:
    """The model of that shape, by its text, or by its config where it was read from one."""
    changes: dict[str, int] = own.without(wanted)
    if "heads" in changes:
        changes["head_dim"] = int(sizes(model.described()).head_dim or 0)
        if own.heads == own.kv_heads:
            changes.pop("kv_heads", None)
    if model.source in ("config", "config.json"):
        return _by_config(model, changes)
    words = [word.strip() for word in model.name.split(",")]
    kept = [word for word in words if word.partition("=")[0] not in changes]
    if "like=" in model.name:  # what the shorthand assumed is stated, so that it stays
        stated = {word.partition("=")[0] for word in kept} | changes.keys()
        kept += [f"ffn={own.ffn}"] if "ffn" not in stated else []
    return find_model(",".join([*kept, *(f"{name}={value}" for name, value in changes.items())]))


def _by_config(model: Model, changes: Mapping[str, int]) -> Model:
    from deepwide.formats.export.huggingface import config_of

    assert model.config is not None
    architecture = replace(read_config(model.config, changes=dict(changes), where=model.name), name=model.name)
    config: Mapping[str, Any] = config_of(architecture, model.config)
    again = read_config(config, where=model.name)
    if lower(again).parameters() != lower(architecture).parameters():
        raise BadInput(f"{model.name}: its config has no words for {', '.join(changes)}; prune layers or ffn")
    return Model(name=model.name, source="config", ledger=lower(again), architecture=again, config=config)


def _counter(model: Model) -> Callable[[Shape], int]:
    own = shape_of(model)
    known: dict[Shape, int] = {own: int(model.ledger.parameters())}

    def count(shape: Shape) -> int:
        if shape not in known:
            known[shape] = int(smaller(model, own, shape).ledger.parameters())
        return known[shape]

    return count


def _fewer_layers(own: Shape, parameters: int, count: Callable[[Shape], int]) -> Shape:
    for layers in range(own.layers, 0, -1):
        shape = replace(own, layers=layers)
        if count(shape) <= parameters:
            return shape
    raise BadInput(f"parameters={parameters:,} is less than one layer leaves: {count(shape):,}; cut the width as well")


def _narrower(model: Model, own: Shape, parameters: int, count: Callable[[Shape], int]) -> Shape:
    """For each number of heads the widest network that fits; of these the one that cuts both most alike."""
    shared, best = own.heads // own.kv_heads, []
    fewest = 1 if _heads_can_go(model.described()) else own.kv_heads
    for kv_heads in range(own.kv_heads, fewest - 1, -1):
        shape = replace(own, kv_heads=kv_heads, heads=kv_heads * shared)
        ffn = _widest(count, shape, parameters)
        if ffn:
            best.append((abs(kv_heads / own.kv_heads - ffn / own.ffn), replace(shape, ffn=ffn)))
    if not best:
        raise BadInput(f"parameters={parameters:,} is less than the narrowest layers leave; prune the depth as well")
    return min(best, key=lambda each: each[0])[1]


def _widest(count: Callable[[Shape], int], shape: Shape, parameters: int) -> int:
    """The widest network that fits, up to the shape's own; 0 where even 1 does not. Counts grow evenly with it."""
    one, two = count(replace(shape, ffn=1)), count(replace(shape, ffn=2))
    return 0 if one > parameters else min(shape.ffn, 1 + (parameters - one) // (two - one))


def _heads_can_go(architecture: Architecture) -> bool:
    """Whether a head means the same without its number."""
    inputs = (*architecture.embedding, *(part for stack in architecture.stacks for part in stack.before))
    kinds = {getattr(part, name, "") for part in inputs for name in ("kind", "name")}
    return not kinds & {*MIXING, "relative_bias"}
