"""How each format names what the lab's model is made of: one table per format, read in both directions.

A line is our module and theirs, `*` the number of the layer. Modules joined by `+` lie in one tensor of theirs, one
after the other; `turned` says that theirs is stored [inputs, outputs]; `exact` names tensors, not modules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from deepwide.architecture.ffn import FeedForward
from deepwide.architecture.model import Architecture
from deepwide.architecture.parts import Head


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a table."""

    ours: tuple[str, ...]
    theirs: str
    turned: bool = False
    exact: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A format of weights.

    families   model types whose weights are named so
    rows       the table, for an architecture: some have lines that depend on it
    prefix     what names begin with, and some files leave out
    left       endings of tensors that some files hold beside the weights: masks, and heads for other tasks
    older      parts of names as older files have them
    """

    families: tuple[str, ...]
    rows: Callable[[Architecture], tuple[Row, ...]]
    prefix: str = ""
    left: tuple[str, ...] = ()
    older: tuple[tuple[str, str], ...] = ()


def _rows(table: str) -> tuple[Row, ...]:
    rows = []
    for line in table.strip().splitlines():
        ours, theirs, *how = line.split()
        first, *more = ours.split("+")
        beside = first.rpartition(".")[0]
        modules = (first, *(f"{beside}.{name}" for name in more))
        rows.append(Row(ours=modules, theirs=theirs, turned="turned" in how, exact="exact" in how))
    return tuple(rows)


LLAMA = _rows("""
embedding.tokens                             model.embed_tokens
decoder.blocks.*.attention_norm              model.layers.*.input_layernorm
decoder.blocks.*.attention.query             model.layers.*.self_attn.q_proj
decoder.blocks.*.attention.key               model.layers.*.self_attn.k_proj
decoder.blocks.*.attention.value             model.layers.*.self_attn.v_proj
decoder.blocks.*.attention.output            model.layers.*.self_attn.o_proj
decoder.blocks.*.attention.query_norm        model.layers.*.self_attn.q_norm
decoder.blocks.*.attention.key_norm          model.layers.*.self_attn.k_norm
decoder.blocks.*.ffn_norm                    model.layers.*.post_attention_layernorm
decoder.blocks.*.ffn.gate                    model.layers.*.mlp.gate_proj
decoder.blocks.*.ffn.up                      model.layers.*.mlp.up_proj
decoder.blocks.*.ffn.down                    model.layers.*.mlp.down_proj
decoder.final_norm                           model.norm
head.output                                  lm_head
""")
GPT2 = _rows("""
embedding.tokens                             transformer.wte
embedding.positions                          transformer.wpe
decoder.blocks.*.attention_norm              transformer.h.*.ln_1
decoder.blocks.*.attention.query+key+value   transformer.h.*.attn.c_attn    turned
decoder.blocks.*.attention.output            transformer.h.*.attn.c_proj    turned
decoder.blocks.*.ffn_norm                    transformer.h.*.ln_2
decoder.blocks.*.ffn.up                      transformer.h.*.mlp.c_fc       turned
decoder.blocks.*.ffn.down                    transformer.h.*.mlp.c_proj     turned
decoder.final_norm                           transformer.ln_f
head.output                                  lm_head
""")
BERT = _rows("""
embedding.tokens                             bert.embeddings.word_embeddings
embedding.positions                          bert.embeddings.position_embeddings
embedding.types                              bert.embeddings.token_type_embeddings
embedding.norm                               bert.embeddings.LayerNorm
STACK.blocks.*.attention.query               bert.encoder.layer.*.attention.self.query
STACK.blocks.*.attention.key                 bert.encoder.layer.*.attention.self.key
STACK.blocks.*.attention.value               bert.encoder.layer.*.attention.self.value
STACK.blocks.*.attention.output              bert.encoder.layer.*.attention.output.dense
STACK.blocks.*.attention_norm_after          bert.encoder.layer.*.attention.output.LayerNorm
STACK.blocks.*.ffn.up                        bert.encoder.layer.*.intermediate.dense
STACK.blocks.*.ffn.down                      bert.encoder.layer.*.output.dense
STACK.blocks.*.ffn_norm_after                bert.encoder.layer.*.output.LayerNorm
head.transform                               cls.predictions.transform.dense
head.transform_norm                          cls.predictions.transform.LayerNorm
""")
BERT_TIED = _rows("head.output.bias          cls.predictions.bias           exact")
BERT_UNTIED = _rows("""
head.output                                  cls.predictions.decoder
head.spare_bias                              cls.predictions.bias           exact
""")
T5 = _rows("""
embedding.tokens                             shared
encoder.inputs.relative_bias                 encoder.block.0.layer.0.SelfAttention.relative_attention_bias
encoder.blocks.*.attention_norm              encoder.block.*.layer.0.layer_norm
encoder.blocks.*.attention.query             encoder.block.*.layer.0.SelfAttention.q
encoder.blocks.*.attention.key               encoder.block.*.layer.0.SelfAttention.k
encoder.blocks.*.attention.value             encoder.block.*.layer.0.SelfAttention.v
encoder.blocks.*.attention.output            encoder.block.*.layer.0.SelfAttention.o
encoder.blocks.*.ffn_norm                    encoder.block.*.layer.1.layer_norm
encoder.blocks.*.ffn.down                    encoder.block.*.layer.1.DenseReluDense.wo
encoder.final_norm                           encoder.final_layer_norm
decoder.inputs.relative_bias                 decoder.block.0.layer.0.SelfAttention.relative_attention_bias
decoder.blocks.*.attention_norm              decoder.block.*.layer.0.layer_norm
decoder.blocks.*.attention.query             decoder.block.*.layer.0.SelfAttention.q
decoder.blocks.*.attention.key               decoder.block.*.layer.0.SelfAttention.k
decoder.blocks.*.attention.value             decoder.block.*.layer.0.SelfAttention.v
decoder.blocks.*.attention.output            decoder.block.*.layer.0.SelfAttention.o
decoder.blocks.*.cross_attention_norm        decoder.block.*.layer.1.layer_norm
decoder.blocks.*.cross_attention.query       decoder.block.*.layer.1.EncDecAttention.q
decoder.blocks.*.cross_attention.key         decoder.block.*.layer.1.EncDecAttention.k
decoder.blocks.*.cross_attention.value       decoder.block.*.layer.1.EncDecAttention.v
decoder.blocks.*.cross_attention.output      decoder.block.*.layer.1.EncDecAttention.o
decoder.blocks.*.ffn_norm                    decoder.block.*.layer.2.layer_norm
decoder.blocks.*.ffn.down                    decoder.block.*.layer.2.DenseReluDense.wo
decoder.final_norm                           decoder.final_layer_norm
head.output                                  lm_head
""")
T5_PLAIN = _rows("""
encoder.blocks.*.ffn.up                      encoder.block.*.layer.1.DenseReluDense.wi
decoder.blocks.*.ffn.up                      decoder.block.*.layer.2.DenseReluDense.wi
""")
T5_GATED = _rows("""
encoder.blocks.*.ffn.gate                    encoder.block.*.layer.1.DenseReluDense.wi_0
encoder.blocks.*.ffn.up                      encoder.block.*.layer.1.DenseReluDense.wi_1
decoder.blocks.*.ffn.gate                    decoder.block.*.layer.2.DenseReluDense.wi_0
decoder.blocks.*.ffn.up                      decoder.block.*.layer.2.DenseReluDense.wi_1
""")


def is_tied(architecture: Architecture) -> bool:
    """Whether its head is the table of its tokens."""
    return any(part.tied for part in architecture.head if isinstance(part, Head))


def _is_gated(architecture: Architecture) -> bool:
    branches = architecture.main.runs[0].layer.branches
    return any(branch.body.gated for branch in branches if isinstance(branch.body, FeedForward))


def _bert(architecture: Architecture) -> tuple[Row, ...]:
    """BERT's rows; its stack is called decoder where it is causal."""
    rows = (*BERT, *(BERT_TIED if is_tied(architecture) else BERT_UNTIED))
    stack = architecture.main.name
    return tuple(
        Row(ours=tuple(o.replace("STACK", stack) for o in row.ours), theirs=row.theirs, exact=row.exact) for row in rows
    )


FORMATS = (
    Format(
        families=("llama", "mistral", "qwen2", "qwen3"),
        rows=lambda a: LLAMA,
        prefix="model.",
        left=("rotary_emb.inv_freq",),
    ),
    Format(
        families=("gpt2",),
        rows=lambda a: GPT2,
        prefix="transformer.",
        left=("attn.bias", "attn.masked_bias"),
    ),
    Format(
        families=("bert",),
        rows=_bert,
        prefix="bert.",
        left=(
            "embeddings.position_ids",
            "pooler.dense.weight",
            "pooler.dense.bias",
            "seq_relationship.weight",
            "seq_relationship.bias",
            "predictions.decoder.bias",
        ),
        older=((".gamma", ".weight"), (".beta", ".bias")),
    ),
    Format(
        families=("t5",),
        rows=lambda a: (*T5, *(T5_GATED if _is_gated(a) else T5_PLAIN)),
        left=("embed_tokens.weight", "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"),
    ),
)
HEADS = ("lm_head.weight", "cls.predictions.decoder.weight")  # which a tied head is not stored under
FAMILIES = tuple(family for form in FORMATS for family in form.families)
