"""Gradients of a model that is spread: added up where processes made parts of a sum, their norm, the clipping."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from deepwide.lab.distributed.spreading import Spread

BUCKET_ELEMENTS = 2**23  # sent at once: fewer would wait for each other's delay, more would take memory
LEAST_NORM = 1e-6  # keeps a norm of 0 from being divided by


@torch.no_grad()
def add_up(spread: Spread) -> None:
    """Adds up what several processes made parts of."""
    for names, group in spread.sums:
        gradients = [spread.tensors[name].gradient() for name in names]
        for bucket in buckets([g for g in gradients if g is not None]):
            together = torch.cat([g.flatten() for g in bucket])
            dist.all_reduce(together, group=group)
            for g, total in zip(bucket, torch.split(together, [g.numel() for g in bucket]), strict=True):
                g.copy_(total.view_as(g))


@torch.no_grad()
def clipped(spread: Spread, limit: float) -> Tensor:
    """The norm of all gradients of the whole model, which are then scaled down to `limit` where they exceed it."""
    squares: dict[tuple[str, ...], Tensor] = {(): torch.zeros((), device=spread.team.device)}
    pieces = []
    for name, one in spread.parameters.items():
        piece = one.gradient()
        if piece is None:
            continue
        pieces.append(piece)
        if name not in spread.elsewhere:
            squares[one.cut] = squares.get(one.cut, 0) + piece.square().sum()
    total = torch.zeros((), device=spread.team.device)
    for cut in sorted(squares):
        total += spread.team.summed(squares[cut], cut)
    norm = spread.team.summed(total, ["pp"]).sqrt()
    if limit:
        torch._foreach_mul_(pieces, (limit / (norm + LEAST_NORM)).clamp(max=1.0))
    return norm


def buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """The tensors in lists of a size that is worth sending."""
    bucket: list[Tensor] = []
    for tensor in tensors:
        bucket.append(tensor)
        if sum(t.numel() for t in bucket) >= BUCKET_ELEMENTS:
            yield bucket
            bucket = []
    if bucket:
        yield bucket
