"""What stays and what changes while a model writes: the row of a token stays, what the layers make of it does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deepwide.answers.trained import Trained

if TYPE_CHECKING:
    from deepwide.lab.generation import Trace

LONGEST = 512  # tokens that are looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenTrace:
    """A token followed through the layers, and the checksum of all weights before and after the text was written."""

    text: str
    trace: Trace
    weights_before: str
    weights_after: str

    @property
    def says(self) -> str:
        """What the numbers show, in a sentence."""
        row, last = self.trace.levels[0], self.trace.levels[-1]
        same = "the same" if row.place.distance == row.context.distance == 0.0 else "NOT the same"
        changed = "no weight" if self.weights_before == self.weights_after else "A WEIGHT"
        return (
            f"The embedding row of {self.text!r} is {same} wherever it stands, and {changed} changed while writing; "
            f"what the layers make of it is not fixed: {last.name} the vector lies {last.place.distance:.2f} times "
            f"its length away at another place, and {last.context.distance:.2f} after another text."
        )

    def to_dict(self) -> dict[str, Any]:
        """The trace as plain values."""
        checksums = {"weights_before": self.weights_before, "weights_after": self.weights_after}
        return {"text": self.text, **self.trace.to_dict(), **checksums, "says": self.says}


def traced(
    found: Trained, read: Sequence[int], written: Sequence[int], weights_before: str
) -> tuple[TokenTrace | None, tuple[str, ...]]:
    """A token of the prompt that comes twice there, or else in the whole text; or None, and a note that says why."""
    from deepwide.lab.generation import checksum, repeated, trace

    longest = min(LONGEST, found.model.longest or LONGEST, found.context or LONGEST)
    one_text = found.model.stack_names == ["decoder"]
    texts = [list(read)[:longest], [*read, *(written if one_text else ())][:longest]]
    tokens = next((text for text in texts if repeated(text)), None)
    if tokens is None:
        return None, ("nothing was traced: no token comes twice in the text; give a longer prompt",)
    token = _telling(found, repeated(tokens))
    seen = TokenTrace(
        text=found.tokenizer.decode([token]),
        trace=trace(found.model, tokens, token),
        weights_before=weights_before,
        weights_after=checksum(found.model),
    )
    return seen, ()


def _telling(found: Trained, several: dict[int, list[int]]) -> int:
    """The most frequent of these tokens that has a letter in it, or else the most frequent."""
    words = (token for token in several if any(c.isalpha() for c in found.tokenizer.decode([token])))
    return next(words, next(iter(several)))
