"""The generic decoder: most language models, dense or mixture of experts, any norm, position and mix of layer kinds.

Questions to a family's rule, beside those of the layers:

    causal                      whether a token sees only earlier ones; yes unless said otherwise
    positions                   a kind of Positions; stored_positions says whether a computed table is a parameter
    position_rows               rows of the table where they are not the context; position_offset comes on top
    embedding_vocab, head_vocab   tokens of the table and of the head where they are not the vocabulary
    embedding_width             width of token vectors where it is not the hidden size
    embedding_norm, final_norm  a norm after the embedding; one after the last layer, which there is by default
    embedding_extra, after, head_extra   parts that stand behind the embedding, after the layers, before the head
    head_bias                   whether the head has one
"""

from __future__ import annotations

from deepwide.architecture.model import Architecture, Small, Stack
from deepwide.architecture.parts import Head, NormLayer, Positions, TokenEmbedding
from deepwide.errors import BadInput
from deepwide.formats.fields import Fields
from deepwide.formats.readers.assembled import assembled, note_other_head
from deepwide.formats.readers.layers import final_norm, kept, layer_runs, norm, own
from deepwide.units import Num

TABLES = ("learned", "sinusoidal")  # positions that are rows of a table


def decoder(c: Fields) -> Architecture:
    """A stack of decoder layers between an embedding and an output head."""
    named = c.text("architecture")
    note_other_head(c, named.endswith(("Model", "Classification")) and not named.endswith("LMHeadModel"))
    causal = c.flag("causal", True)
    stack = decoder_stack(c, name="decoder" if causal else "encoder", causal=causal)
    return assembled(c, stack, embedding=embedding(c), head=head(c))


def decoder_stack(c: Fields, name: str = "decoder", causal: bool = True) -> Stack:
    """The layers, with the final norm."""
    runs, order = layer_runs(c)
    after = (NormLayer(norm=norm(c), name="final_norm"),) if final_norm(c) else ()
    return Stack(
        name=name, hidden=c.number("hidden"), runs=runs, order=order, after=(*after, *c("after", ())), causal=causal
    )


def embedding(c: Fields) -> tuple[Small, ...]:
    """Token vectors, stored positions, and a norm or projection where the family has one."""
    parts: list[Small] = [
        TokenEmbedding(vocab=c.number("embedding_vocab", c.number("vocab")), width=c.maybe("embedding_width"))
    ]
    kind = c.text("positions", "rotary")
    if chosen := chosen_positions(c, "rotary"):
        parts.append(chosen)
    elif kind in TABLES:
        rows = c.number("position_rows", c("context")) + c.number("position_offset", 0)
        parts.append(Positions(kind=kind, rows=rows, stored=c.flag("stored_positions", True)))
    else:
        parts.append(Positions(kind=kind))
    if c.flag("embedding_norm"):
        parts.append(NormLayer(norm=norm(c), name="norm"))
    parts.extend(kept(c, c("embedding_extra", ())))
    return tuple(parts)


def chosen_positions(c: Fields, usual: str, width: Num | None = None) -> Positions | None:
    """The positions that the user chose against the family's own, which are `usual` unless it says so; else None.

    A table has a row for each token of the context; a computed one is no parameter.
    """
    if "positions" not in c.changes or (family := own(c, "positions", usual)) == (kind := c.text("positions")):
        return None
    if family not in (*TABLES, "rotary", "alibi", "none") and not _tables_alone(c):
        raise BadInput(f"{c.where}: positions={kind} cannot be: this family's {family} positions are in its attention")
    if kind not in TABLES:
        return Positions(kind=kind)
    if c.maybe("context") is None:
        raise BadInput(f"{c.where}: positions={kind} needs a context; add for instance context=1024")
    if not c.has("context"):
        c.notes.append(f"context={c('context')} assumed: the family's own")
    return Positions(kind=kind, rows=c.positive("context"), width=width, stored=False)


def _tables_alone(c: Fields) -> bool:
    """Whether the family's relative positions are tables beside its layers, which can be left out."""
    extra = (c(name, ()) for name in ("embedding_extra", "layer_extra"))
    return any(getattr(small, "part", "") == "position" for parts in extra if not callable(parts) for small in parts)


def head(c: Fields) -> tuple[Small, ...]:
    """The output head, tied to the embedding or not."""
    output = Head(
        vocab=c.number("head_vocab", c("vocab")),
        width=c.maybe("embedding_width"),
        tied=c.flag("tied"),
        bias=c.flag("head_bias"),
    )
    return (*c("head_extra", ()), output)
