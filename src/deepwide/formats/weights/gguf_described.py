"""What a GGUF file says of its model: sizes under short keys, and in which layers a tensor occurs.

Sizes stand in the metadata under keys that begin with llama.cpp's word for the family, `general.architecture`
(https://github.com/ggml-org/ggml/blob/master/docs/gguf.md). Whether a part exists at all, only the tensors say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deepwide.errors import BadInput
from deepwide.formats.weights.tensors import Container, shown

BY_LAYER = ("feed_forward_length", "attention.head_count", "attention.head_count_kv", "attention.key_length")
_BLOCK = re.compile(r"(?:(?:enc|dec)\.)?blk\.(\d{1,6})\.(.+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """The metadata and the names of the tensors, ready to be asked. Called with a short key, it gives a size."""

    architecture: str
    metadata: Mapping[str, object]
    shapes: Mapping[str, tuple[int, ...]]
    layers: Mapping[str, frozenset[int]]

    def __call__(self, key: str, otherwise: Any = None) -> Any:
        """A whole number, or one for each layer where they may differ; `otherwise` where the file does not give it."""
        name = f"{self.architecture}.{key}"
        value = self.metadata.get(name)
        if value is None:
            return otherwise
        values = _whole(name, value)
        if len(values) > 1 and key not in BY_LAYER:
            raise BadInput(f"{name}={shown(value)} must be the same for every layer; give the config.json")
        return values if len(values) > 1 else values[0]

    def __contains__(self, tensor: str) -> bool:
        """Whether a tensor of that name exists, as a whole name or in some layer."""
        return tensor in self.layers or tensor in self.shapes

    def holders(self, tensor: str) -> frozenset[int]:
        """The layers that have a tensor of that name."""
        return self.layers.get(tensor, frozenset())

    def rows(self, tensor: str) -> int:
        """The first dimension of a tensor, in the first layer that has one of that name; 0 where there is none."""
        first = min(self.holders(tensor), default=0)
        shape = self.shapes.get(tensor) or self.shapes.get(f"blk.{first}.{tensor}") or (0,)
        return shape[0]


def described(container: Container) -> Described:
    """The contents of a container. A tensor of queries, keys and values together answers to the queries' name."""
    word = container.metadata.get("general.architecture")
    if not isinstance(word, str) or not word:
        raise BadInput(f"general.architecture={shown(word)} must name the model's family; give its config.json")
    layers: dict[str, set[int]] = {}
    for tensor in container.tensors:
        if found := _BLOCK.fullmatch(tensor.name):
            layers.setdefault(found[2].replace("attn_qkv.", "attn_q."), set()).add(int(found[1]))
    return Described(
        architecture=word,
        metadata=container.metadata,
        shapes={tensor.name: tensor.shape for tensor in container.tensors},
        layers={name: frozenset(found) for name, found in layers.items()},
    )


def _whole(name: str, value: object) -> tuple[int, ...]:
    """Whole numbers of at least 0, one if all are equal; a 0 among others only says that a layer has none."""
    values = value if isinstance(value, tuple) else (value,)
    whole = tuple(v for v in values if type(v) is int and v >= 0)
    if not whole or len(whole) != len(values):
        raise BadInput(f"{name}={shown(value)} must be a whole number, or one for each layer; give the config.json")
    distinct = set(whole) - {0} or {0}
    return whole if len(distinct) > 1 else tuple(distinct)
