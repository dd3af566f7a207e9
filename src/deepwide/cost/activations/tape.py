"""What autograd keeps: a tape that runs a model on shapes alone and writes down what is saved for the backward pass.

Every operation of an unfused PyTorch run keeps what its derivative needs: a matrix product its inputs, a softmax its
output, a dropout its mask, a sum nothing. A tensor kept twice counts once, and a view keeps the whole tensor it
looks into: so the bytes are those of the distinct storages, as `torch.autograd.graph.saved_tensors_hooks` sees them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from deepwide.units import Num

FLOAT32_BYTES = 4
INDEX_BYTES = 8  # PyTorch's indices are int64

# How many tensors as large as its input an activation keeps, as transformers spells it (transformers/activations.py):
# one where it is a single kernel. Those of OF_OUTPUT keep their output, which the next matrix keeps anyway.
KEPT_BY_ACTIVATION = {
    "gelu_new": 4,  # x, x / 2, tanh(...), 1 + tanh(...)
    "gelu_accurate": 4,
    "gelu_python_tanh": 4,
    "gelu_python": 3,
    "gelu_fast": 7,
    "quick_gelu": 2,
    "linear": 0,
}
OF_OUTPUT = frozenset({"relu", "tanh", "sigmoid", "relu2"})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tensor:
    """A tensor [rows, width]; `inside` is the larger one that it is a view of. Two tensors are the same by identity.

    `once` marks one that all layers share, such as the angles of rotary positions.
    """

    rows: Num
    width: Num
    element_bytes: int
    inside: Tensor | None = None
    once: bool = False

    @property
    def size_bytes(self) -> Num:
        """Bytes of the storage."""
        return self.rows * self.width * self.element_bytes


@dataclass(slots=True, kw_only=True)
class Tape:
    """The tensors kept so far. What is kept while `layers` is set counts for so many equal layers."""

    element_bytes: int
    layers: Num = 1
    kept_bytes: Num = 0
    kept: dict[int, Tensor] = field(default_factory=dict)

    def keep(self, *tensors: Tensor) -> None:
        """Write down tensors, each storage once."""
        for tensor in tensors:
            whole = tensor.inside or tensor
            if id(whole) not in self.kept:
                self.kept[id(whole)] = whole
                self.kept_bytes = self.kept_bytes + whole.size_bytes * (1 if whole.once else self.layers)

    def tensor(self, rows: Num, width: Num, element_bytes: int | None = None, *, once: bool = False) -> Tensor:
        """A new tensor, of the model's precision unless another is given."""
        size = self.element_bytes if element_bytes is None else element_bytes
        return Tensor(rows=rows, width=width, element_bytes=size, once=once)

    def indices(self, rows: Num, width: Num = 1) -> Tensor:
        """A new tensor of indices."""
        return self.tensor(rows, width, INDEX_BYTES)


def like(x: Tensor, width: Num | None = None) -> Tensor:
    """A new tensor of the same rows and precision."""
    return Tensor(rows=x.rows, width=x.width if width is None else width, element_bytes=x.element_bytes)


def view(of: Tensor, width: Num) -> Tensor:
    """A part of a tensor's columns, without a copy."""
    return Tensor(rows=of.rows, width=width, element_bytes=of.element_bytes, inside=of.inside or of)


def reshaped(x: Tensor, rows: Num, width: Num) -> Tensor:
    """The same storage under another shape."""
    return Tensor(rows=rows, width=width, element_bytes=x.element_bytes, inside=x.inside or x)


def cast(x: Tensor, element_bytes: int) -> Tensor:
    """The same numbers in another precision; no copy where it is the same."""
    return x if x.element_bytes == element_bytes else Tensor(rows=x.rows, width=x.width, element_bytes=element_bytes)


def linear(t: Tape, x: Tensor, outputs: Num) -> Tensor:
    """x W + b keeps x."""
    t.keep(x)
    return like(x, outputs)


def multiplied(t: Tape, a: Tensor, b: Tensor) -> Tensor:
    """a * b keeps both; the result has the first one's shape and the finer precision."""
    t.keep(a, b)
    return cast(like(a), max(a.element_bytes, b.element_bytes))


def gathered(t: Tape, x: Tensor, rows: Num) -> Tensor:
    """x[indices] keeps the indices."""
    t.keep(t.indices(rows))
    return t.tensor(rows, x.width, x.element_bytes)


def dropped(t: Tape, x: Tensor, on: bool) -> Tensor:
    """x * mask keeps the mask, which is as large as x (PyTorch on a CPU; a GPU kernel keeps a byte per element)."""
    if not on:
        return x
    t.keep(like(x))
    return like(x)


def softmax(t: Tape, x: Tensor, element_bytes: int) -> Tensor:
    """Softmax in a given precision keeps its output in it; the result comes back in the input's."""
    y = Tensor(rows=x.rows, width=x.width, element_bytes=element_bytes)
    t.keep(y)
    return cast(y, x.element_bytes)


def activated(t: Tape, x: Tensor, activation: str) -> Tensor:
    """An activation keeps its input, its output, or every step that it is spelled in."""
    y = like(x)
    if activation in OF_OUTPUT:
        t.keep(y)
        return like(y) if activation == "relu2" else y
    kept = KEPT_BY_ACTIVATION.get(activation, 1)
    if kept:
        t.keep(x, *(like(x) for _ in range(kept - 1)))
    return y


def layer_norm(t: Tape, x: Tensor, style: str = "kernel") -> Tensor:
    """One kernel keeps its input, and the mean and the deviation of each row.

    kernel    in x's precision; `float32` on a copy in that
    cohere    spelled out in float32: x - mean twice, the root, the normed x, and the gain where it is a copy
    """
    if style != "cohere":
        y = cast(x, FLOAT32_BYTES) if style == "float32" else x
        t.keep(y, like(y, 1), like(y, 1))
        return like(x)
    wide = cast(like(x), FLOAT32_BYTES)
    t.keep(wide, like(wide), like(wide, 1), like(wide))
    if x.element_bytes != FLOAT32_BYTES:
        t.keep(t.tensor(1, x.width, FLOAT32_BYTES))
    return cast(like(wide), x.element_bytes)


def rms_norm(t: Tape, x: Tensor, style: str = "llama") -> Tensor:
    """Spelled out in float32 by transformers: x * rsqrt(mean(x^2)), and then the gain.

    llama   a float32 copy is multiplied, brought back to x's precision, and scaled
    t5      the same, but x itself is multiplied, so that both x and its copy are kept
    late    scaled in float32, and then brought back
    gemma   the same, by 1 + w
    """
    wide = cast(x, FLOAT32_BYTES)
    t.keep(wide, x if style == "t5" else wide, like(wide, 1))
    normed = like(wide)
    if style in ("late", "gemma"):
        t.keep(normed, *([t.tensor(1, x.width, FLOAT32_BYTES)] if style == "gemma" else []))
        return cast(like(normed), x.element_bytes)
    narrow = cast(normed, x.element_bytes)
    t.keep(narrow)
    return like(narrow)


def cross_entropy(t: Tape, logits: Tensor, element_bytes: int) -> None:
    """Keeps the log-probabilities, in a given precision, and the sum of the weights of the labels."""
    t.keep(Tensor(rows=logits.rows, width=logits.width, element_bytes=element_bytes))
    t.keep(t.tensor(1, 1, element_bytes))
