"""The last step of every reader: stacks, embedding and head become an architecture, named as the config says."""

from __future__ import annotations

from deepwide.architecture.model import Architecture, Small, Stack
from deepwide.formats.fields import Fields
from deepwide.units import Num


def note_other_head(c: Fields, other: bool) -> None:
    """Notes that the class asked for has a head of another kind, where it has."""
    if other:
        c.notes.append(f"counted with its language-model head, not as {c.text('architecture')}")


def assembled(
    c: Fields,
    *stacks: Stack,
    embedding: tuple[Small, ...] = (),
    head: tuple[Small, ...] = (),
    vocab: Num | None = None,
    context: Num | None = None,
) -> Architecture:
    """The architecture of these stacks, from bottom to top. Vocabulary and context are the config's unless given."""
    family = c.text("model_type")
    return Architecture(
        name=c.text("name", family),
        family=family,
        vocab=c.number("vocab") if vocab is None else vocab,
        stacks=stacks,
        embedding=embedding,
        head=head,
        context=c.maybe("context") if context is None else context,
        notes=tuple(c.notes),
    )
