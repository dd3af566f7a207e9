"""T5 and its kin: encoder-decoders with RMS norms, no biases, and a relative-position bias on the scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deepwide.architecture.extras import Table
from deepwide.architecture.model import Small
from deepwide.architecture.parts import RMS, NormLayer
from deepwide.errors import BadInput
from deepwide.formats.families.decoders.classic import all_heads
from deepwide.formats.families.decoders.dense import biased
from deepwide.formats.fields import Fields, read, says, short
from deepwide.formats.readers.encoder_decoder import ALL, HEAD, NONE, STACKS, encoder_decoder
from deepwide.formats.readers.layer_lists import by_index, listed_kinds
from deepwide.formats.readers.layers import DENSE, FULL, SLIDING, SPARSE, cross_attention

TRANSIENT = "transient-global"


def tied(c: Fields) -> bool:
    """Whether the head is the token table, as the published weights have it.

    T5 v1.1, Flan-T5, mT5, ByT5 and UL2 say tie_word_embeddings=false and store a head of their own
    (t5x: logits_via_embedding = False). transformers 5 builds a tied one all the same, and saves true.
    """
    if c.raw("tie_word_embeddings") is not False:
        return True
    c.notes.append(
        "tie_word_embeddings=false: the head counts by itself, as published weights store it; transformers 5 ties it"
    )
    return False


def activation(c: Fields) -> str:
    """The last word of feed_forward_proj: `relu`; but `gated-gelu` means the tanh form, as transformers' T5 has it."""
    words = str(c.raw("feed_forward_proj")).split("-")
    if len(words) > 2 or (len(words) == 2 and words[0] != "gated"):
        raise BadInput(f"{c.where}: feed_forward_proj={'-'.join(words)[:40]!r} must be ACTIVATION or gated-ACTIVATION")
    return "gelu_new" if words == ["gated", "gelu"] else words[-1]


def gated(c: Fields) -> bool:
    """Whether the feed-forward network has a gate."""
    return str(c.raw("feed_forward_proj")).startswith("gated")


def decoder_layers(c: Fields) -> Any:
    """As many as the config says, else as the encoder has."""
    own = c.raw("num_decoder_layers")
    return own if isinstance(own, int | float) else c.raw("num_layers", "num_hidden_layers")


def relative_bias(c: Fields) -> tuple[Small, ...]:
    """One number per head for each bucket of distances (arXiv:1910.10683, section 2.1)."""
    buckets, heads = c.number("relative_attention_num_buckets"), c.number("heads")
    return (Table(name="relative_bias", rows=buckets, width=heads, part="position"),)


def long_bias(c: Fields) -> tuple[Small, ...]:
    """LongT5's encoder has a second one for its global tokens, each the sum of a block (arXiv:2112.07916)."""
    kind = c.raw("encoder_attention_type")
    if kind not in ("local", TRANSIENT):
        raise BadInput(f"{c.where}: encoder_attention_type={short(kind)} must be local or {TRANSIENT}")
    (bias,) = relative_bias(c)
    if kind == "local":
        return (bias,)
    assert isinstance(bias, Table)
    return (bias, Table(name="global_relative_bias", rows=bias.rows, width=bias.width, part="position"))


def global_norm(c: Fields) -> tuple[Small, ...]:
    """The norm of the global tokens, in every layer."""
    return (NormLayer(norm=RMS, name="global_norm"),) if c.raw("encoder_attention_type") == TRANSIENT else ()


def sparse_layers(c: Fields) -> list[str] | None:
    """Experts in the second layer of each group; with no sparse layers asked for, the class still makes one."""
    layers, sparse = c.number("layers"), c.number("sparse_layers")
    step = layers // sparse if sparse else layers
    return by_index(c, lambda i: SPARSE if step == 1 or (step and i % step == 1) else DENSE)


def alternating(c: Fields) -> list[str] | None:
    """Sliding and full attention in turn, unless the config lists the layers."""
    return listed_kinds(c, "layer_types", lambda i: FULL if i % 2 else SLIDING)


ENCODER = {"layers": read("num_layers", "num_hidden_layers")}
DECODER = {"layers": decoder_layers, "cross": cross_attention}

FAMILIES: dict[str, Mapping[str, Any]] = {
    "t5": {
        "reader": encoder_decoder,
        "hidden": read("d_model", "hidden_size"),
        "heads": read("num_heads", "num_attention_heads"),
        "kv_heads": all_heads,
        "head_dim": read("d_kv", "head_dim"),
        "ffn": read("d_ff"),
        "gated": gated,
        "activation": activation,
        "attention_bias": "",
        "ffn_bias": False,
        "positions": "relative",
        "embedding_extra": relative_bias,
        "tied": tied,
        "sharing": says("tied", ALL, STACKS),
        "encoder": ENCODER,
        "decoder": DECODER,
    },
    "mt5": {"like": "t5"},
    "umt5": {"like": "t5", "embedding_extra": (), "layer_extra": relative_bias},
    "longt5": {
        "like": "t5",
        "encoder": {
            **ENCODER,
            "window": lambda c: 2 * c.number("local_radius") + 1,
            "window_everywhere": True,
            "embedding_extra": long_bias,
            "layer_extra": global_norm,
        },
    },
    "switch_transformers": {
        "like": "t5",
        "gated": False,
        "activation": read("dense_act_fn"),
        "active_experts": 1,
        "router_bias": read("router_bias"),
        "ffn_kinds": sparse_layers,
        "tied": read("tie_word_embeddings"),
        "sharing": says("tied", ALL, NONE),
        "idle_table": True,
        "encoder": {**ENCODER, "sparse_layers": read("num_sparse_encoder_layers")},
        "decoder": {**DECODER, "sparse_layers": read("num_sparse_decoder_layers")},
    },
    "t5gemma": {
        "reader": encoder_decoder,
        "nested": True,
        "norms": "sandwich",
        "attention_bias": biased("attention_bias", "qkvo"),
        "mixer_kinds": alternating,
        "sharing": says("tied", HEAD, NONE),
        "encoder": {},
        "decoder": {"cross": cross_attention},
    },
}
