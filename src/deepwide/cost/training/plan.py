"""A plan: how one training step is laid over devices. And the job it is laid out for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from deepwide.architecture.ledger import Ledger
from deepwide.units import Num, Real

Recompute = Literal["none", "selective", "full"]
RECOMPUTES: tuple[Recompute, ...] = ("none", "selective", "full")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is trained: every step takes `global_batch` sequences of `sequence` tokens through the model.

    layers      layers of the main stack: what pipeline parallelism parts
    vocab       rows of the output head, padded by some engines to a multiple of `vocab_multiple` per device
    trainable   "all" weights, or "lora": frozen weights need no gradient of their own
    """

    ledger: Ledger
    layers: Num
    sequence: Num
    global_batch: Num
    trainable: Literal["all", "lora"] = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a step is laid over devices. Numbers may be arrays: one plan or ten million.

    tp, pp, dp, cp     devices along each axis; their product is all devices. Neighbours share tensors first, then
                       context, then data; pipeline stages are furthest apart
    ep                 devices that share the experts: a divisor of tp * cp * dp
    micro_batch        sequences that go through at once
    interleave         pieces of the model on each pipeline stage (1: plain 1F1B)
    recompute          what the backward pass computes again: nothing, attention scores, every layer
    zero               what data-parallel devices share: 1 optimiser states, 2 gradients too, 3 weights too (FSDP)
    shard              data-parallel devices that share one copy, where fewer than all (HSDP); None for all
    sequence_parallel  whether norms and residuals are cut along the tokens by tensor parallelism
    offload            whether optimiser states stay in host memory
    """

    dp: Num = 1
    tp: Num = 1
    pp: Num = 1
    cp: Num = 1
    ep: Num = 1
    micro_batch: Num = 1
    interleave: Num = 1
    recompute: Recompute = "none"
    zero: Literal[0, 1, 2, 3] = 0
    shard: Num | None = None
    sequence_parallel: bool = False
    offload: bool = False

    @property
    def devices(self) -> Num:
        """All devices."""
        return self.dp * self.tp * self.pp * self.cp

    @property
    def sharing(self) -> Num:
        """Data-parallel devices that share one copy of what `zero` names (context parallelism counts among them)."""
        return self.dp * self.cp if self.shard is None else self.shard

    def micro_batches(self, global_batch: Num) -> Real:
        """Micro-batches that each pipeline runs in a step."""
        return global_batch / (self.dp * self.micro_batch)
