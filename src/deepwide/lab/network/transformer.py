"""The model: embedding, stacks, head, as an Architecture describes them.

Shapes: B batch, T tokens read now, S tokens that can be seen (or of the source), D hidden, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deepwide.architecture.experts import Experts
from deepwide.architecture.ffn import FeedForward
from deepwide.architecture.model import Architecture, Stack
from deepwide.architecture.parts import Head as HeadDescription
from deepwide.errors import BadInput
from deepwide.lab.network.attend import KERNELS, Attend
from deepwide.lab.network.attention import Attention
from deepwide.lab.network.cache import Cache
from deepwide.lab.network.head import Head
from deepwide.lab.network.inputs import Inputs, PositionTable
from deepwide.lab.network.layers import activation
from deepwide.lab.network.numerics import Numerics
from deepwide.lab.network.reading import Reading
from deepwide.lab.network.stack import StackOfBlocks


class Transformer(nn.Module):
    """An encoder, a decoder, or both. Its stacks are its attributes `encoder` and `decoder`.

    compute_dtype     of the activations; weights stay as they are
    attend            the attention kernel
    compiled          whether its layers are compiled where gradients are wanted
    longest           how many tokens it has positions for; None where any number will do
    """

    def __init__(self, architecture: Architecture, numerics: Numerics) -> None:
        super().__init__()
        self.architecture, self.numerics = architecture, numerics
        self.compute_dtype: torch.dtype = torch.float32
        self.attend: Attend = KERNELS["sdpa"]
        self.compiled = False
        main = architecture.main
        self.embedding = Inputs(architecture.embedding, main.hidden, numerics)
        self.stack_names = [stack.name for stack in architecture.stacks]
        if self.stack_names not in (["decoder"], ["encoder"], ["encoder", "decoder"]):
            raise BadInput(
                f"stacks {', '.join(self.stack_names)} cannot be built; the lab builds encoders and decoders"
            )
        for stack in architecture.stacks:
            self.add_module(stack.name, StackOfBlocks(stack, self.embedding.positions_kind, numerics))
        self.head = Head(architecture.head, main.hidden, numerics, activation(_network_activation(main)))
        tables = [module.weight.shape[0] for module in self.modules() if isinstance(module, PositionTable)]
        self.longest = min(tables, default=None)
        _refuse_what_it_cannot_read(self)
        self.tie()

    def tie(self) -> None:
        """Makes a tied head read the very table of the embedding; to be done again where tensors were replaced."""
        for part in self.architecture.head:
            if isinstance(part, HeadDescription) and part.tied:
                stack, _, name = part.tied_to.partition(".")
                home = self.embedding if stack == "embedding" else self.stack(stack).inputs
                self.head.get_submodule(part.name).weight = home.get_submodule(name).weight

    def stack(self, name: str) -> StackOfBlocks:
        """The stack of that name."""
        module = self.get_submodule(name)
        assert isinstance(module, StackOfBlocks)
        return module

    def forward(
        self,
        tokens_BT: Tensor,
        *,
        sources_BS: Tensor | None = None,
        kept_BT: Tensor | None = None,
        source_kept_BS: Tensor | None = None,
        types_BT: Tensor | None = None,
        positions_BT: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """Scores of the next token (or, of a masked model, of each token itself) [B, T, V], in fp32.

        sources_BS        what an encoder-decoder's encoder reads; it may be left out once `cache` holds it
        kept_BT           which tokens are real, False at padding; with a cache, of the earlier tokens too
        types_BT          token types (BERT), all 0 when left out
        positions_BT      where tokens stand, 0, 1, 2 ... when left out; with a cache, of the earlier tokens too
        """
        sources_BSD = None
        if len(self.stack_names) > 1 and (cache is None or cache.tokens == 0):
            sources_BSD = self.encoded(sources_BS, source_kept_BS)
        stack = self.stack(self.stack_names[-1])
        reading = self.reading(stack, tokens_BT, kept_BT, positions_BT, cache)
        reading.sources, reading.source_kept = sources_BSD, source_kept_BS
        x_BTD = self._read(stack, tokens_BT, types_BT, reading)
        if cache is not None:
            cache.tokens += tokens_BT.shape[1]
        scores_BTV: Tensor = self.head(x_BTD)
        return scores_BTV

    def encoded(self, sources_BS: Tensor | None, source_kept_BS: Tensor | None = None) -> Tensor:
        """What the encoder makes of its tokens [B, S, D]."""
        if sources_BS is None:
            raise BadInput("sources are missing: an encoder-decoder reads them before it writes")
        stack = self.stack("encoder")
        return self._read(stack, sources_BS, None, self.reading(stack, sources_BS, source_kept_BS, None, None))

    def reading(
        self,
        stack: StackOfBlocks,
        tokens_BT: Tensor,
        kept_BS: Tensor | None,
        positions_BS: Tensor | None,
        cache: Cache | None,
    ) -> Reading:
        """One pass of a stack over these tokens, before its positions are added to it."""
        before, now = (0 if cache is None else cache.tokens), tokens_BT.shape[1]
        most = self.longest if cache is None else min(cache.capacity, self.longest or cache.capacity)
        if most is not None and before + now > most:
            raise BadInput(f"context={before + now} exceeds the {most} tokens that there are positions or room for")
        if positions_BS is None:
            positions_BS = torch.arange(before + now, device=tokens_BT.device)[None]
        return Reading(
            attend=self.attend,
            dtype=self.compute_dtype,
            queries=positions_BS[:, -now:],
            keys=positions_BS,
            causal=stack.causal,
            kept=kept_BS,
            cache=cache,
            compiled=self.compiled,
        )

    def _read(self, stack: StackOfBlocks, tokens_BT: Tensor, types_BT: Tensor | None, reading: Reading) -> Tensor:
        x = self.embedding(tokens_BT, reading.queries, types_BT, reading.dtype)
        x_BTD = stack.inputs(x, reading.queries, types_BT, reading.dtype)
        stack.place(reading, stack.inputs.relative or self.embedding.relative)
        y_BTD: Tensor = stack(x_BTD, reading)
        return y_BTD


def _refuse_what_it_cannot_read(model: Transformer) -> None:
    """Refuses a model of several texts at once, and one that reads what no stack of text makes."""
    architecture = model.architecture
    for part in architecture.head:
        if isinstance(part, HeadDescription) and part.vocab != architecture.vocab:
            raise BadInput(
                f"a head of {part.vocab} scores beside vocab={architecture.vocab} cannot be built; the lab reads and "
                "writes one text"
            )
    if "encoder" not in model.stack_names and any(isinstance(a, Attention) and a.across for a in model.modules()):
        raise BadInput("a decoder that attends to another model's output cannot be built; it can only be counted")


def _network_activation(stack: Stack) -> str:
    """The activation of the stack's networks, which the transform of a masked head shares."""
    bodies = (branch.body for run in stack.runs for branch in run.layer.branches)
    return next((body.activation for body in bodies if isinstance(body, FeedForward | Experts)), "gelu")
