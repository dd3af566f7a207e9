"""The rows of the ledger: which weights exist, which operations run on them, what is cached.

Every size is a plain number or an array of numbers, so a row describes one model or ten million. Rows are named tuples
rather than dataclasses: a count makes thirty of them, and a frozen dataclass takes five times as long to make.
"""

from __future__ import annotations

from math import prod
from typing import Literal, NamedTuple

from deepwide.units import Num

Part = Literal["embedding", "position", "attention", "ffn", "router", "norm", "head", "recurrent", "other"]
Split = Literal["column", "row", "vocabulary", "expert", "replicated"]
Kind = Literal["matmul", "attention", "scan", "conv", "norm", "activation", "gather"]


class Weight(NamedTuple):
    """One tensor of the model, or one tensor per layer and expert.

    name, role        where it stands, in words ("decoder.attention.query"), and the last of them
    part              what its parameters are summed under
    shape             inputs first, then outputs
    repeat            layers that own such a tensor
    copies, active    tensors of this shape in each of them (experts), and how many of them a token meets
    split             how tensor parallelism cuts it
    tied              the row whose tensor it shares, "" for its own
    """

    name: str
    part: Part
    role: str
    shape: tuple[Num, ...]
    repeat: Num = 1
    copies: Num = 1
    active: Num = 1
    split: Split = "replicated"
    tied: str = ""

    @property
    def size(self) -> Num:
        """Elements of one tensor."""
        return prod(self.shape)

    @property
    def layer_parameters(self) -> Num:
        """Parameters of all its copies in one layer; a tied tensor was counted where it is owned."""
        return 0 if self.tied else prod(self.shape) * self.copies

    @property
    def layer_active_parameters(self) -> Num:
        """Parameters of one layer that one token uses."""
        return 0 if self.tied else prod(self.shape) * self.active

    @property
    def parameters(self) -> Num:
        """Parameters of all its layers and copies."""
        return self.layer_parameters * self.repeat

    @property
    def active_parameters(self) -> Num:
        """Parameters that one token uses, in all its layers."""
        return self.layer_active_parameters * self.repeat


class Latent(NamedTuple):
    """Widths of scores that are taken on a cached latent itself (absorbed MLA): k for queries, n for values.

    `expanded` is the multiply-adds of expanding one cached latent to keys and values instead.
    """

    k: Num
    n: Num
    expanded: Num


class Scores(NamedTuple):
    """Which keys a row is scored on: the tokens of stream `keys`, or `key_rows` where their number is fixed.

    `causal` keeps to earlier ones, `window` to the last so many; `heads` score apart, so tensor parallelism can part
    them; `latent` says how a cached latent is scored without expanding it.
    """

    keys: str
    key_rows: Num | None = None
    window: Num | None = None
    causal: bool = False
    heads: Num = 1
    latent: Latent | None = None


class Chunks(NamedTuple):
    """How a recurrence takes many tokens at once: `tokens` of them at a time, by matrix products.

    Beside the scan's own work per token this costs `pairs` multiply-adds for each pair of tokens of a chunk, and
    `carried` for each pair of chunks where states are handed on by a product over all chunks.
    """

    tokens: Num
    pairs: Num
    carried: Num = 0


class Taps(NamedTuple):
    """A convolution's `groups` of channels, and how many outputs per sequence it computes more than it keeps.

    A causal one that is padded on both sides has a `padding` of its kernel less one.
    """

    groups: Num = 1
    padding: Num = 0


class Op(NamedTuple):
    """One operation of a forward pass, `repeat` times over the layers. What k and n mean follows its `kind`:

    matmul            [rows, k] x [k, n], once for each of the `active` experts
    attention         scores over k = heads * query width, and values over n = heads * value width, for each pair of
                      a row and a key
    scan, conv        k * n multiply-adds per row
    norm, activation, gather   n elements per row

    name, part        the row's own name, and what it belongs to; weight is the name of the tensor it reads
    stream            whose tokens the rows are; "" where they are those of a table, so that the work is done once per
                      pass, whatever the batch
    rows              their number, where it is fixed for each sequence
    how               what the numbers cannot say: which keys are scored, how a scan is cut, how channels are grouped
    """

    kind: Kind
    name: str
    part: Part
    k: Num
    n: Num
    repeat: Num = 1
    active: Num = 1
    stream: str = "decoder"
    rows: Num | None = None
    weight: str = ""
    how: Scores | Chunks | Taps | None = None


def is_rms(op: Op) -> bool:
    """Whether an operation is a norm by the root mean square, which moves its elements once and has no bias."""
    return op.kind == "norm" and isinstance(op.k, int) and op.k == 1


class Cache(NamedTuple):
    """What a layer remembers while generating: `elements` per token within `window`, or per sequence if `fixed`.

    `name` says where it stands, `repeat` in how many layers, `stream` whose tokens it keeps. Tensor parallelism can
    spread it over `heads` devices; with one head every device keeps it whole.
    """

    name: str
    elements: Num
    repeat: Num = 1
    heads: Num = 1
    window: Num | None = None
    fixed: bool = False
    stream: str = "decoder"
