"""What a model is: stacks of layers, each layer a list of residual branches.

A branch is a part (attention, feed-forward network, state-space block ...) with the norms around it, so pre-norm,
post-norm, sandwich and parallel blocks are all spelled the same way. A run is a number of equal layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from deepwide.architecture.attention import Attention, LatentAttention
from deepwide.architecture.ffn import Experts, FeedForward
from deepwide.architecture.parts import (
    Convolution,
    Head,
    Linear,
    Norm,
    NormLayer,
    Positions,
    Table,
    TokenEmbedding,
    Vector,
)
from deepwide.architecture.recurrent import Mamba, Mamba2
from deepwide.units import Num

Small: TypeAlias = NormLayer | TokenEmbedding | Positions | Table | Linear | Vector | Convolution | Head
Mixer: TypeAlias = Attention | LatentAttention | Mamba | Mamba2
Body: TypeAlias = Mixer | FeedForward | Experts | Small


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """One residual branch: x + after(body(before(x))), or after(x + body(x)) when `after_sum` (post-norm)."""

    body: Body
    before: Norm | None = None
    after: Norm | None = None
    after_sum: bool = False
    extra: tuple[Small, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """Residual branches one after the other, or side by side when `parallel`. `extra` is what else a layer owns."""

    branches: tuple[Branch, ...]
    parallel: bool = False
    extra: tuple[Small, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """`layers` equal layers. When `shared` (ALBERT) they are the same weights run again and again."""

    layer: Layer
    layers: Num
    name: str = ""
    shared: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A pile of layers over one stream of tokens, with what comes before the first and after the last.

    `order` gives, for each layer, the index of its run where runs are interleaved; empty means one after the other.
    `tokens` is set where their number does not follow the text: the patches of an image.
    """

    name: str
    hidden: Num
    runs: tuple[Run, ...]
    before: tuple[Small, ...] = ()
    after: tuple[Small, ...] = ()
    causal: bool = True
    order: tuple[int, ...] = ()
    tokens: Num | None = None

    @property
    def layers(self) -> Num:
        """Layers that run, over all runs."""
        return sum(run.layers for run in self.runs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A model: its stacks, what joins them, and its output head.

    `notes` says in words what was assumed while reading, and is shown with every answer.
    """

    name: str
    family: str
    vocab: Num
    stacks: tuple[Stack, ...]
    head: tuple[Small, ...] = ()
    embedding: tuple[Small, ...] = ()
    context: Num | None = None
    notes: tuple[str, ...] = ()

    @property
    def main(self) -> Stack:
        """The stack that writes the output: the decoder where there is one."""
        return self.stacks[-1]
