"""A config.json for an Architecture: the reverse of `formats.huggingface.read_config`, and checked by it.

What a family writes is data: how it spells sizes (as the readers do) and which fields say the rest. Whatever comes out
is read again, and refused unless it describes the very same model: so a config that is written is never nearly right.
Fields are those of the configuration classes of transformers 5.23 that transformers 4 reads as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from deepwide.architecture.experts import Experts
from deepwide.architecture.ledger import Ledger, lower
from deepwide.architecture.model import Architecture
from deepwide.architecture.sizes import bodies, int_or_none, sizes
from deepwide.errors import BadInput
from deepwide.formats import families
from deepwide.formats.constants import Constants, constants
from deepwide.formats.defaults import declared
from deepwide.formats.export.config_fields import constant_fields, said_of, structure_fields
from deepwide.formats.fields import SPELLED, Field
from deepwide.formats.huggingface import read_config

TASKS = ("", "causal", "masked", "seq2seq")
# Families that a model of another name may turn out to be, the commonest first, and their classes.
CLASSES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "gpt2": "GPT2LMHeadModel",
    "bert": "BertForMaskedLM",
    "t5": "T5ForConditionalGeneration",
}
TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id")


def config_of(
    architecture: Architecture, base: Mapping[str, Any] | None = None, computed: Constants | None = None
) -> dict[str, Any]:
    """The config.json that describes the architecture.

    `base` is the config it was made from, whose other fields are kept; `computed` are the constants to state, the
    base's own or the family's where left out.
    """
    if base and any(_says(base, architecture, task) for task in TASKS):
        return dict(base)
    own = [str(base["model_type"])] if base and "model_type" in base else [architecture.family, *CLASSES]
    refusals = []
    for family in dict.fromkeys(own):
        try:
            return _written(architecture, family, base or {}, computed)
        except BadInput as error:
            refusals.append(str(error))
    raise BadInput(refusals[0])


def _written(
    architecture: Architecture, family: str, base: Mapping[str, Any], computed: Constants | None
) -> dict[str, Any]:
    config: dict[str, Any] = {"model_type": family, **base}
    task = _task(architecture)
    if family in CLASSES and not base:
        config["architectures"] = [_class(family, task)]
        config |= dict.fromkeys(TOKENS)
        config |= constant_fields(family, computed or constants({"model_type": family}))
    config |= _sizes_of(config, architecture, family, every=not base)
    config |= structure_fields(architecture, family)
    if not _says(config, architecture, task):
        raise BadInput(_refusal(config, architecture, family, task))
    return config


def _task(architecture: Architecture) -> str:
    if len(architecture.stacks) > 1:
        return "seq2seq"
    return "causal" if architecture.main.causal else "masked"


def _class(family: str, task: str) -> str:
    return "BertLMHeadModel" if (family, task) == ("bert", "causal") else CLASSES[family]


def _says(config: Mapping[str, Any], architecture: Architecture, task: str) -> bool:
    """Whether the config describes the very same model; names and notes apart."""
    try:
        read = read_config(config, task=task)
    except BadInput:
        return False
    own = architecture
    named = replace(read, name=own.name, family=own.family, notes=own.notes, context=own.context)
    return named == own and _reaches(read, own)


def _reaches(read: Architecture, architecture: Architecture) -> bool:
    """Whether it is made for as long a context; where nothing states one, any will do."""
    return architecture.context is None or read.context is None or read.context == architecture.context


def _sizes_of(config: Mapping[str, Any], architecture: Architecture, family: str, every: bool) -> dict[str, Any]:
    """The fields for the sizes of the architecture: for every one, or for those that the config says otherwise."""
    before, fields = _read_sizes(config), {}
    for name, value in _sizes(architecture).items():
        differs = value is not None and before.get(name) != value
        if value is not None and (every or differs) and (key := _key(config, family, name, differs)):
            fields[key] = value
    return fields


def _read_sizes(config: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return _sizes(read_config(config))
    except BadInput:
        return {}


def _sizes(architecture: Architecture) -> dict[str, Any]:
    """Headline sizes under the readers' names, as plain numbers."""
    own = {name: int_or_none(value) for name, value in sizes(architecture)._asdict().items()}
    found = bodies(architecture)
    windows = (int_or_none(getattr(body, "window", None)) for body in found)
    own["window"] = next((window for window in windows if window is not None), None)
    own["expert_ffn"] = next((int(body.ffn) for body in found if isinstance(body, Experts)), None)
    return own


def _key(config: Mapping[str, Any], family: str, name: str, needed: bool) -> str:
    """How a config spells a size: as it does already, as its family's rule or class does; else "", unless `needed`."""
    choice = families.rule(family).get(name)
    if choice is not None and not isinstance(choice, Field):
        return ""  # the family computes it
    names = choice.names if isinstance(choice, Field) else SPELLED.get(name, (name,))
    known = (*config, *declared(family))
    return next((key for key in names if key in known), names[0] if needed else "")


def _refusal(config: Mapping[str, Any], architecture: Architecture, family: str, task: str) -> str:
    """Why this family's config cannot say it: the first tensor that would differ, or a property no tensor shows."""
    try:
        read = read_config(config, task=task)
    except BadInput as error:
        return f"{architecture.name} cannot be written as a config.json of {family}: {error}"
    wanted, got = _rows(lower(architecture)), _rows(lower(read))
    for name in (*wanted, *got):
        if wanted.get(name) != got.get(name):
            what = f"{name} would be {_said(got.get(name))} instead of {_said(wanted.get(name))}"
            break
    else:
        what = next(_unequal(read, architecture), "activation, positions, windows or context would differ")
    return f"{architecture.name} cannot be written as a config.json of {family}: {what}"


def _rows(ledger: Ledger) -> dict[str, tuple[Any, ...]]:
    return {row.name: (*row.shape, row.repeat * row.copies) for row in ledger.weights}


def _said(row: tuple[Any, ...] | None) -> str:
    return "absent" if row is None else f"{row[-1]} × {list(row[:-1])}"


def _unequal(read: Architecture, architecture: Architecture) -> Iterator[str]:
    """Properties of the first parts that differ, in words."""
    for name in ("activation", "window", "qk_norm_over"):
        own, other = said_of(architecture, name), said_of(read, name)
        if own != other:
            yield f"{name} would be {other} instead of {own}"
    if not _reaches(read, architecture):
        yield f"context would be {read.context} instead of {architecture.context}"
