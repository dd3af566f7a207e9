"""Tensor parallelism: every process has some heads of each attention and a part of each network.

Query, key, value, gate and up are cut by outputs, output and down by inputs (Shoeybi et al. 2019, arXiv:1909.08053):
one exchange after each branch. The table of tokens is cut by rows, and so is the output matrix, tied to it or not.

Shapes: B batch, T tokens, D hidden, H heads, S keys.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import ColwiseParallel, ParallelStyle, RowwiseParallel, parallelize_module
from torch.nn import functional

from deepwide.lab.network.attend import Attend
from deepwide.lab.network.attention import Attention
from deepwide.lab.network.feed_forward import FeedForward
from deepwide.lab.network.head import Head
from deepwide.lab.network.layers import Table
from deepwide.lab.network.transformer import Transformer

TABLE, MATRIX = "embedding.tokens", "head.output"


def cut_tensors(model: Transformer, mesh: DeviceMesh) -> None:
    """Cuts the tensors of a model over the processes of a mesh; all must have the same ones."""
    parallelize_module(model, mesh, dict(_plan(model)), src_data_rank=None)
    names = dict(model.named_modules())
    if isinstance(names.get(TABLE), Table):
        model.get_submodule("embedding").add_module("tokens", CutTable(names[TABLE].weight, mesh))
    if isinstance(model.head, Head):
        model.tie()
    model.attend = _own_heads(model.attend, mesh.get_local_rank(), mesh.size())


def partial_names(model: Transformer) -> list[str]:
    """Parameters that all processes have but use for their own heads alone: their gradients are to be added up."""
    ends = ("query_norm.weight", "query_norm.bias", "key_norm.weight", "key_norm.bias", "relative_bias.weight")
    return [name for name, _ in model.named_parameters() if name.endswith(ends)]


def _plan(model: Transformer) -> Iterator[tuple[str, ParallelStyle]]:
    """How each matrix is cut, by its name."""
    for name, module in model.named_modules():
        inner: tuple[str, ...] = ()
        if isinstance(module, Attention):
            inner, last = ("query", "key", "value"), "output"
        elif isinstance(module, FeedForward):
            inner, last = ("gate", "up"), "down"
        for part in inner:
            if getattr(module, part, None) is not None:
                yield f"{name}.{part}", ColwiseParallel()
        if inner:
            yield f"{name}.{last}", RowwiseParallel()
        if name == MATRIX:
            yield name, ColwiseParallel(output_layouts=Replicate())


class CutTable(nn.Module):
    """A table of which each process has some rows: it looks up those that it has, and the results are added up."""

    def __init__(self, weight: Tensor, mesh: DeviceMesh) -> None:
        super().__init__()
        self.mesh = mesh
        self.weight = nn.Parameter(distribute_tensor(weight.detach(), mesh, [Shard(0)], src_data_rank=None))
        self.first = mesh.get_local_rank() * -(-len(weight) // mesh.size())

    def forward(self, numbers_BT: Tensor, dtype: torch.dtype) -> Tensor:
        """[B, T] to [B, T, D]."""
        weight = self.weight
        assert isinstance(weight, DTensor)
        rows = weight.to_local()
        own_BT = numbers_BT - self.first
        elsewhere_BT = (own_BT < 0) | (own_BT >= len(rows))
        found_BTD = functional.embedding(own_BT.masked_fill(elsewhere_BT, 0), rows).to(dtype)
        found_BTD = found_BTD.masked_fill(elsewhere_BT[..., None], 0)
        whole: Tensor = DTensor.from_local(found_BTD, self.mesh, [Partial()], run_check=False).redistribute(
            placements=[Replicate()]
        )
        return whole.to_local()  # type: ignore[attr-defined, no-any-return]


def _own_heads(attend: Attend, place: int, processes: int) -> Attend:
    """The kernel, given of what positions add to all heads [B, H, T, S] the part of this process's heads."""

    def attended(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, causal: bool, scale: float) -> Tensor:
        heads = q.shape[1]
        if bias is not None and bias.shape[1] == heads * processes:
            bias = bias[:, place * heads : (place + 1) * heads]
        return attend(q, k, v, bias, causal, scale)

    return attended
