"""The language model inside a config that wraps it: what the `...ForCausalLM` class of such a family builds."""

from __future__ import annotations

from collections.abc import Callable

from deepwide.architecture.model import Architecture
from deepwide.errors import BadInput
from deepwide.formats.fields import Fields
from deepwide.formats.readers.decoder import decoder


def text_model(model_type: str, part: str = "text_config") -> Callable[[Fields], Architecture]:
    """A reader for the language model alone, described under `part` by the rule of `model_type`."""

    def reader(c: Fields) -> Architecture:
        from deepwide.formats.families import rule  # the table of families is built from files that import this one

        found = rule(model_type)
        model: Architecture = found["reader"](c.inside(part, found))
        return model

    return reader


def language_part(model_type: str, part: str = "") -> Callable[[Fields], Architecture]:
    """A reader for the language model of a family that also speaks or draws, and a refusal of the whole."""
    inside = text_model(model_type, part) if part else decoder

    def reader(c: Fields) -> Architecture:
        named = c.text("architecture")
        if named.endswith("ForConditionalGeneration"):
            alone = named.replace("ForConditionalGeneration", "ForCausalLM")
            raise BadInput(f"{c.where}: {named} has codecs that are not described; ask for {alone}, its language model")
        return inside(c)

    return reader
