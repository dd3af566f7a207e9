"""The families: what each kind of published model answers to the questions of the generic readers.

A rule is a dictionary. `like` names the family it resembles; the rest is what differs.
To add a family, add a line to the table of the file it belongs to (see CONTRIBUTING.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from deepwide.errors import BadInput, did_you_mean

Rule = Mapping[str, Any]


@cache
def table() -> dict[str, Rule]:
    """Every family's own line, by model type."""
    from deepwide.formats.families import dense, encoders, historic, hybrids, latent, moe, multimodal, sequence

    files = (dense, moe, latent, hybrids, encoders, sequence, multimodal, historic)
    return {name: rule for file in files for name, rule in file.FAMILIES.items()}


@cache
def rule(model_type: str) -> Rule:
    """A family's rule with everything it inherits."""
    known = table()
    if model_type not in known:
        raise BadInput(
            f"model_type={model_type!r} is an unknown family{did_you_mean(model_type, known)}; "
            "apply a known one with --like FAMILY, or build it exactly with --instantiate"
        )
    own = known[model_type]
    return {**rule(own["like"]), **own} if "like" in own else own
