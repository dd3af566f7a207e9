"""Encoders and decoders put together: any two families, T5Gemma 2 with its eyes, and Seamless from text to text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from deepwide.architecture.extras import Linear, Vector
from deepwide.architecture.model import Architecture, Body, Stack
from deepwide.architecture.parts import Head, TokenEmbedding
from deepwide.errors import BadInput
from deepwide.formats.families.multimodal.vision_language_variants import SIGLIP
from deepwide.formats.families.sequence.bart import DECODER
from deepwide.formats.fields import Fields, read
from deepwide.formats.readers.decoder import decoder, decoder_stack
from deepwide.formats.readers.encoder import embedding, pooler
from deepwide.formats.readers.encoder_decoder import encoder_decoder
from deepwide.formats.readers.inner_configs import Inner, nested
from deepwide.formats.readers.layers import FULL, SLIDING, attention
from deepwide.formats.readers.projectors import soft_tokens
from deepwide.formats.readers.towers import tower

# Encoders whose base class ends in a pooler over the first token, and others that have none.
POOLED = ("bert", "roberta", "camembert", "xlm-roberta", "data2vec-text", "ernie", "megatron-bert", "xlm-roberta-xl")
UNPOOLED = ("bert-generation", "electra", "distilbert")


def any_two(c: Fields) -> Architecture:
    """The base model of one family, and the causal model of another that attends across to it."""
    below, above = half(c, "encoder"), half(c, "decoder")
    kind = below.text("model_type")
    if kind not in (*POOLED, *UNPOOLED):
        known = ", ".join((*POOLED, *UNPOOLED))
        raise BadInput(f"{c.where}: encoder.model_type={kind!r} is not described here; expected one of {known}")
    if "cross" not in above.rule:
        raise BadInput(f"{c.where}: decoder.model_type={above.text('model_type')!r} cannot attend across, as bert can")
    model: Architecture = above.rule["reader"](above)
    encoder = headless_encoder(below, kind in POOLED, model.main.hidden)
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


def half(c: Fields, name: str) -> Fields:
    """The encoder's or the decoder's fields, which know their own model type."""
    fields = nested(c, name, Inner("bert", free=True))
    task = {"task": "causal"} if name == "decoder" else {}
    return replace(fields, changes={"model_type": fields.config.get("model_type", "bert"), **task})


def headless_encoder(c: Fields, pooled: bool, meets: Any) -> Stack:
    """An encoder without its language head, led to the width `meets` of the decoder where it differs."""
    stack = decoder_stack(c, "encoder", causal=False)
    joint = (Linear(name="to_decoder", outputs=meets, bias=True),) if stack.hidden != meets else ()
    return replace(stack, before=embedding(c), after=(*stack.after, *(pooler(c) if pooled else ()), *joint))


# ---- T5Gemma 2


def merged_attention(c: Fields, kind: str) -> Body:
    """One set of projections for the decoder's own tokens and the encoder's, attended together."""
    return replace(attention(c, kind), also="encoder")


def t5gemma2(c: Fields) -> Architecture:
    """T5Gemma 2: Gemma 3 twice: an encoder of text and pictures, and a decoder whose attention looks at both."""
    from deepwide.formats.families import rule  # the table of families is built from files that import this one

    gemma, tied = rule("gemma3_text"), c.flag("tied")
    encoder = c.inside("encoder", {})
    text = replace(encoder.inside("text_config", gemma), changes={})
    merged = {**gemma, "mixers": dict.fromkeys((FULL, SLIDING), merged_attention)}
    model = decoder(replace(c.inside("decoder", merged), changes={"tied": tied, **c.changes}))
    hidden = model.main.hidden
    if (hidden, model.vocab) != (text.number("hidden"), text.number("vocab")):
        raise BadInput(f"{c.where}: encoder.text_config and decoder must agree in hidden_size and vocab_size")
    tables = (TokenEmbedding(vocab=model.vocab), Vector(name="end_of_image", shape=(hidden,), part="embedding"))
    own, shared = ((), tables) if tied else (tables, ())
    reads = replace(decoder_stack(text, "encoder", causal=False), before=own)
    stacks = (*vision_tower(encoder, hidden), reads, replace(model.main, before=own))
    return replace(model, stacks=stacks, embedding=shared, notes=tuple(c.notes))


def vision_tower(encoder: Fields, hidden: Any) -> tuple[Stack, ...]:
    """T5Gemma 2's tower, joined as Gemma 3's."""
    picture = nested(encoder, "vision_config", Inner(SIGLIP, free=True))
    *stages, top = tower(picture, "vision")
    return (*stages, replace(top, after=(*top.after, *soft_tokens(encoder, picture, hidden))))


# ---- Seamless


def text_to_text(c: Fields) -> Architecture:
    """The translation of text, one of the ways through a Seamless model; those that hear or speak are refused."""
    named = c.text("architecture")
    if named and not named.endswith("ForTextToText"):
        model = named.split("For")[0].removesuffix("Model")
        raise BadInput(f"{c.where}: {named} also hears or speaks, which is not described; ask for {model}ForTextToText")
    return encoder_decoder(c)


FAMILIES: dict[str, Mapping[str, Any]] = {
    "encoder-decoder": {"reader": any_two},
    "t5gemma2": {"reader": t5gemma2},
    "seamless_m4t": {
        "like": "m2m_100",
        "reader": text_to_text,
        "decoder": {**DECODER, "layers": read("decoder_layers", "num_hidden_layers")},
    },
    "seamless_m4t_v2": {"like": "seamless_m4t"},
}
