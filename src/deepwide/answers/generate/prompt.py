"""From a prompt to the tokens that a model reads; a text that its vocabulary cannot say is refused."""

from __future__ import annotations

from typing import Any

from deepwide.answers.trained import Trained
from deepwide.errors import BadInput

GAP = "[MASK]"  # what stands in a prompt where a masked model is to fill in a token
UNKNOWN = ("<unk>", "[UNK]", "<|unk|>")  # what a tokeniser without bytes makes of symbols that it does not know
SHOWN = 5  # symbols in a message


def prompt_tokens(found: Trained, prompt: str | None) -> list[int]:
    """The tokens of a prompt, with those that the tokeniser puts around a text; without a prompt, what begins one."""
    across = len(found.model.stack_names) > 1
    if prompt is None and across:
        raise BadInput(
            f"prompt is missing: {found.name} is an encoder-decoder, which reads a text first; give --prompt"
        )
    if prompt is None and found.before is not None:
        return [found.before]
    if prompt is None or (across and found.before is None):
        way_out = "its tokenizer_config.json should name one" if across else "give --prompt"
        raise BadInput(f"the tokenizer of {found.name} has no token that begins a text; {way_out}")
    return _encoded(found, prompt)


def prompt_with_gaps(found: Trained, prompt: str | None) -> list[int]:
    """The tokens of a prompt in which [MASK] stands for the token that hides another."""
    if prompt is None or GAP not in prompt:
        raise BadInput(
            f"{found.name} is a masked model: it writes no further text, but fills in gaps; "
            f"put {GAP} into the prompt where a token is to stand, as in --prompt 'def f({GAP}):'"
        )
    engine, mask = found.tokenizer.engine, found.tokenizer.special("mask")
    engine.encode_special_tokens = False  # the mask is to be read as the token, not as its letters
    try:
        return _encoded(found, prompt.replace(GAP, engine.id_to_token(mask)))
    finally:
        engine.encode_special_tokens = True


def _encoded(found: Trained, prompt: str) -> list[int]:
    """The tokens of a text, if the vocabulary can say all of it and the model has a vector for each."""
    from deepwide.lab.generation import vocabulary

    text, known = prompt.encode("utf-8", errors="replace").decode(), vocabulary(found.model)
    encoding = found.tokenizer.engine.encode(text)
    unsaid = _unsaid(found.tokenizer.engine, encoding, text)
    if unsaid or not encoding.ids:
        raise BadInput(f"prompt has {unsaid or 'nothing'} that the vocabulary of {found.name} can say; give other text")
    if max(encoding.ids) >= known:
        raise BadInput(
            f"prompt has the token {max(encoding.ids)}, and {found.name} a vocabulary of {known}: "
            "the tokenizer.json beside it is another model's"
        )
    return list(encoding.ids)


def _unsaid(engine: Any, encoding: Any, text: str) -> str:
    """The symbols of a text that became an unknown token, or none at all; in words, empty where there are none."""
    unknown = {getattr(engine.model, "unk_token", None), *UNKNOWN}
    said: set[int] = set()
    for token, (begin, end) in zip(encoding.tokens, encoding.offsets, strict=True):
        if token not in unknown:
            said.update(range(begin, end))
    lost = dict.fromkeys(c for i, c in enumerate(text) if i not in said and c.isprintable() and not c.isspace())
    return f"{''.join(list(lost)[:SHOWN])!r}, which is nothing" if lost else ""
