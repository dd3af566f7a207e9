"""One stack of layers over one stream of tokens: the encoder, or the decoder.

Shapes: B batch, T tokens read now, D hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import torch
from torch import Tensor, nn

from deepwide.architecture.model import Stack
from deepwide.architecture.parts import NormLayer
from deepwide.errors import BadInput
from deepwide.lab.network.attention import Attention
from deepwide.lab.network.block import Block
from deepwide.lab.network.inputs import Inputs
from deepwide.lab.network.layers import Table, norm_layer
from deepwide.lab.network.numerics import Numerics
from deepwide.lab.network.positions import alibi_bias, relative_buckets, rotation
from deepwide.lab.network.reading import Reading

IN_SCORES = ("rotary", "alibi", "relative")  # positions that are worked out once for all layers
MOST_PIECES = 1000  # that one process may compile: as many kinds of layers, of all the models that it trains


class StackOfBlocks(nn.Module):
    """What stands before the first layer (`inputs`), the `blocks`, and the norms after the last.

    positions         the kind of positions its attention works with
    run_names         for each block the name of its run in the ledger
    """

    def __init__(self, stack: Stack, positions: str, numerics: Numerics) -> None:
        super().__init__()
        if stack.tokens is not None:
            raise BadInput(f"the stack {stack.name!r} reads no text and cannot be built; it can only be counted")
        self.causal, self.numerics = stack.causal, numerics
        self.inputs = Inputs(stack.before, stack.hidden, numerics)
        self.positions = self.inputs.positions_kind or positions
        placed = list(_blocks(stack, numerics))
        self.blocks = nn.ModuleList([block for _, block in placed])
        self.run_names = [name for name, _ in placed]
        own = [a for a in self.modules() if isinstance(a, Attention) and not a.across]
        self.windows, self.heads = {a.window for a in own}, {(a.heads, a.head_dim) for a in own}
        if len(self.heads) > 1 and self.positions in IN_SCORES:
            raise BadInput(f"{self.positions} positions of layers whose heads differ cannot be built")
        self.after: list[str] = []
        for part in stack.after:
            if not isinstance(part, NormLayer):
                raise BadInput(f"a stack that ends with {part!r} cannot be built; it can only be counted")
            self.after.append(part.name)
            width = stack.hidden if part.width is None else part.width
            self.add_module(part.name, norm_layer(part.norm, width, numerics.norm_eps))

    @property
    def branches(self) -> int:
        """Residual branches of all its layers."""
        return sum(len(block.steps) for block in self.blocks if isinstance(block, Block))

    def forward(self, x_BTD: Tensor, reading: Reading) -> Tensor:
        """[B, T, D] to [B, T, D]."""
        run = runner(reading)
        for block in self.blocks:
            x_BTD = run(block, x_BTD, reading)
        for name in self.after:
            x_BTD = self.get_submodule(name)(x_BTD)
        return x_BTD

    def place(self, reading: Reading, table: Table | None) -> None:
        """Adds to the reading what all layers share: angles or something added to the scores, and what is hidden."""
        for heads, head_dim in self.heads if self.positions in IN_SCORES else ():
            self._position(reading, table, heads, head_dim)
        reading.masks = {window: reading.mask(window) for window in self.windows}

    def _position(self, reading: Reading, table: Table | None, heads: int, head_dim: int) -> None:
        if self.positions == "rotary":
            cosine, sine = rotation(reading.keys, head_dim, self.numerics, reading.dtype)
            now = reading.queries.shape[1]
            reading.key_rotation, reading.rotation = (cosine, sine), (cosine[:, :, -now:], sine[:, :, -now:])
        elif self.positions == "alibi":
            reading.added = alibi_bias(reading.queries, reading.keys, heads)
        elif table is not None:
            farthest, buckets = self.numerics.farthest, table.weight.shape[0]
            of_TS = relative_buckets(reading.queries[0], reading.keys[0], buckets, farthest, self.causal)
            reading.added = table(of_TS, reading.dtype).permute(2, 0, 1)[None]


def runner(reading: Reading) -> Callable[[nn.Module, Tensor, Reading], Tensor]:
    """How layers are run: compiled where the reading says so and gradients are wanted."""
    return _compiled() if reading.compiled and torch.is_grad_enabled() else _run


def _run(block: nn.Module, x_BTD: Tensor, reading: Reading) -> Tensor:
    y_BTD: Tensor = block(x_BTD, reading)
    return y_BTD


@cache
def _compiled() -> Callable[[nn.Module, Tensor, Reading], Tensor]:
    """A layer's pass as one compiled piece, which all layers alike share: 32 of them take no longer than 1."""
    from torch._dynamo import config as tracing
    from torch._inductor import config as code

    tracing.recompile_limit = MOST_PIECES
    code.cpp_wrapper = True  # it then gives up Python's lock while it computes, which lanes need
    return torch.compile(_run, dynamic=False)


def _blocks(stack: Stack, numerics: Numerics) -> Iterator[tuple[str, Block]]:
    """The layers in the order in which they run, each with its run's name; a shared one stands in several places."""
    order = stack.order or tuple(i for i, run in enumerate(stack.runs) for _ in range(int(run.layers)))
    owned: list[list[Block]] = [[] for _ in stack.runs]
    used, slot = [0] * len(stack.runs), 0
    for i in order:
        run = stack.runs[i]
        if run.shared and stack.causal:
            raise BadInput("a decoder whose layers share weights cannot be built; it can only be counted")
        place = used[i] * int(run.owned) // int(run.layers) if run.shared else used[i]
        if place == len(owned[i]):
            owned[i].append(Block(run.layer, int(stack.hidden), numerics, slot))
            slot += sum(step.attends for step in owned[i][-1].steps)
        used[i] += 1
        yield run.name, owned[i][place]
