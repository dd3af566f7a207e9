"""What runs through the layers of a model while it reads: caught by hooks that are gone afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from deepwide.lab.network import Transformer
from deepwide.lab.network.stack import StackOfBlocks


def reading_stack(model: Transformer) -> StackOfBlocks:
    """The stack that reads the text: the only one, or the encoder of two."""
    return model.stack(model.stack_names[0])


def read(model: Transformer, tokens_BT: Tensor) -> Tensor:
    """One pass of the stack that reads the text over some tokens."""
    return model.encoded(tokens_BT) if len(model.stack_names) > 1 else model(tokens_BT)


@contextmanager
def streams(stack: StackOfBlocks, seen: Callable[[Tensor], object]) -> Iterator[list[Tensor]]:
    """A list that fills with what leaves each layer [B, T, D], in turn; `seen` is told of what enters each, first."""
    left: list[Tensor] = []

    def enters(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        seen(inputs[0])

    def leaves(_: nn.Module, __: tuple[Any, ...], output: Tensor) -> None:
        left.append(output)

    with ExitStack() as hooks:
        for block in dict.fromkeys(stack.blocks):  # one that several layers share is called by each
            hooks.callback(block.register_forward_pre_hook(enters).remove)
            hooks.callback(block.register_forward_hook(leaves).remove)
        yield left


@contextmanager
def at_rest(model: Transformer) -> Iterator[None]:
    """The model as it is when nothing is trained; as it was, afterwards."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
