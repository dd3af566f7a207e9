"""What a trained model writes: token after token, or into gaps; and what happens to a token inside while it does."""

from deepwide.lab.generation.choosing import Choice
from deepwide.lab.generation.filling import filled
from deepwide.lab.generation.generating import ENDED, generate, left_padded, room, vocabulary
from deepwide.lab.generation.tracing import Change, Level, Trace, checksum, repeated, trace

__all__ = [
    "ENDED",
    "Change",
    "Choice",
    "Level",
    "Trace",
    "checksum",
    "filled",
    "generate",
    "left_padded",
    "repeated",
    "room",
    "trace",
    "vocabulary",
]
