"""Encoders with a masked-language head: BERT and its kin, post-norm and pre-norm, and the modern ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from deepwide.architecture.composite import Assembly
from deepwide.architecture.extras import Operation, Table, Vector
from deepwide.architecture.ffn import FeedForward
from deepwide.architecture.model import Body, Run, Small
from deepwide.architecture.parts import LAYER_NO_BIAS, Norm, NormLayer
from deepwide.errors import BadInput
from deepwide.formats.families.decoders.classic import all_heads
from deepwide.formats.families.decoders.dense import biased, hidden_over_heads
from deepwide.formats.fields import Fields, read, says
from deepwide.formats.readers.encoder import cross_attention, encoder
from deepwide.formats.readers.layer_lists import listed_kinds
from deepwide.formats.readers.layers import DENSE, FULL, SLIDING, attention, attention_heads


def shared_out(c: Fields, groups: str, name: str) -> Any:
    """Inputs of each of so many groups, which must share them out evenly."""
    number, width = c.positive(groups, 1), c.number(name)
    if width % number:
        raise BadInput(f"{c.where}: {groups}={number} does not divide {c.spelled(name)}={width}")
    return width // number


def shared_layers(c: Fields, runs: tuple[Run, ...]) -> tuple[Run, ...]:
    """ALBERT: few groups of layers, each run again and again; a group may hold several layers of its own."""
    (run,), inner = runs, c.positive("inner_group_num", 1)
    owned = c.positive("num_hidden_groups", 1) * inner
    return (Run(layer=run.layer, layers=run.layers * inner, shared=True, owned=owned),)


def bare_first(c: Fields, runs: tuple[Run, ...]) -> tuple[Run, ...]:
    """ModernBERT: the embedding's norm stands right before the first attention, which has none of its own."""
    if not c("mixer_kinds"):
        return runs
    branch, *others = runs[0].layer.branches
    layer = replace(runs[0].layer, branches=(replace(branch, before=None), *others))
    return (replace(runs[0], layer=layer), *runs[1:])


def modern_kinds(c: Fields) -> list[str] | None:
    """ModernBERT: full attention every third layer, windows between; the first layer is a kind of its own."""
    period = c.positive("global_attn_every_n_layers", 3)
    kinds = listed_kinds(c, "layer_types", lambda i: SLIDING if i % period else FULL)
    return [f"first_{kinds[0]}", *kinds[1:]] if kinds else None


def first_windowed(c: Fields, kind: str) -> Body:
    """ModernBERT's first layer, in configs that give it a window."""
    return attention(c, SLIDING)


def two_sided(c: Fields) -> Any:
    """`local_attention` is the width of the window on both sides together; the token itself comes on top."""
    return 2 * (c.number("local_attention") // 2) + 1


def relative_positions(c: Fields) -> tuple[Small, ...]:
    """MPNet: a bias for each head and bucket of distances, shared by all layers."""
    rows, heads = c.number("relative_attention_num_buckets"), c.number("heads")
    return (Table(name="relative", rows=rows, width=heads, part="position"),)


def task_types(c: Fields) -> tuple[Small, ...]:
    """ERNIE: a table of tasks, where it is used."""
    return (Table(name="tasks", rows=c.number("task_type_vocab_size")),) if c.flag("use_task_id") else ()


def convolved(field: str) -> Mapping[str, Callable[[Fields, str], Body]]:
    """Attention with a short convolution of the values beside it, a kernel for each head, where the field gives one."""

    def mixer(c: Fields, kind: str) -> Body:
        body, width = attention(c, kind), c.maybe(field)
        if width is None:
            return body
        kernel = Vector(name="convolution", shape=(c.number("heads"), 1, width, 1), part="attention")
        work = Operation(name="convolution", kind="conv", k=width, n=c.number("hidden"))
        return Assembly(parts=(body, kernel, work), name="attention")

    return {FULL: mixer}


def half_biased_network(c: Fields, kind: str) -> Body:
    """GTE: gated, with a bias on the way down alone."""
    body = FeedForward(ffn=c.number("ffn"), activation=c.text("activation"))
    return Assembly(parts=(body, Vector(name="down.bias", shape=(c.number("hidden"),), part="ffn")), name="ffn")


def contact_head(c: Fields) -> tuple[Small, ...]:
    """ESM: a regression on every attention map, which the language head does not use."""
    maps = c.number("layers") * c.number("heads")
    return (Vector(name="contacts", shape=(maps, 1)), Vector(name="contacts.bias", shape=(1,)))


def own_keys(c: Fields) -> Any:
    """ESM C has no shared keys, and its norms of queries and keys are as wide as the hidden size."""
    heads, head_dim = attention_heads(c)
    groups = c.number("num_key_value_heads", heads)
    if groups != heads or heads * head_dim != c.number("hidden"):
        raise BadInput(
            f"{c.where}: num_key_value_heads={groups} and head_dim={head_dim} must give {heads} heads that fill "
            f"hidden_size={c.number('hidden')}; leave both out"
        )
    return heads


PLAIN: dict[str, Any] = {
    "reader": encoder,
    "norm": "layer",
    "norms": "post",
    "final_norm": False,
    "head_dim": hidden_over_heads,
    "kv_heads": all_heads,
    "attention_bias": "qkvo",
    "gated": False,
    "ffn_bias": True,
    "spare_bias": True,
}
BERT = {**PLAIN, "cross": cross_attention}
ROTARY = {**PLAIN, "positions": "rotary", "head_dim": read("head_dim")}
PRE_NORM = {"norms": "pre", "final_norm": True}
LLAMA_LIKE = {
    **ROTARY,
    **PRE_NORM,
    "attention_bias": biased("attention_bias", "qkvo"),
    "gated": True,
    "ffn_bias": read("mlp_bias"),
    "types": 0,
    "embedding_norm": False,
    "spare_bias": False,
}

FAMILIES: dict[str, Mapping[str, Any]] = {
    "bert": BERT,
    "roberta": BERT,
    "camembert": BERT,
    "xlm-roberta": BERT,
    "data2vec-text": BERT,
    "ibert": PLAIN,
    "ernie": {**BERT, "embedding_extra": task_types},
    "bert-generation": {**BERT, "types": 0, "head_transform": False},
    "mpnet": {**PLAIN, "types": 0, "embedding_extra": relative_positions},
    "distilbert": {**PLAIN, "types": 0, "ffn": read("hidden_dim"), "spare_bias": False},
    "mra": {**PLAIN, "position_offset": 2},
    "yoso": {**PLAIN, "position_offset": 2, "mixers": convolved("conv_window")},
    "nystromformer": {**PLAIN, "position_offset": 2, "mixers": convolved("conv_kernel_size")},
    "megatron-bert": {**BERT, **PRE_NORM, "embedding_norm": False},
    "xlm-roberta-xl": {**BERT, **PRE_NORM, "embedding_norm": False},
    "roberta-prelayernorm": {**BERT, **PRE_NORM},
    "albert": {**PLAIN, "embedding_width": read("embedding_size"), "always_projected": True, "runs": shared_layers},
    "electra": {**BERT, "embedding_width": read("embedding_size"), "spare_bias": False},
    "roformer": {
        **BERT,
        "embedding_width": read("embedding_size"),
        "positions": "sinusoidal",
        "position_width": lambda c: attention_heads(c)[1],
    },
    "rembert": {
        **BERT,
        "embedding_width": read("input_embedding_size"),
        "always_projected": True,
        "head_width": read("output_embedding_size"),
        "tied": False,
        "spare_bias": False,
    },
    "jina_embeddings_v3": ROTARY,
    "nomic_bert": {
        **ROTARY,
        "attention_bias": "",
        "gated": True,
        "ffn_bias": False,
        "tied": read("tie_word_embeddings", otherwise=True),
    },
    "gte": {**ROTARY, "ffns": {DENSE: half_biased_network}, "spare_bias": False},
    "esm": {
        **BERT,
        **PRE_NORM,
        "positions": lambda c: "learned" if c.text("position_embedding_type") == "absolute" else "rotary",
        "types": 0,
        "embedding_norm": says("emb_layer_norm_before"),
        "spare_bias": False,
        "after": contact_head,
    },
    "esmc": {
        **LLAMA_LIKE,
        "kv_heads": own_keys,
        "qk_norm": "layer_no_bias",
        "qk_norm_over": "width",
        "final_norm": False,
        "after": (NormLayer(norm=LAYER_NO_BIAS, name="final_norm"),),
        "tied": False,
    },
    "eurobert": {
        **LLAMA_LIKE,
        "norm": "rms",
        "kv_heads": read("num_key_value_heads"),
        "head_transform": False,
        "head_bias": says("mlp_bias"),
    },
    "modernbert": {
        **LLAMA_LIKE,
        "norm": lambda c: Norm(kind="layer", bias=c.flag("norm_bias")),
        "head_dim": hidden_over_heads,
        "embedding_norm": True,
        "mixer_kinds": modern_kinds,
        "mixers": {f"first_{SLIDING}": first_windowed},
        "runs": bare_first,
        "window": two_sided,
        "head_transform_bias": says("classifier_bias"),
        "head_norm": lambda c: Norm(kind="layer", bias=c.flag("norm_bias")),
        "head_bias": says("decoder_bias"),
    },
}
