"""From what a user types to a model: a catalogue name, a file, shorthand, with or without changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from deepwide.answers.places import holds_a_model, json_table, looks_like_a_file, on_disk, printable, readable
from deepwide.answers.shelf import Shelf, shelf
from deepwide.architecture.ledger import Ledger, lower
from deepwide.architecture.model import Architecture
from deepwide.architecture.sizes import bodies, sizes
from deepwide.errors import BadInput
from deepwide.facts.models import known, model_fact
from deepwide.formats import shorthand

FALLBACK_VOCAB = 32_000  # the vocabulary of Llama 1 and 2
MAY_BE_MISSING = {"window", "active_experts", "expert_ffn", "shared_experts"}  # sizes of parts that few families have
NARROW_HEAD = 64  # below this, published models over 100M parameters are rare and attention kernels run unfilled


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model that was found, with its ledger. `architecture` is None where only a list of tensors is known."""

    name: str
    source: str
    ledger: Ledger
    architecture: Architecture | None = None
    config: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()

    def described(self) -> Architecture:
        """The architecture, or an error saying why there is none."""
        if self.architecture is None:
            raise BadInput(f"{self.name}: only its tensors are known; put its config.json beside it, or give that")
        return self.architecture


def find_model(text: str, like: str = "", instantiate: bool = False, online: bool = False) -> Model:
    """The model that MODEL names.

    `like` is the family to read an unknown config as, `instantiate` builds it with transformers instead of by rule,
    `online` allows a Hub id, whose config.json is then fetched.

    >>> find_model("llama-2-7b").ledger.parameters()
    6738415616
    """
    allowed = shelf()
    if allowed is not None:
        return _from_shelf(text, allowed, like)
    path, rest = on_disk(text)
    if path and (holds_a_model(path) or not known(text.partition(",")[0])):
        return _changed(_from_path(path, like, instantiate), text, shorthand.parse(f"model,{rest}")[1], like)
    if looks_like_a_file(text):
        return _from_path(Path(text), like, instantiate)
    if layer := shorthand.single_layer(text):
        return _model(text, "one layer", layer)
    base, changes = shorthand.parse(text)
    if not base:
        return _from_nothing(text, changes, like)
    if online and "/" in base and not known(base):
        from deepwide.formats.hub import fetched_config

        return _changed(_from_config(fetched_config(base), base, like, instantiate), text, changes, like)
    return _changed(_from_catalogue(base, like, instantiate), text, changes, like)


def _from_shelf(text: str, configs: Shelf, like: str) -> Model:
    """The model of a config on the shelf, of the catalogue or of shorthand; nothing on the disk is looked at."""
    if layer := shorthand.single_layer(text):
        return _model(text, "one layer", layer)
    base, changes = shorthand.parse(text)
    if not base:
        return _from_nothing(text, changes, like)
    if base in configs:
        return _changed(_from_config(configs[base], base, like, instantiate=False), text, changes, like)
    return _changed(_from_catalogue(base, like, instantiate=False), text, changes, like)


def _from_nothing(text: str, changes: dict[str, Any], like: str) -> Model:
    from deepwide.formats import families
    from deepwide.formats.defaults import declared
    from deepwide.formats.huggingface import read_config

    family = changes.pop("like", like) or "llama"
    rule = families.rule(family)
    shape, notes = shorthand.completed(changes, gated=rule.get("gated", True) is True)
    if "vocab" not in shape:
        shape["vocab"] = declared(family).get("vocab_size", FALLBACK_VOCAB)
        notes.append(f"vocab={shape['vocab']} assumed: the family's own")
    read = partial(read_config, {"model_type": family}, where=text)
    architecture = read(changes=shape)
    if "expert_ffn" not in shape and _keeps_experts(architecture, shape["ffn"]):
        shape, notes = _with_experts(changes, shape, notes, read)
        architecture = read(changes=shape)
    shorthand.refuse_unused(shape, read)
    said = (*notes, *_unused_sizes(shape, architecture, read))
    return _model(text, f"shorthand, family {family}", replace(architecture, name=text), notes=said)


def _keeps_experts(architecture: Architecture, ffn: int) -> bool:
    """Whether there are experts, and not of the width that was asked for."""
    return any(hasattr(body, "experts") and getattr(body, "ffn", ffn) != ffn for body in bodies(architecture))


def _with_experts(
    changes: Mapping[str, Any], shape: dict[str, Any], notes: list[str], read: Callable[..., Architecture]
) -> tuple[dict[str, Any], list[str]]:
    """A shape with the width of its experts, where the family states it apart: its own share of hidden.

    Where there is no network besides, a width of the network can only mean that of its experts.
    """
    try:
        usual = read(changes={})
        width, alone = _expert_ffn(usual, read)
    except BadInput:  # what the family falls back to is no model by itself
        return shape, notes
    if not width:
        return shape, notes
    if alone and "ffn" in changes:
        return {**shape, "expert_ffn": changes["ffn"]}, notes
    width = shorthand.in_proportion(width, shape["hidden"], int(usual.main.hidden))
    said = f"expert_ffn={width} assumed: the family's own share of hidden"
    return {**shape, "expert_ffn": width}, [*(n for n in notes if not (alone and n.startswith("ffn="))), said]


def _from_catalogue(name: str, like: str, instantiate: bool) -> Model:
    if "/" in name and not known(name):
        raise BadInput(f"{name} is not in the catalogue; --online fetches its config.json from the Hub")
    fact = model_fact(name)
    if fact.config is None:
        raise BadInput(
            f"{fact.name} is undisclosed by {fact.maker}: its shape is not public, so nothing can be counted"
        )
    found = _from_config(fact.config, fact.name, like, instantiate, task=fact.task)
    return replace(
        found, name=fact.name, source=fact.source, notes=(*found.notes, *((fact.note,) if fact.note else ()))
    )


def _from_path(place: Path, like: str, instantiate: bool) -> Model:
    path = readable(place)
    if path.suffix == ".gguf":
        from deepwide.answers.weights import from_gguf

        return from_gguf(path, like)
    if path.suffix == ".safetensors" or path.name.endswith(".safetensors.index.json"):
        from deepwide.answers.weights import from_safetensors

        return from_safetensors(path, like)
    return _from_config(json_table(path), printable(path), like, instantiate)


def _from_config(config: Mapping[str, Any], where: str, like: str, instantiate: bool, task: str = "") -> Model:
    from deepwide.formats.huggingface import read_config

    if instantiate:
        from deepwide.formats.weights.instantiate import instantiated
        from deepwide.formats.weights.stored import stored_ledger, stored_notes

        built = instantiated(config, where)
        notes = (f"built by transformers as {built.metadata['class']}, not by rule", *stored_notes(built))
        return Model(name=where, source="transformers", ledger=stored_ledger(built), config=config, notes=notes)
    architecture = read_config(config, like=like, where=where, task=task)
    return replace(_model(where, where, architecture), config=config)


def _changed(base: Model, text: str, changes: dict[str, Any], like: str) -> Model:
    """A known model with some sizes changed; the rest follows in its own proportions."""
    if not changes:
        return base
    from deepwide.formats.huggingface import read_config

    read = partial(read_config, base.config or {}, like=changes.pop("like", like), where=text)
    own = sizes(base.described())
    base_sizes = {name: getattr(own, name) or 0 for name in ("hidden", "heads", "kv_heads", "head_dim", "ffn")}
    base_sizes["expert_ffn"], alone = _expert_ffn(base.described(), read)
    if alone:  # a width of the network can only mean that of its experts
        base_sizes["ffn"] = 0
        changes = {**({"expert_ffn": changes.pop("ffn")} if "ffn" in changes else {}), **changes}
    shape, notes = shorthand.carried(changes, base_sizes) if base_sizes["heads"] else (changes, [])
    architecture = read(changes=shape)
    shorthand.refuse_unused(shape, read)
    said = (*base.notes, *notes, *_unused_sizes(shape, architecture, read))
    return replace(_model(text, base.source, replace(architecture, name=text), notes=said), config=base.config)


def _unused_sizes(
    shape: Mapping[str, Any], architecture: Architecture, read: Callable[..., Architecture]
) -> Iterator[str]:
    """Sizes of a shape that the model has no part for, each in words."""
    for name in sorted(MAY_BE_MISSING & shape.keys()):
        try:
            without = read(changes={other: value for other, value in shape.items() if other != name})
        except BadInput:  # the rest of the shape cannot do without it
            continue
        if without == architecture:
            yield f"{name}={shape[name]} changes nothing in this model"


def _expert_ffn(architecture: Architecture, read: Callable[..., Architecture]) -> tuple[int, bool]:
    """The width of the experts where the family states it apart, else 0; and whether there is no network besides."""
    networks = [body for body in bodies(architecture) if hasattr(body, "ffn")]
    widths = [int(body.ffn) for body in networks if hasattr(body, "experts")]
    if not widths or read(changes={"expert_ffn": 2 * widths[0]}) == read(changes={}):
        return 0, False
    return widths[0], len(widths) == len(networks)


def _warnings(architecture: Architecture) -> tuple[str, ...]:
    """What is legal but unwise about a shape."""
    head_dim = sizes(architecture).head_dim
    if head_dim is not None and head_dim < NARROW_HEAD:
        return (
            f"head_dim={head_dim} is below {NARROW_HEAD}: narrow heads fill matrix units badly and say little each",
        )
    return ()


def _model(name: str, source: str, architecture: Architecture, notes: tuple[str, ...] = ()) -> Model:
    return Model(
        name=name,
        source=source,
        ledger=lower(architecture),
        architecture=architecture,
        notes=tuple(dict.fromkeys((*notes, *architecture.notes, *_warnings(architecture)))),
    )
