"""From what a user types to a model: a catalogue name, a file, shorthand, with or without changes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deepwide.architecture.ledger import Ledger, lower
from deepwide.architecture.model import Architecture
from deepwide.errors import BadInput
from deepwide.facts.models import known, model_fact
from deepwide.formats import shorthand

FALLBACK_VOCAB = 32_000  # the vocabulary of Llama 1 and 2
NARROW_HEAD = 64  # below this, published models over 100M parameters are rare and attention kernels run unfilled
LARGEST_CONFIG_BYTES = 8 * 2**20  # the longest published config.json is below 1 MB


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
    path = Path(text).expanduser()
    if text and (path.exists() or text.endswith((".json", ".safetensors", ".gguf")) and "=" not in text):
        return _from_path(path, like, instantiate)
    if layer := shorthand.single_layer(text):
        return _model(text, "one layer", layer)
    base, changes = shorthand.parse(text)
    if not base:
        return _from_nothing(text, changes, like)
    base_path = Path(base).expanduser()
    if base_path.exists():
        return _changed(_from_path(base_path, like, instantiate), text, changes)
    if online and "/" in base and not known(base):
        from deepwide.formats.hub import fetched_config

        return _changed(_from_config(fetched_config(base), base, like, instantiate), text, changes)
    return _changed(_from_catalogue(base, like, instantiate), text, changes)


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
    architecture = read_config({"model_type": family}, changes=shape, where=text)
    return _model(text, f"shorthand, family {family}", replace(architecture, name=text), notes=tuple(notes))


def _from_catalogue(name: str, like: str, instantiate: bool) -> Model:
    if "/" in name and not known(name):
        raise BadInput(f"{name} is not in the catalogue; --online fetches its config.json from the Hub")
    fact = model_fact(name)
    if fact.config is None:
        raise BadInput(f"{fact.name} is undisclosed by {fact.maker}: its shape is not public, so nothing can be counted")
    found = _from_config(fact.config, fact.name, like, instantiate, task=fact.task)
    return replace(found, name=fact.name, source=fact.source, notes=(*found.notes, *((fact.note,) if fact.note else ())))


def _from_path(path: Path, like: str, instantiate: bool) -> Model:
    if path.is_dir():
        return _from_folder(path, like, instantiate)
    if not path.exists():
        raise BadInput(f"no file called {path}")
    if path.suffix == ".gguf":
        return _from_gguf(path)
    if path.suffix == ".safetensors" or path.name.endswith(".safetensors.index.json"):
        return _from_safetensors(path)
    return _from_config(_config(path), str(path), like, instantiate)


def _from_folder(path: Path, like: str, instantiate: bool) -> Model:
    for name in ("config.json", "model.safetensors.index.json", "model.safetensors"):
        if (path / name).exists():
            return _from_path(path / name, like, instantiate)
    raise BadInput(f"{path} holds no config.json, model.safetensors or model.safetensors.index.json")


def _config(path: Path) -> Mapping[str, Any]:
    """A config.json, if it is a table of fields and of a believable size."""
    try:
        if path.stat().st_size > LARGEST_CONFIG_BYTES:
            raise BadInput(f"{path} is {path.stat().st_size} bytes long, too long for a config.json")
        config = json.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read: {type(error).__name__}") from None
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} is not JSON: {str(error) or 'nested too deeply'}") from None
    if not isinstance(config, dict):
        raise BadInput(f"{path}: expected a table of fields, not a {type(config).__name__}")
    return config


def _from_config(config: Mapping[str, Any], where: str, like: str, instantiate: bool, task: str = "") -> Model:
    from deepwide.formats.huggingface import read_config

    if instantiate:
        from deepwide.formats.instantiate import instantiated
        from deepwide.formats.stored import stored_ledger

        built = instantiated(config, where)
        note = "built by transformers on the meta device, not by rule"
        return Model(name=where, source="transformers", ledger=stored_ledger(built), config=config, notes=(note,))
    architecture = read_config(config, like=like, where=where, task=task)
    return replace(_model(where, where, architecture), config=config)


def _from_safetensors(path: Path) -> Model:
    from deepwide.formats import safetensors
    from deepwide.formats.stored import stored_ledger

    return Model(name=path.name, source=str(path), ledger=stored_ledger(safetensors.read(path)))


def _from_gguf(path: Path) -> Model:
    from deepwide.formats import gguf
    from deepwide.formats.huggingface import read_config
    from deepwide.formats.stored import stored_ledger

    container = gguf.read(path)
    found = Model(name=path.name, source=str(path), ledger=stored_ledger(container))
    config = gguf.as_config(container.metadata)
    try:
        architecture = read_config(config, where=path.name)
    except BadInput as error:
        return replace(found, notes=(f"counted from its tensors alone: {error}",))
    return replace(found, architecture=architecture, config=config)


def _changed(base: Model, text: str, changes: dict[str, Any]) -> Model:
    """A known model with some sizes changed; the rest follows in its own proportions."""
    if not changes:
        return base
    from deepwide.architecture.sizes import sizes
    from deepwide.formats.huggingface import read_config

    like = changes.pop("like", "")
    own = sizes(base.described())
    known = {name: getattr(own, name) or 0 for name in ("hidden", "heads", "kv_heads", "head_dim", "ffn")}
    shape, notes = shorthand.carried(changes, known) if known["heads"] else (changes, [])
    architecture = read_config(base.config or {}, like=like, changes=shape, where=text)
    return replace(
        _model(text, base.source, replace(architecture, name=text), notes=(*base.notes, *notes)), config=base.config
    )


def _warnings(architecture: Architecture) -> tuple[str, ...]:
    """What is legal but unwise about a shape."""
    from deepwide.architecture.sizes import sizes

    head_dim = sizes(architecture).head_dim
    if head_dim is not None and head_dim < NARROW_HEAD:
        return (f"head_dim={head_dim} is below {NARROW_HEAD}: narrow heads fill matrix units badly and say little each",)
    return ()


def _model(name: str, source: str, architecture: Architecture, notes: tuple[str, ...] = ()) -> Model:
    return Model(
        name=name,
        source=source,
        ledger=lower(architecture),
        architecture=architecture,
        notes=(*notes, *architecture.notes, *_warnings(architecture)),
    )
