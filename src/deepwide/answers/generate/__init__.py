"""What does a trained model write? Its text as it comes, how fast that was, and what happens to a token inside."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from deepwide.answers.answer import Answer
from deepwide.answers.generate.predicted import predicted_token_s
from deepwide.answers.generate.traced import TokenTrace, traced
from deepwide.answers.generate.writing import Write, Written, continued, filled_in
from deepwide.answers.trained import Trained, trained
from deepwide.errors import BadInput
from deepwide.lab.needs import need_lab

__all__ = ["Generation", "TokenTrace", "generate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation(Answer):
    """What was written, how it was chosen, and how fast.

    text              what follows the prompt; of a masked model the prompt with its gaps filled
    prompt_tokens     that were read, and tokens that were written, the one that ends a text included
    ended             "end" of the text, all "tokens" written, no further "positions", gaps "filled"
    first_token_s     of reading the prompt and choosing the first token
    token_s           of each further token, and predicted_s the same as it is predicted on a calibrated machine; None
                      where there is none
    """

    model: str
    prompt: str
    text: str
    prompt_tokens: int
    tokens: int
    ended: str
    temperature: float
    top_k: int | None
    top_p: float | None
    seed: int
    first_token_s: float
    token_s: float | None
    predicted_s: float | None = None
    trace: TokenTrace | None = None
    notes: tuple[str, ...] = ()

    @property
    def tokens_per_s(self) -> float | None:
        """Tokens in a second, once the prompt has been read."""
        return 1 / self.token_s if self.token_s else None

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain values."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        trace = None if self.trace is None else self.trace.to_dict()
        return {**values, "tokens_per_s": self.tokens_per_s, "trace": trace, "notes": list(self.notes)}


def generate(
    model: str | Trained,
    prompt: str | None = None,
    *,
    tokens: int = 200,
    temperature: float = 0.8,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
    trace: bool = False,
    root: str | Path | None = None,
    write: Write = lambda text, new: None,
) -> Generation:
    """What a run's model, or a folder's, writes after a prompt; without one, from the beginning of a text.

    `write` is given the prompt, then each piece of text as soon as it is known, and whether the model wrote it.
    A masked model fills in every [MASK] of the prompt instead.
    """
    need_lab()
    from deepwide.lab.generation import Choice, checksum

    choice = Choice(temperature=temperature, top_k=top_k, top_p=top_p, seed=seed, tokens=tokens)
    if prompt == "":
        raise BadInput("prompt is empty; give some text, or leave it out to begin a new one")
    found = model if isinstance(model, Trained) else trained(model, root)
    before = checksum(found.model) if trace else ""
    if found.model.stack_names == ["encoder"]:
        made = filled_in(found, prompt, write)
    else:
        made = continued(found, prompt, choice, write)
    seen, said = traced(found, made.read, made.written, before) if trace else (None, ())
    return Generation(
        model=found.name,
        prompt=prompt or "",
        text=made.text,
        prompt_tokens=len(made.read),
        ended=made.ended,
        **{**asdict(choice), "tokens": len(made.written)},
        **_times(made),
        predicted_s=predicted_token_s(found, len(made.read), len(made.written)),
        trace=seen,
        notes=(*found.notes, *made.notes, *said),
    )


def _times(made: Written) -> dict[str, Any]:
    first, *further = made.token_seconds
    return {"first_token_s": first, "token_s": sum(further) / len(further) if further else None}
