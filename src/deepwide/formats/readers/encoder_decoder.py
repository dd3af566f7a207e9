"""The generic encoder-decoder: two stacks, of which the upper attends across to the lower, and either half alone.

A rule answers for both stacks at once; what differs stands under its `encoder` and `decoder`, laid over the rest.
With `nested` each stack has a config of its own inside the model's. Questions beside those of a decoder:

    sharing        which token tables are one: ALL, STACKS, HEAD or NONE
    idle_table     a table is kept for both stacks even where each has its own
    inputs         what a stack reads where it is not tokens and positions
    stack_tokens   how many tokens a stack has, where their number is fixed
"""

from __future__ import annotations

from dataclasses import replace

from deepwide.architecture.extras import Table
from deepwide.architecture.model import Architecture, Small, Stack
from deepwide.architecture.parts import Head
from deepwide.formats.fields import Fields
from deepwide.formats.readers.assembled import assembled
from deepwide.formats.readers.decoder import decoder_stack, embedding

ENCODER, DECODER = "encoder", "decoder"
# Which tables are one: those of both stacks and the head; of the stacks; of the decoder and the head; none.
ALL, STACKS, HEAD, NONE = "all", "stacks", "head", "none"


def encoder_decoder(c: Fields) -> Architecture:
    """An encoder and the decoder that attends across to it, or the half that the asked class keeps."""
    names = halves(c)
    sides = _sides(c, names)
    sharing = c.text("sharing")
    inputs = [_inputs(side) for side in sides]
    together = sharing in (ALL, STACKS) or len(sides) == 1
    own = [parts[1:] if together else parts for parts in inputs]
    top = sides[-1]
    return assembled(
        c,
        *(_stack(*three) for three in zip(sides, names, own, strict=True)),
        vocab=top.number("vocab"),
        embedding=(*inputs[-1][: int(together)], *_idle(c, sharing)),
        head=_head(top, sharing, "embedding.tokens" if together else "decoder.tokens") if DECODER in names else (),
        context=top.maybe("context"),
    )


def halves(c: Fields) -> tuple[str, ...]:
    """The stacks to read: a causal class is the decoder alone, an encoder class the encoder alone."""
    architecture, task = c.text("architecture"), c.text("task")
    if c.rule["encoder"] is None or task == "causal" or (not task and architecture.endswith("ForCausalLM")):
        return (DECODER,)
    return (ENCODER,) if architecture.endswith("EncoderModel") else (ENCODER, DECODER)


def _sides(c: Fields, names: tuple[str, ...]) -> list[Fields]:
    """The fields of each stack, with its own part of the rule on top; the decoder learns how wide the encoder is."""
    sides: list[Fields] = []
    for name in names:
        rule = {**c.rule, **c.rule[name]}
        if not c.rule.get("nested"):
            sides.append(replace(c, rule=rule))
            continue
        if sides:
            rule["keys_width"] = sides[0].number("hidden")
        sides.append(c.inside(name, rule))
    return sides


def _stack(side: Fields, name: str, before: tuple[Small, ...]) -> Stack:
    """The layers of one side on top of what it alone reads."""
    stack = decoder_stack(side, name, causal=name == DECODER)
    return replace(stack, before=before, tokens=side.maybe("stack_tokens"))


def _inputs(side: Fields) -> tuple[Small, ...]:
    """What a stack reads: its token table first, then positions and a norm; or what the family has instead."""
    own: tuple[Small, ...] = side.rule["inputs"](side) if "inputs" in side.rule else embedding(side)
    return own


def _idle(c: Fields, sharing: str) -> tuple[Small, ...]:
    """A table that the class keeps for both stacks, and that nothing reads once each stack has its own."""
    if sharing != NONE or not c.flag("idle_table"):
        return ()
    c.notes.append("untied: each stack has its own token table, and the shared one is kept though nothing reads it")
    return (Table(name="shared", rows=c.number("vocab"), read=False),)


def _head(c: Fields, sharing: str, table: str) -> tuple[Small, ...]:
    tied = sharing in (ALL, HEAD)
    return (Head(vocab=c.number("head_vocab", c("vocab")), tied=tied, bias=c.flag("head_bias"), tied_to=table),)
