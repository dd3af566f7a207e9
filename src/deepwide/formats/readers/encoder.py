"""The generic encoder: BERT and its kin, with a masked-language head; their causal twins are the same weights.

Tokens, positions and token types are added and normed; layers follow, post- or pre-norm; the head transforms, norms,
and multiplies with the token table, to which it is tied or not. Questions beside those of the layers and of a decoder:

    position_width, types_width   widths of these tables where they are not that of token vectors
    always_projected              token vectors pass a matrix even where they are as wide as the layers
    projection_inputs, projection_bias   what that matrix reads where it is more than a vector; whether it has a bias
    projected_before_norm         the embedding's norm is as wide as the layers
    head_parts                    the whole head, where it is of another build
    head_transform, head_transform_bias, transform_width   the first matrix: is there one, its bias, its outputs
    head_norm, head_width         the norm after it, and what the output matrix reads
    spare_bias                    the head's bias is kept twice (see `head`)
    add_cross_attention, is_decoder   the config's own flags for attention to an encoder outside
    runs                          changes the layers once they are gathered
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from deepwide.architecture.attention import Attention
from deepwide.architecture.composite import Assembly
from deepwide.architecture.extras import Linear, Table, Vector
from deepwide.architecture.model import Architecture, Body, Small
from deepwide.architecture.parts import LAYER, Head, NormLayer, Positions, TokenEmbedding
from deepwide.errors import BadInput
from deepwide.formats.fields import Fields
from deepwide.formats.readers.assembled import assembled, note_other_head
from deepwide.formats.readers.decoder import TABLES, chosen_positions, decoder_stack
from deepwide.formats.readers.layers import FULL, NORMS, attention, kept, norm

LANGUAGE_HEADS = ("ForMaskedLM", "ForCausalLM", "LMHeadModel", "WithLMHead", "GenerationDecoder")
CAUSAL_HEADS = ("ForCausalLM", "BertLMHeadModel", "GenerationDecoder")


def encoder(c: Fields) -> Architecture:
    """A stack of layers between an embedding and a language head."""
    named = c.text("architecture")
    note_other_head(c, bool(named) and not named.endswith(LANGUAGE_HEADS))
    stack = decoder_stack(c, name=stack_name(c), causal=is_causal(c))
    if "runs" in c.rule:
        stack = replace(stack, runs=c.rule["runs"](c, stack.runs))
    return assembled(c, stack, embedding=embedding(c), head=head(c))


def is_causal(c: Fields) -> bool:
    """Whether a token sees only earlier ones: the family says so, or the config, or the class or task asked for."""
    if "causal" in c.rule:
        return c.flag("causal")
    return c.text("task") == "causal" or c.text("architecture").endswith(CAUSAL_HEADS) or c.flag("is_decoder")


def stack_name(c: Fields) -> str:
    """What the stack is called: it decodes where it is causal."""
    return "decoder" if is_causal(c) else "encoder"


def embedding(c: Fields) -> tuple[Small, ...]:
    """Tables of tokens, positions and token types, their norm, and a projection where they are narrower."""
    width = c.maybe("embedding_width")
    parts: list[Small] = [TokenEmbedding(vocab=c.number("vocab"), width=width)]
    kind = c.text("positions", "learned")
    if chosen := chosen_positions(c, "learned", width):
        parts.append(chosen)
    elif kind in TABLES:
        rows = c.number("context") + c.number("position_offset", 0)
        parts.append(Positions(kind=kind, rows=rows, width=c.maybe("position_width", width)))
    else:
        parts.append(Positions(kind=kind))
    types = c.number("types", 0)
    if hasattr(types, "dtype") or types:
        parts.append(Table(name="types", rows=types, width=c.maybe("types_width", width)))
    parts.extend(kept(c, c("embedding_extra", ())))
    if c.flag("embedding_norm", True):
        parts.append(NormLayer(norm=norm(c), width=None if c.flag("projected_before_norm") else width))
    if width is not None and (c.flag("always_projected") or not _same(width, c.number("hidden"))):
        inputs = c.number("projection_inputs", width)
        parts.append(Linear(name="projection", inputs=inputs, bias=c.flag("projection_bias", True), part="embedding"))
    return tuple(parts)


def _same(a: Any, b: Any) -> bool:
    return not hasattr(a, "dtype") and not hasattr(b, "dtype") and bool(a == b)


def head(c: Fields) -> tuple[Small, ...]:
    """The transform [hidden, width] and its norm, then the output [width, vocab] with a bias of its own.

    Where `spare_bias`, the class keeps the head's bias twice and ties the two only together with the weights.
    """
    if "head_parts" in c.rule:
        given: tuple[Small, ...] = c("head_parts")
        return given
    width = c.maybe("head_width") if "head_width" in c.rule else c.maybe("embedding_width")
    vocab, tied = c.number("vocab"), c.flag("tied")
    parts: list[Small] = []
    if c.flag("head_transform", True):
        bias = c.flag("head_transform_bias", True)
        outputs = c.maybe("transform_width") if "transform_width" in c.rule else width
        parts.append(Linear(name="transform", outputs=outputs, bias=bias, part="head"))
        parts.append(NormLayer(norm=_head_norm(c), name="transform_norm", width=outputs))
    parts.append(Head(vocab=vocab, width=width, tied=tied, bias=c.flag("head_bias", True)))
    if c.flag("spare_bias") and not tied:
        parts.append(Vector(name="spare_bias", shape=(vocab,), part="head"))
    return (*parts, *c("head_extra", ()))


def _head_norm(c: Fields) -> Any:
    choice = norm(c) if "norm" in c.changes else c("head_norm", LAYER)
    return NORMS[choice] if isinstance(choice, str) else choice


def cross_attention(c: Fields) -> Body | None:
    """Attention to an encoder outside this model, which a decoder may have between its attention and its network."""
    if not c.flag("add_cross_attention"):
        return None
    if not c.flag("is_decoder"):
        raise BadInput(f"{c.where}: add_cross_attention=true needs is_decoder=true; set it, or leave both out")
    body: Attention | Assembly = c("mixers", {}).get(FULL, attention)(c, FULL)
    if isinstance(body, Attention):
        return replace(body, keys="encoder", window=None, name="cross_attention")
    return replace(body, name="cross_attention")


def pooler(c: Fields) -> tuple[Small, ...]:
    """A matrix [hidden, hidden] on the first token alone, which some classes keep beside the language head."""
    return (Linear(name="pooler", bias=True, rows=1, part="other"),)
