"""A file of weights as a model: its tensors, held against the description that comes with them.

The tensors decide how many parameters there are. Where the description (a GGUF's metadata, a config.json beside a
safetensors file) gives the same total, its rows say more and are used: formulae, scores, caches, active experts.
Where it does not, the tensors are counted and a note names both numbers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

from deepwide.answers.models import Model
from deepwide.answers.places import json_table, printable
from deepwide.architecture.ledger import Ledger, lower
from deepwide.architecture.model import Architecture
from deepwide.architecture.parts import Head
from deepwide.architecture.sizes import sizes
from deepwide.errors import BadInput
from deepwide.formats.weights.stored import holds_several, stored_ledger, stored_notes
from deepwide.formats.weights.tensors import Container, embedding_and_head

BALANCE = ("e_score_correction_bias", "exp_probs_b.bias")  # moved by rule; some classes count it as a parameter
CLOSE_SHARE = 0.1  # layers for drafting, a pooler or padding make less; beyond it, the description is of another model
SHARD = re.compile(r"-\d{5}-of-(\d{5})\.safetensors")


def from_gguf(path: Path, like: str = "") -> Model:
    """A GGUF, described by its metadata; where these name an unknown family, by the config.json beside it."""
    from deepwide.formats.weights import gguf, gguf_config

    container = gguf.read(path)
    config: dict[str, Any] = {}
    try:
        config |= gguf_config.as_config(container) | ({"model_type": like} if like else {})
        found = gguf_config.architecture(container, config, where=printable(path.name))
    except BadInput as error:
        if path.with_name("config.json").is_file():
            return _from_beside(path, container, like)
        problem = str(error).partition(";")[0]
        return _undescribed(path, container, f"{problem}; --like FAMILY reads it as a known one", config)
    model = _described(path, container, config, found)
    notes = _untied_against_habit(container, config["model_type"])
    return replace(model, notes=(*model.notes, *notes))


def from_safetensors(path: Path, like: str = "") -> Model:
    """A safetensors file or index, described by the config.json beside it where there is one."""
    from deepwide.formats.weights import safetensors

    container = safetensors.read(path)
    if shard := SHARD.search(path.name):
        return _undescribed(path, container, f"one of {int(shard[1])} files; the whole is counted from its .index.json")
    if path.with_name("config.json").is_file():
        return _from_beside(path, container, like)
    return _undescribed(path, container)


def _from_beside(path: Path, container: Container, like: str) -> Model:
    """The tensors, held against the config.json in the same folder."""
    from deepwide.formats.huggingface import read_config

    beside = path.with_name("config.json")
    try:
        config = json_table(beside)
        found = read_config(config, like=like, where=printable(beside))
    except BadInput as error:
        return _undescribed(path, container, str(error))
    return _described(path, container, config, found)


def _untied_against_habit(container: Container, family: str) -> tuple[str, ...]:
    """What to say of a head that lies beside an embedding of its shape, in a family that usually ties the two."""
    from deepwide.formats.defaults import declared

    embedding, head = embedding_and_head(container)
    if not embedding or not head or embedding.shape != head.shape or not declared(family).get("tie_word_embeddings"):
        return ()
    fewer = f"{prod(head.shape):,} fewer if it is the same matrix"
    return (f"{head.name} is stored beside {embedding.name}, which this family ties to it: {fewer}",)


def _undescribed(path: Path, container: Container, reason: str = "", config: Mapping[str, Any] | None = None) -> Model:
    """A model of which only the tensors are known, and what a description may say of its experts."""
    known = _experts(*((config or {}).get(name) for name in ("num_local_experts", "num_experts_per_tok")))
    notes = (f"counted from its tensors alone: {reason}",) if reason else ()
    return Model(
        name=printable(path),
        source=printable(path),
        ledger=stored_ledger(container, **known),
        notes=(*notes, *stored_notes(container, experts_known=bool(known))),
    )


def _experts(experts: Any, active_experts: Any) -> dict[str, int]:
    """How many experts a token meets, where that is said."""
    said = isinstance(experts, int) and isinstance(active_experts, int) and 0 < active_experts <= experts
    return {"experts": experts, "active_experts": active_experts} if said else {}


def _described(path: Path, container: Container, config: Mapping[str, Any], found: Architecture) -> Model:
    """The description's own rows where its total is that of the tensors; else the tensors, and both numbers."""
    ledger = lower(found)
    said = int(ledger.parameters())
    note = _agreement(container, found, said)
    if note is not None:
        notes = (*found.notes, note) if note else found.notes
        return Model(
            name=printable(path),
            source=printable(path),
            ledger=ledger,
            architecture=found,
            config=config,
            notes=notes,
        )
    known = _experts(*(getattr(sizes(found), name) for name in ("experts", "active_experts")))
    stored = stored_ledger(container, **known)
    total = int(stored.parameters())
    reason = f"its tensors hold {total:,} parameters and its description says {said:,}: the tensors are counted"
    model = _undescribed(path, container)
    if abs(total - said) > CLOSE_SHARE * total:
        return replace(model, notes=(reason, *model.notes))
    both = Ledger(weights=stored.weights, ops=stored.ops, caches=ledger.caches)
    notes = (reason, *found.notes, *stored_notes(container, bool(known), caches_known=True))
    return replace(model, ledger=both, architecture=found, config=config, notes=notes)


def _agreement(container: Container, found: Architecture, said: int) -> str | None:
    """None where tensors and description disagree; else what there is to say about how they agree, if anything."""
    total = stored_ledger(container).parameters()
    balance = sum(prod(t.shape) for t in container.tensors if t.name.endswith(BALANCE))
    if said in (total, total + balance):
        return ""
    _, head = embedding_and_head(container)
    tied = any(isinstance(part, Head) and part.tied for part in found.head)
    if head and tied and said in (total - prod(head.shape), total - prod(head.shape) + balance):
        return f"{head.name} is tied and yet stored: {prod(head.shape):,} numbers lie in the file twice, and count once"
    several = holds_several(container)
    if several and said > total:
        packed = f"{len(several)} tensors ({several[0]} first) hold several weights in a number"
        return f"{packed}: counted by the description"
    return None
