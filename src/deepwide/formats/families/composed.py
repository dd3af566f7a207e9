"""Encoders and decoders put together: any two families, T5Gemma 2 with its eyes, and Seamless from text to text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from deepwide.architecture.attention import Attention
from deepwide.architecture.model import Architecture, Body, Small, Stack
from deepwide.architecture.parts import Head, Linear, TokenEmbedding, Vector
from deepwide.errors import BadInput
from deepwide.formats.families.multimodal import SIGLIP, soft_tokens
from deepwide.formats.fields import Fields
from deepwide.formats.readers.decoder import decoder, decoder_stack
from deepwide.formats.readers.encoder import embedding, pooler
from deepwide.formats.readers.encoder_decoder import encoder_decoder
from deepwide.formats.readers.layers import attention
from deepwide.formats.readers.nested import Inner, nested
from deepwide.formats.readers.towers import tower

# Encoders whose base class ends in a pooler over the first token, and others that have none.
POOLED = ("bert", "roberta", "camembert", "xlm-roberta", "data2vec-text", "ernie", "megatron-bert", "xlm-roberta-xl")
UNPOOLED = ("bert-generation", "electra", "distilbert")


def any_two(c: Fields) -> Architecture:
    """The base model of one family, and the causal model of another that attends across to it."""
    below, above = part(c, "encoder"), part(c, "decoder")
    kind = below.text("model_type")
    if kind not in (*POOLED, *UNPOOLED):
        known = ", ".join((*POOLED, *UNPOOLED))
        raise BadInput(f"{c.where}: encoder.model_type={kind!r} is not described here; expected one of {known}")
    if "cross" not in above.rule:
        raise BadInput(f"{c.where}: decoder.model_type={above.text('model_type')!r} cannot attend across, as bert can")
    model: Architecture = above.rule["reader"](above)
    encoder = base(below, kind in POOLED, model.main.hidden)
    decodes = replace(model.main, before=(*model.embedding, *model.main.before))
    name = c.text("model_type")
    return replace(
        model,
        name=c.text("name", name),
        family=name,
        stacks=(encoder, decodes),
        embedding=(),
        head=tuple(replace(p, tied_to="decoder.tokens") if isinstance(p, Head) else p for p in model.head),
    )


def part(c: Fields, name: str) -> Fields:
    """The encoder's or the decoder's fields, which know their own model type."""
    fields = nested(c, name, Inner("bert", free=True))
    assert fields is not None  # neither is optional
    task = {"task": "causal"} if name == "decoder" else {}
    return replace(fields, changes={"model_type": fields.config.get("model_type", "bert"), **task})


def base(c: Fields, pooled: bool, meets: Any) -> Stack:
    """An encoder without its language head, led to the width `meets` of the decoder where it differs."""
    stack = decoder_stack(c, "encoder", causal=False)
    joint = (Linear(name="to_decoder", outputs=meets, bias=True),) if stack.hidden != meets else ()
    return replace(stack, before=embedding(c), after=(*stack.after, *(pooler(c) if pooled else ()), *joint))


# ---- T5Gemma 2


def merged_attention(c: Fields, kind: str) -> Body:
    """One set of projections for the decoder's own tokens and the encoder's, attended together."""
    return replace(attention(c, kind), also="encoder")


def seeing_pair(c: Fields) -> Architecture:
    """Gemma 3 twice: an encoder of text and pictures, and a decoder whose attention looks at both."""
    from deepwide.formats.families import rule  # the table of families is built from files that import this one

    encoder = c.inside("encoder", {})
    text = c.inside("encoder", {}).inside("text_config", rule("gemma3_text"))
    picture = nested(encoder, "vision_config", Inner(SIGLIP, free=True))
    assert picture is not None  # never optional
    merged = {**rule("gemma3_text"), "mixers": dict.fromkeys(KINDS, merged_attention)}
    above = replace(c.inside("decoder", merged), changes={"tied": c.flag("tied"), **c.changes})
    model, tied = decoder(above), c.flag("tied")
    if model.main.hidden != text.number("hidden") or model.vocab != text.number("vocab"):
        raise BadInput(f"{c.where}: encoder.text_config and decoder must agree in hidden_size and vocab_size")
    tables = (TokenEmbedding(vocab=model.vocab), Vector(name="end_of_image", shape=(model.main.hidden,)))
    *stages, top = tower(picture, "vision")
    seen = replace(top, after=(*top.after, *soft_tokens(encoder, picture, model.main.hidden)))
    reads = decoder_stack(text, "encoder", causal=False)
    own = () if tied else tables
    stacks = (*stages, seen, replace(reads, before=own), replace(model.main, before=own))
    head = tuple(replace(p, tied=tied) if isinstance(p, Head) else p for p in model.head)
    return replace(model, stacks=stacks, embedding=tables if tied else (), head=head)
