"""What a model is: stacks of layers, each layer a list of residual branches.

A branch is a part (attention, feed-forward network, state-space block ...) with the norms around it, so pre-norm,
post-norm, sandwich and parallel blocks are all spelled the same way. A run is a number of equal layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from deepwide.units import Num

if TYPE_CHECKING:
    from deepwide.architecture.attention import Attention
    from deepwide.architecture.composite import Assembly, Beside
    from deepwide.architecture.experts import Experts
    from deepwide.architecture.extras import Convolution, Linear, Operation, Table, Vector
    from deepwide.architecture.ffn import FeedForward
    from deepwide.architecture.latent import LatentAttention
    from deepwide.architecture.linear import DeltaNet, LightningAttention, MatrixLSTM
    from deepwide.architecture.parts import Head, Norm, NormLayer, Positions, TokenEmbedding
    from deepwide.architecture.recurrent import GatedRecurrence, Mamba, Mamba2, ShortConvolution, TimeMix
    from deepwide.architecture.sparse import CompressedAttention, ConvolvedAttention, ExpertAttention, Indexer

# Aliases in quotes, so that a count imports the parts that its model has and no others.
Small: TypeAlias = (
    "NormLayer | TokenEmbedding | Positions | Table | Linear | Vector | Convolution | Head | Indexer | Operation"
)
Recurrent: TypeAlias = (
    "Mamba | Mamba2 | GatedRecurrence | TimeMix | ShortConvolution | DeltaNet | LightningAttention | MatrixLSTM"
)
Mixer: TypeAlias = (
    "Attention | LatentAttention | ExpertAttention | CompressedAttention | ConvolvedAttention | Recurrent"
)
Body: TypeAlias = "Mixer | FeedForward | Experts | Small | Assembly | Beside"


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """One residual branch: x + after(body(before(x))), or after(x + body(x)) when `after_sum` (post-norm).

    Where it is not `residual`, what it makes takes the place of x: after(body(before(x))).
    `body` does the work between the norms `before` and `after`, where it has them; `extra` is what it owns besides.
    `owned` is set where its layers share weights that exist so many times only (Zamba's transformer block).
    """

    body: Body
    before: Norm | None = None
    after: Norm | None = None
    after_sum: bool = False
    residual: bool = True
    extra: tuple[Small, ...] = ()
    owned: Num | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """Residual `branches` one after the other, or side by side when `parallel`. `extra` is what else a layer owns."""

    branches: tuple[Branch, ...]
    parallel: bool = False
    extra: tuple[Small, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """`layers` times the same `layer`. When `shared` (ALBERT) the weights of one, or of `owned`, run again and again.

    `name` tells it from the other runs of its stack, in the ledger; "" where there is one.
    """

    layer: Layer
    layers: Num
    name: str = ""
    shared: bool = False
    owned: Num = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A pile of layers over one stream of tokens.

    name              the word for its rows in the ledger, and for its stream of tokens
    hidden            width of the residual stream
    runs              its layers, equal ones together; order gives for each layer the index of its run where runs are
                      interleaved, and is empty where they follow one after the other
    before, after     what comes before the first layer and after the last
    causal            a token sees only itself and earlier ones
    tokens            how many, where their number does not follow the text: the patches of an image
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

    name, family      what it is called, and the kind of model whose rules it was read by
    vocab             tokens it knows
    stacks            from bottom to top; the last one writes the output
    embedding, head   what makes vectors of tokens, and tokens of vectors
    context           tokens it was made to read at most; None where nothing says so
    notes             in words, what was assumed while reading: shown with every answer
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

    @property
    def lone_decoder(self) -> bool:
        """Whether it is a decoder of text and nothing else."""
        return len(self.stacks) == 1 and self.main.causal
