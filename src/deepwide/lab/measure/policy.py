"""How the lab would train on this machine: what the probe that every run begins with chooses, for most shapes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch

from deepwide.architecture.model import Architecture
from deepwide.lab.kernels import Kernels, probed
from deepwide.lab.network import build


def training_kernels(
    architectures: Sequence[Architecture], batch: int, context: int, device: torch.device, **fixed: Any
) -> Kernels:
    """The policy that the probe chooses most often for these models; the first of those chosen as often."""
    chosen = Counter(probed(build(a, device=device), batch, context, **fixed) for a in architectures)
    return chosen.most_common(1)[0][0]
