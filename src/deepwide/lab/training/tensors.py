"""The tensors of a model by name, a shared one once, and how kept ones come back."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from deepwide.errors import BadInput

SHOWN = 3  # names in a message


def weights(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and kept buffers, the very ones in use; a tied tensor under its first name alone."""
    first: dict[int, str] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        first.setdefault(id(tensor), name)
    state = model.state_dict(keep_vars=True)
    return {name: state[name].detach() for name in first.values()}


def load_weights(model: nn.Module, kept: Mapping[str, Tensor]) -> None:
    """Fills a model with kept weights: all of them, and no others."""
    take_over(weights(model), kept)


@torch.no_grad()
def take_over(own: Mapping[str, Tensor], kept: Mapping[str, Tensor]) -> None:
    """Fills tensors with kept ones: all of them, and no others."""
    check_tensors(own, kept, "weights")
    for name, tensor in own.items():
        tensor.copy_(kept[name])


def check_tensors(expected: Mapping[str, Tensor], given: Mapping[str, Tensor], what: str) -> None:
    """Refuses tensors that are not those expected, by name and shape."""
    missing, strange = expected.keys() - given.keys(), given.keys() - expected.keys()
    if missing or strange:
        found = f"lack {_some(missing)}" if missing else f"have {_some(strange)} besides"
        raise BadInput(f"{what} of the checkpoint {found}: it is of another model or recipe; resume with its own")
    for name, tensor in expected.items():
        if tensor.shape != given[name].shape:
            raise BadInput(
                f"{what} of the checkpoint have {name} {list(given[name].shape)}, the model {list(tensor.shape)}: "
                "it is of another model; resume with its own"
            )


def _some(names: set[str]) -> str:
    shown = ", ".join(sorted(names)[:SHOWN])
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown
