"""What all layers of a stack share in one pass: who may look at whom, where tokens stand, what is kept of them.

Shapes: B batch, T tokens read now, S tokens that can be seen, D hidden.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from deepwide.lab.network.attend import Attend
from deepwide.lab.network.cache import Cache
from deepwide.lab.network.positions import Rotation

Mask = tuple[Tensor | None, bool]


@dataclass(slots=True, kw_only=True)
class Reading:
    """One pass of a stack over its tokens.

    attend            the attention kernel
    dtype             of the activations
    queries, keys     positions of the tokens read now [B or 1, T], and of all that can be seen [B or 1, S]
    causal            a token sees itself and earlier ones only
    kept              which of the tokens that can be seen are real [B, S]; None where all are
    added             what positions add to every score [B or 1, H, T, S]: ALiBi, relative buckets
    rotation          angles of the tokens read now, where positions are rotary; key_rotation of all that can be seen
    sources           output of the stack that is attended across to [B, S, D], and which of its tokens are real
    cache             where keys and values are kept, while generating
    masks             for each window of the stack's attentions, what hides tokens from it
    compiled          whether layers are compiled where gradients are wanted
    """

    attend: Attend
    dtype: torch.dtype
    queries: Tensor
    keys: Tensor
    causal: bool
    kept: Tensor | None = None
    added: Tensor | None = None
    rotation: Rotation | None = None
    key_rotation: Rotation | None = None
    sources: Tensor | None = None
    source_kept: Tensor | None = None
    cache: Cache | None = None
    masks: dict[int | None, Mask] = field(default_factory=dict)
    compiled: bool = False

    def mask(self, window: int | None) -> Mask:
        """What is added to the scores of layers with this window, and whether plain causality says it all."""
        T, S = self.queries.shape[1], self.keys.shape[1]
        if window is not None and self.causal and window >= S:
            window = None
        if self.kept is None and self.added is None and window is None:
            if not self.causal or T == 1:
                return None, False
            if T == S:
                return None, True
        behind = self.queries[:, :, None] - self.keys[:, None, :]
        seen = behind >= 0 if self.causal else torch.ones_like(behind, dtype=torch.bool)
        if window is not None:
            seen &= behind < window if self.causal else behind.abs() <= window // 2
        return self._hidden(seen, self.kept, self.added), False

    def source_mask(self) -> Tensor | None:
        """What hides the padding of the stack that is attended across to."""
        if self.source_kept is None:
            return None
        return self._hidden(torch.ones_like(self.source_kept)[:, None, :], self.source_kept, None)

    def _hidden(self, seen_BTS: Tensor, kept_BS: Tensor | None, added: Tensor | None) -> Tensor:
        if kept_BS is not None:
            seen_BTS = seen_BTS & kept_BS[:, None, :]
        nothing = torch.zeros((), dtype=self.dtype, device=seen_BTS.device)
        visible = nothing if added is None else added.to(self.dtype)
        return torch.where(seen_BTS[:, None], visible, torch.finfo(self.dtype).min)
