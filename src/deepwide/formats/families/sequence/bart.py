"""BART and its kin: encoder-decoders with plain feed-forward networks and layer norms, and their decoder halves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deepwide.architecture.extras import Convolution, Linear, Operation, Table
from deepwide.architecture.model import Small
from deepwide.architecture.parts import LAYER, NormLayer, Positions
from deepwide.errors import BadInput
from deepwide.formats.families.decoders.classic import all_heads
from deepwide.formats.families.decoders.dense import biased
from deepwide.formats.fields import Fields, read, says
from deepwide.formats.readers.encoder_decoder import ALL, HEAD, NONE, encoder_decoder, halves
from deepwide.formats.readers.layer_lists import by_index
from deepwide.formats.readers.layers import DENSE, SPARSE, cross_attention


def reads_both(c: Fields) -> bool:
    """Whether both stacks are read."""
    return len(halves(c)) == 2


def marian_sharing(c: Fields) -> str:
    """Marian: one table for everything, or, where source and target have own words, the head with the decoder's."""
    if not c.flag("tied"):
        return NONE
    return ALL if c.raw("share_encoder_decoder_embeddings") is True else HEAD


def marian_target(c: Fields) -> Any:
    """Marian: the decoder's own vocabulary, where it has one."""
    return c.raw("decoder_vocab_size") if isinstance(c.raw("decoder_vocab_size"), int) else c.raw("vocab_size")


def marian_shared(c: Fields) -> Any:
    """Marian: the vocabulary of the decoder's table: the source's where both stacks share it."""
    shared = reads_both(c) and c.raw("share_encoder_decoder_embeddings") is True and c.flag("tied")
    return c.raw("vocab_size") if shared else marian_target(c)


def marian_head(c: Fields) -> Any:
    """Marian: the vocabulary of the head."""
    if "vocab" in c.changes:
        return c.changes["vocab"]
    own = reads_both(c) and c.raw("share_encoder_decoder_embeddings") is not True
    return marian_target(c) if own else c.raw("vocab_size")


def prompts(c: Fields) -> tuple[Small, ...]:
    """MVP's prompts: vectors that two matrices turn into keys and values for every layer, once per batch."""
    if c.raw("use_prompt") is not True or not reads_both(c):
        return ()
    c.notes.append(
        "use_prompt: only the decoder's prompts, as transformers 5 builds them; published weights have the encoder's"
    )
    length, middle = c.number("prompt_length"), c.number("prompt_mid_dim")
    outputs = c.number("layers") * 2 * c.number("hidden")
    parts: list[Small] = []
    for name in ("self_prompt", "cross_prompt"):
        parts.append(Table(name=name, rows=length))
        parts.append(Linear(name=f"{name}_in", outputs=middle, bias=True, rows=length))
        parts.append(Linear(name=f"{name}_out", inputs=middle, outputs=outputs, bias=True, rows=length))
    return tuple(parts)


def led_window(c: Fields) -> Any:
    """The widest window of LED's encoder, given once or layer by layer."""
    given = c.raw("attention_window")
    if not isinstance(given, list):
        return given
    layers = c.number("layers")
    if not given or (isinstance(layers, int) and len(given) != layers):
        raise BadInput(f"{c.where}: attention_window has {len(given)} entries for {layers} layers")
    return max(c.checked("attention_window", width) for width in given)


def bigbird_window(c: Fields) -> Any:
    """Keys in a query's view: 3 blocks around it, the first and the last, and some at random (arXiv:2007.14062)."""
    if c.raw("attention_type") != "block_sparse":
        return None
    return (c.number("num_random_blocks") + 5) * c.number("block_size")


def sparse_step(c: Fields) -> list[str] | None:
    """Experts in every so many layers, the last of each group; none where the step is 0."""
    step = c.number("sparse_step")
    return by_index(c, lambda i: SPARSE if step and (i + 1) % step == 0 else DENSE)


def spectrogram(c: Fields) -> tuple[Small, ...]:
    """Whisper's ears: two convolutions over the spectrogram, of which the second halves its length, and positions.

    The first has two outputs for each token of the encoder: one is the convolution's own work, the other stands beside.
    """
    hidden, bands = c.number("hidden"), c.number("num_mel_bins")
    return (
        Convolution(name="conv_1", channels=hidden, kernel=3, inputs_per_group=bands, bias=True, part="embedding"),
        Operation(name="conv_1", kind="conv", k=3 * bands, n=hidden, part="embedding"),
        Convolution(name="conv_2", channels=hidden, kernel=3, inputs_per_group=hidden, bias=True, part="embedding"),
        Positions(kind="sinusoidal", rows=c.number("max_source_positions")),
    )


def ngram_bias(c: Fields) -> tuple[Small, ...]:
    """ProphetNet's relative positions: a matrix [hidden, buckets * heads] in each layer."""
    outputs = c.number("num_buckets") * c.number("heads")
    return (Linear(name="relative_bias", outputs=outputs, bias=True, part="position"),)


def ngram_table(c: Fields) -> tuple[Small, ...]:
    """ProphetNet's start of each stream that predicts further ahead."""
    c.notes.append("the decoder's work is that of one stream of tokens; ProphetNet runs 1 + ngram of them side by side")
    return (Table(name="ngram", rows=c.number("ngram")),)


# LED's second set of projections, for the tokens that see everything; one such token asks.
GLOBAL = (
    Linear(name="global_query", bias=True, part="attention", split="column", rows=1),
    Linear(name="global_key", bias=True, part="attention", split="column"),
    Linear(name="global_value", bias=True, part="attention", split="column"),
)

ENCODER = {
    "layers": read("encoder_layers", "num_hidden_layers"),
    "heads": read("encoder_attention_heads", "num_attention_heads"),
    "ffn": read("encoder_ffn_dim"),
}
DECODER = {
    "layers": read("decoder_layers"),
    "heads": read("decoder_attention_heads"),
    "ffn": read("decoder_ffn_dim"),
    "cross": cross_attention,
}
BART = {
    "reader": encoder_decoder,
    "hidden": read("d_model", "hidden_size"),
    "head_dim": None,
    "kv_heads": all_heads,
    "norm": "layer",
    "norms": "post",
    "final_norm": False,
    "gated": False,
    "attention_bias": "qkvo",
    "ffn_bias": True,
    "positions": "learned",
    "sharing": says("tied", ALL, NONE),
    "idle_table": reads_both,
    "encoder": ENCODER,
    "decoder": DECODER,
}

FAMILIES: dict[str, Mapping[str, Any]] = {
    "bart": {**BART, "position_offset": 2, "embedding_norm": True},
    "plbart": {"like": "bart"},
    "mbart": {"like": "bart", "norms": "pre", "final_norm": True},
    "mvp": {"like": "bart", "decoder": {**DECODER, "embedding_extra": prompts}},
    "blenderbot": {**BART, "norms": "pre", "final_norm": True},
    "blenderbot-small": {**BART, "embedding_norm": True},
    "pegasus": {**BART, "positions": "sinusoidal", "norms": "pre", "final_norm": True},
    "m2m_100": {"like": "pegasus", "stored_positions": False},
    "nllb-moe": {
        "like": "m2m_100",
        "active_experts": 2,
        "expert_bias": True,
        "router_bias": read("router_bias"),
        "ffn_kinds": sparse_step,
        "encoder": {**ENCODER, "sparse_step": read("encoder_sparse_step")},
        "decoder": {**DECODER, "sparse_step": read("decoder_sparse_step")},
    },
    "pegasus_x": {
        "like": "m2m_100",
        "attention_bias": "",
        "encoder": {
            **ENCODER,
            "window": lambda c: c.number("block_size") + c.number("num_global_tokens"),
            "window_everywhere": True,
            "embedding_extra": lambda c: (Table(name="global", rows=c.number("num_global_tokens")),),
            "layer_extra": (NormLayer(norm=LAYER, name="global_norm"),),
        },
    },
    "bigbird_pegasus": {
        **BART,
        "norms": "pre",
        "final_norm": True,
        "attention_bias": biased("use_bias", "qkvo"),
        # The decoder alone leaves its head untied whatever the config says.
        "sharing": lambda c: ALL if c.flag("tied") and reads_both(c) else NONE,
        "encoder": {**ENCODER, "window": bigbird_window, "window_everywhere": True},
    },
    "marian": {
        **BART,
        "positions": "sinusoidal",
        "sharing": marian_sharing,
        "idle_table": lambda c: reads_both(c) and c.raw("share_encoder_decoder_embeddings") is True,
        "decoder": {**DECODER, "vocab": marian_shared, "head_vocab": marian_head},
    },
    "fsmt": {
        **BART,
        "positions": "sinusoidal",
        "position_offset": lambda c: c.number("pad_token_id", 1) + 1,
        "idle_table": False,
        "encoder": {**ENCODER, "vocab": read("src_vocab_size")},
        "decoder": {**DECODER, "vocab": read("tgt_vocab_size", "vocab_size")},
    },
    "led": {
        **BART,
        "embedding_norm": True,
        "context": read("max_encoder_position_embeddings"),
        "encoder": {**ENCODER, "window": led_window, "window_everywhere": True, "layer_extra": GLOBAL},
        "decoder": {**DECODER, "position_rows": read("max_decoder_position_embeddings")},
    },
    "trocr": {
        **BART,
        "positions": lambda c: "learned" if c.raw("use_learned_position_embeddings") is True else "sinusoidal",
        "position_offset": 2,
        "stored_positions": read("use_learned_position_embeddings"),
        "embedding_norm": read("layernorm_embedding"),
        "encoder": None,
        "decoder": {
            **DECODER,
            "layers": read("decoder_layers", "num_hidden_layers"),
            "heads": read("decoder_attention_heads", "num_attention_heads"),
            "keys_width": read("cross_attention_hidden_size"),
        },
    },
    "whisper": {
        **BART,
        "norms": "pre",
        "final_norm": True,
        "attention_bias": "qvo",
        "context": read("max_target_positions"),
        "idle_table": False,
        "sharing": says("tied", HEAD, NONE),
        "encoder": {**ENCODER, "inputs": spectrogram, "stack_tokens": read("max_source_positions")},
        "decoder": {**DECODER, "key_rows": read("max_source_positions")},
    },
    "prophetnet": {
        **BART,
        "embedding_norm": True,
        "idle_table": True,
        "encoder": {
            "layers": read("num_encoder_layers"),
            "heads": read("num_encoder_attention_heads", "num_attention_heads"),
            "ffn": read("encoder_ffn_dim"),
        },
        "decoder": {
            "layers": read("num_decoder_layers"),
            "heads": read("num_decoder_attention_heads"),
            "ffn": read("decoder_ffn_dim"),
            "cross": lambda c: cross_attention(c) if c.raw("add_cross_attention") is True else None,
            "embedding_extra": ngram_table,
            "layer_extra": ngram_bias,
        },
    },
}
