"""What a model remembers while it generates: the keys and values of the tokens read so far.

Shapes: B batch, K heads of keys and values, S tokens, A width of a head.
"""

from __future__ import annotations

from torch import Tensor


class Cache:
    """Keys and values of every attention of a model, for up to `capacity` tokens.

    tokens            how many have been read; the model moves it on when a pass is over
    A layer's room is made at its first tokens and never moved: nothing is copied while generating.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.tokens = 0
        self._rooms: dict[tuple[int, str], Tensor] = {}

    def extended(self, slot: int, what: str, new_BKTA: Tensor) -> Tensor:
        """All that attention `slot` has seen of `what` (keys, values), the new tokens written behind the old."""
        B, K, T, A = new_BKTA.shape
        room = self._rooms.get((slot, what))
        if room is None:
            room = self._rooms[slot, what] = new_BKTA.new_empty(B, K, self.capacity, A)
        room[:, :, self.tokens : self.tokens + T] = new_BKTA
        return room[:, :, : self.tokens + T]

    def kept(self, slot: int, what: str) -> Tensor | None:
        """What was kept whole by `keep`, None before the first token."""
        return self._rooms.get((slot, what))

    def keep(self, slot: int, what: str, whole_BKSA: Tensor) -> None:
        """Keeps what never grows: keys and values of another stack's output."""
        self._rooms[slot, what] = whole_BKSA

    def elements(self) -> int:
        """Elements of all rooms together."""
        return sum(room.numel() for room in self._rooms.values())
