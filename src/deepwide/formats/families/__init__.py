"""The families: what each kind of published model answers to the questions of the generic readers.

A rule is a dictionary. `like` names the family it resembles; the rest is what differs.
To add a family, add a line to the table of the file it belongs to (see CONTRIBUTING.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Any

from deepwide.errors import BadInput, did_you_mean

Rule = Mapping[str, Any]
# The files, the commonest families first: they are opened one after the other until the model type is found.
FILES = (
    "decoders.dense",
    "decoders.moe",
    "decoders.classic",
    "decoders.dense_variants",
    "decoders.gemma",
    "decoders.latent",
    "decoders.moe_variants",
    "decoders.hyper_connections",
    "recurrent.hybrids",
    "recurrent.linear_hybrids",
    "recurrent.zamba",
    "recurrent.attention_free",
    "recurrent.inkling",
    "encoders.bert",
    "encoders.relative",
    "encoders.compact",
    "encoders.long",
    "encoders.extra_inputs",
    "sequence.bart",
    "sequence.t5",
    "multimodal.vision_language",
    "multimodal.vision_language_variants",
    "multimodal.audio_language",
    "multimodal.vision_towers",
    "multimodal.vision_tower_variants",
    "multimodal.audio_towers",
    "multimodal.conformers",
    "multimodal.convolutional_towers",
    "multimodal.composed",
    "multimodal.byte_models",
    "multimodal.transcribers",
    "decoders.published",
    "decoders.historic",
)


def tables() -> Iterator[Mapping[str, Rule]]:
    """The table of each file, imported as it is reached."""
    for name in FILES:
        yield import_module(f"{__name__}.{name}").FAMILIES


@cache
def rule(model_type: str) -> Rule:
    """A family's rule with everything it inherits."""
    own = next((table[model_type] for table in tables() if model_type in table), None)
    if own is None:
        raise unknown(model_type)
    return {**rule(own["like"]), **own} if "like" in own else own


def of_class(name: str) -> str:
    """The model type that a class is named after (`BertForMaskedLM` is bert), or nothing."""
    words = name.partition("For")[0].removesuffix("Model").removesuffix("LMHead").lower()
    known = (kind for table in tables() for kind in table)
    return next((kind for kind in known if words and kind.replace("_", "").replace("-", "").lower() == words), "")


def unknown(model_type: str) -> BadInput:
    """The error for a model type that no file knows: it names the nearest, and the two ways out."""
    from deepwide.formats.weights.tensors import shown

    known = [name for table in tables() for name in table]
    return BadInput(
        f"model_type={shown(model_type)!r} is an unknown family{did_you_mean(model_type, known)}; "
        "apply a known one with --like FAMILY, or build it exactly with --instantiate"
    )
