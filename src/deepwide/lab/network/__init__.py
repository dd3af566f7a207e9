"""A Transformer built from an Architecture: the very model that is counted, equal to its ledger tensor by tensor."""

from __future__ import annotations

import torch

from deepwide.architecture.model import Architecture
from deepwide.errors import BadInput
from deepwide.lab.network.equality import differences
from deepwide.lab.network.initial import initialise
from deepwide.lab.network.numerics import Numerics
from deepwide.lab.network.transformer import Transformer

__all__ = ["Numerics", "Transformer", "build"]


def build(
    architecture: Architecture, *, seed: int = 0, numerics: Numerics | None = None, device: str | torch.device = "cpu"
) -> Transformer:
    """The model that `architecture` describes, in fp32, with fresh weights; on device "meta" without any.

    A part that the lab cannot compute is refused, and so is a model that would differ from its ledger.
    """
    with torch.device("meta"):
        model = Transformer(architecture, numerics or Numerics())
    wrong = differences(model)
    if wrong:
        raise BadInput(f"{architecture.name} cannot be built as it is counted: {wrong[0]}")
    if torch.device(device).type == "meta":
        return model
    model.to_empty(device=device)
    model.tie()
    initialise(model, seed)
    return model
