"""Reading a Hugging Face config: the family's rule turns its fields into an Architecture.

Neither torch nor transformers is needed. What a config leaves out is answered by the family's own defaults
(`defaults.json`, the configuration classes' declared values), because a published config.json omits them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deepwide.architecture.model import Architecture
from deepwide.errors import BadInput
from deepwide.formats import families
from deepwide.formats.defaults import declared
from deepwide.formats.fields import Fields


def read_config(
    config: Mapping[str, Any],
    *,
    architecture: str = "",
    task: str = "",
    like: str = "",
    changes: Mapping[str, Any] | None = None,
    where: str = "config",
) -> Architecture:
    """The architecture that a config describes.

    `architecture` is the class to build where the config names several (`BertForMaskedLM`), `task` the kind of head
    (causal, masked, seq2seq), `like` the family to apply instead of the config's own, `changes` values under the
    project's own names that win over the config's.
    """
    if not isinstance(config, Mapping):
        raise BadInput(f"{where}: expected a table of fields, not {type(config).__name__}")
    named = config.get("architectures")
    named = named[0] if isinstance(named, list) and named and isinstance(named[0], str) else ""
    notes: list[str] = []
    model_type = like or config.get("model_type")
    if model_type is None:
        model_type = "mamba_ssm" if "ssm_cfg" in config else families.of_class(named)
        notes.append(f"model_type is missing; read as {model_type}")
    if not isinstance(model_type, str) or not model_type:
        raise BadInput(f"{where}: model_type is missing; name a family with --like FAMILY")
    rule = families.rule(model_type)
    asked = {"architecture": architecture or named, "task": task, "model_type": model_type}
    fields = Fields(
        config=config,
        rule=rule,
        defaults=declared(model_type) or declared(rule.get("like", "")),
        changes={**asked, **(changes or {})},
        where=where,
        notes=notes,
    )
    fields.refuse_unread()
    model: Architecture = rule["reader"](fields)
    return model
