"""Models that were never published as a library's class: ELMo, Gopher and Chinchilla, PaLM, Grok-1.

Their fields are those of the papers and of Grok's own `LanguageModelConfig`; only what the sources state is counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deepwide.architecture.composite import Assembly
from deepwide.architecture.extras import Linear, Operation, Vector
from deepwide.architecture.model import Architecture, Branch, Layer, Run, Small, Stack
from deepwide.architecture.parts import TokenEmbedding
from deepwide.errors import BadInput
from deepwide.formats.fields import Fields, read
from deepwide.formats.readers.assembled import assembled
from deepwide.formats.readers.decoder import decoder
from deepwide.formats.readers.layers import attention_heads

CHARACTERS = 50  # of a word, the longest that ELMo reads (max_characters_per_token in its options file)


def relative_positions(c: Fields) -> tuple[Small, ...]:
    """Gopher projects Transformer-XL's relative positions in every layer (arXiv:2112.11446, section 3.1)."""
    heads, head_dim = attention_heads(c)
    return (Linear(name="relative", outputs=heads * head_dim, part="attention"),)


def grok_width(c: Fields) -> Any:
    """Two thirds of `widening_factor` times the hidden size, up to a multiple of 8 (Grok-1's `ffn_size`)."""
    given = c("intermediate_size")
    return given if given is not None else -(-(c.number("widening_factor", 8) * c.number("hidden") * 2 // 3) // 8) * 8


def elmo(c: Fields) -> Architecture:
    """Words from characters by convolutions and highways, then two stacks of LSTMs, one in each direction.

    Peters et al. 2018, arXiv:1802.05365; sizes as in the options file of the published model.
    """
    width, cell = c.number("projection"), c.number("lstm_cell")
    layer = Layer(branches=(Branch(body=lstm(width, cell)),))
    stack = Stack(name="encoder", hidden=width, runs=(Run(layer=layer, layers=c.number("lstm_layers")),), causal=False)
    return assembled(c, stack, vocab=c.number("n_characters"), embedding=words(c, width))


def words(c: Fields, width: Any) -> tuple[Small, ...]:
    """A word's vector: its characters' vectors, convolutions of several widths, highways, a projection."""
    characters = c.number("char_dim")
    filters = [_filter(c, given) for given in c.listed("filters")]
    features = sum(number for _, number in filters)
    parts: list[Small] = [TokenEmbedding(vocab=c.number("n_characters"), width=characters, name="characters")]
    for kernel, number in filters:
        name = f"convolution_{kernel}"
        parts.append(Vector(name=name, shape=(number, characters, kernel), part="embedding"))
        parts.append(Vector(name=f"{name}.bias", shape=(number,), part="embedding"))
        work = characters * kernel
        parts.append(
            Operation(name=name, kind="conv", k=work, n=number * max(1, CHARACTERS - kernel + 1), part="embedding")
        )
    highways = c.number("n_highway", 0)
    parts.append(
        Linear(
            name="highway",
            inputs=features,
            outputs=2 * features,
            bias=True,
            copies=highways,
            active=highways,
            part="embedding",
        )
    )
    return (*parts, Linear(name="projection", inputs=features, outputs=width, bias=True, part="embedding"))


def _filter(c: Fields, given: Any) -> tuple[int, int]:
    """A convolution's kernel and its number of filters."""
    if not isinstance(given, list | tuple) or len(given) != 2:
        raise BadInput(f"{c.where}: filters={given!r} must be a pair [kernel, filters]")
    kernel, number = (c.checked("filters", value) for value in given)
    return kernel, number


def lstm(width: Any, cell: Any) -> Assembly:
    """A projected LSTM in both directions: four gates from input and state, and the state's projection.

    input [width, 4 cell], state [width, 4 cell] with a bias, projection [cell, width]
    """
    both: dict[str, Any] = {"copies": 2, "active": 2, "part": "recurrent"}
    parts = (
        Linear(name="input", inputs=width, outputs=4 * cell, **both),
        Linear(name="state", inputs=width, outputs=4 * cell, bias=True, **both),
        Linear(name="projection", inputs=cell, outputs=width, **both),
    )
    return Assembly(parts=parts, name="lstm")


GOPHER: dict[str, Any] = {
    "reader": decoder,
    "head_dim": read("kv_size", "head_dim"),
    "ffn": read("intermediate_size"),
    "gated": False,
    "attention_bias": "qkvo",
    "ffn_bias": True,
    "positions": "relative",
    "layer_extra": relative_positions,
    "tied": read("tie_word_embeddings", otherwise=True),
}
PALM: dict[str, Any] = {
    "reader": decoder,
    "norm": "layer_no_bias",
    "norms": "parallel",
    "kv_heads": read("num_key_value_heads", otherwise=1),
    "ffn": read("intermediate_size"),
    "tied": read("tie_word_embeddings", otherwise=True),
}
GROK: dict[str, Any] = {
    "reader": decoder,
    "norms": "sandwich",
    "head_dim": read("key_size", "head_dim"),
    "expert_ffn": grok_width,
    "tied": read("tie_word_embeddings", otherwise=True),
}

FAMILIES: dict[str, Mapping[str, Any]] = {
    "custom_gopher": GOPHER,
    "gopher": GOPHER,
    "chinchilla": GOPHER,
    "custom_palm": PALM,
    "palm": PALM,
    "custom_grok1": GROK,
    "grok-1": GROK,
    "custom_elmo": {"reader": elmo},
    "elmo": {"reader": elmo},
}
