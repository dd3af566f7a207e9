"""A layer of a stack: residual branches one after the other or side by side, with the norms around them.

Shapes: B batch, T tokens, D hidden.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from deepwide.architecture.attention import Attention as AttentionDescription
from deepwide.architecture.experts import Experts as ExpertsDescription
from deepwide.architecture.ffn import FeedForward as FeedForwardDescription
from deepwide.architecture.model import Branch, Layer
from deepwide.errors import BadInput
from deepwide.lab.network.attention import Attention
from deepwide.lab.network.feed_forward import Experts, FeedForward
from deepwide.lab.network.layers import norm_layer
from deepwide.lab.network.numerics import Numerics
from deepwide.lab.network.reading import Reading


@dataclass(frozen=True, slots=True)
class Step:
    """A branch as a block runs it: which of its modules, and whether the stream is added before the last norm."""

    name: str
    attends: bool
    residual: bool
    after_sum: bool


class Block(nn.Module):
    """One layer. Its modules are called as the ledger calls their rows: attention, attention_norm, ffn, ...

    `slot` is the number of attentions below this layer.
    """

    def __init__(self, layer: Layer, hidden: int, numerics: Numerics, slot: int) -> None:
        super().__init__()
        if layer.extra:
            raise BadInput(f"layers with {type(layer.extra[0]).__name__} cannot be built; they can only be counted")
        self.parallel = layer.parallel
        self.steps: list[Step] = []
        for branch in layer.branches:
            self.steps.append(self._placed(branch, hidden, numerics, slot))
            slot += self.steps[-1].attends

    def _placed(self, branch: Branch, hidden: int, numerics: Numerics, slot: int) -> Step:
        body, name = branch.body, getattr(branch.body, "name", "")
        if branch.extra or branch.owned is not None:
            raise BadInput(f"a branch {name!r} that owns more than its body cannot be built; it can only be counted")
        if isinstance(body, AttentionDescription):
            module: nn.Module = Attention(body, hidden, numerics, slot)
        elif isinstance(body, FeedForwardDescription):
            module = FeedForward(body, hidden)
        elif isinstance(body, ExpertsDescription):
            module = Experts(body, hidden)
        else:
            kind = type(body).__name__
            raise BadInput(f"{kind} cannot be built yet; the lab builds softmax attention, networks and experts")
        self.add_module(name, module)
        for which, norm in (("norm", branch.before), ("norm_after", branch.after)):
            if norm:
                self.add_module(f"{name}_{which}", norm_layer(norm, hidden, numerics.norm_eps))
        attends = isinstance(body, AttentionDescription)
        return Step(name=name, attends=attends, residual=branch.residual, after_sum=branch.after_sum)

    def forward(self, x_BTD: Tensor, reading: Reading) -> Tensor:
        """[B, T, D] to [B, T, D]."""
        return self._beside(x_BTD, reading) if self.parallel else self._in_turn(x_BTD, reading)

    def _in_turn(self, x: Tensor, reading: Reading) -> Tensor:
        for step in self.steps:
            y = self._body(step, self._norm(f"{step.name}_norm", x), reading)
            after = self._norm_after(step)
            stream = x if step.residual else 0.0
            x = after(stream + y) if step.after_sum else stream + after(y)
        return x

    def _beside(self, x: Tensor, reading: Reading) -> Tensor:
        """All branches read the same input; one without a norm of its own shares the norm before it."""
        read = x
        total: Tensor | float = x if all(step.residual for step in self.steps) else 0.0
        for step in self.steps:
            if hasattr(self, f"{step.name}_norm"):
                read = self._norm(f"{step.name}_norm", x)
            total = total + self._norm_after(step)(self._body(step, read, reading))
        assert isinstance(total, Tensor)
        return total

    def _body(self, step: Step, x: Tensor, reading: Reading) -> Tensor:
        module = self._modules[step.name]
        assert module is not None
        y: Tensor = module(x, reading) if step.attends else module(x)
        return y

    def _norm(self, name: str, x: Tensor) -> Tensor:
        norm = self._modules.get(name)
        return x if norm is None else norm(x)

    def _norm_after(self, step: Step) -> Callable[[Tensor], Tensor]:
        return self._modules.get(f"{step.name}_norm_after") or _unchanged


def _unchanged(x: Tensor) -> Tensor:
    return x
