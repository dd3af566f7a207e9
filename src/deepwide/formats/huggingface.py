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
from deepwide.formats.shorthand import ABLATIONS


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
    rule, changes = families.rule(model_type), spread(changes or {})
    asked = {"architecture": architecture or named, "task": task, "model_type": model_type}
    fields = Fields(
        config=config,
        rule=rule,
        defaults=declared(model_type) or declared(rule.get("like", "")),
        changes={**asked, **changes},
        where=where,
        notes=notes,
    )
    fields.refuse_unread()
    model: Architecture = rule["reader"](fields)
    left_out = [name for name in ABLATIONS if changes.get(name)]
    if not left_out:
        return model
    from deepwide.architecture.ablations import ablated

    return ablated(model, left_out)


def spread(changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """The user's changes, `biased` spread over the questions that it answers: all matrices of layers have one, or none.

    >>> spread({"layers": 2, "biased": False})
    {'layers': 2, 'attention_bias': '', 'ffn_bias': False, 'expert_bias': False}
    """
    if "biased" not in changes:
        return changes
    biased = changes["biased"]
    rest = {name: value for name, value in changes.items() if name != "biased"}
    return {**rest, "attention_bias": "qkvo" if biased else "", "ffn_bias": biased, "expert_bias": biased}
