"""Models without attention: Mamba, Mamba-2, Falcon Mamba, RWKV-4, xLSTM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deepwide.architecture.composite import Assembly
from deepwide.architecture.extras import Linear, Vector
from deepwide.architecture.ffn import FeedForward
from deepwide.architecture.linear import MatrixLSTM
from deepwide.architecture.parts import RMS, Norm, NormLayer
from deepwide.architecture.recurrent import Mamba, Mamba2, TimeMix
from deepwide.errors import BadInput
from deepwide.formats.fields import Fields, read, short
from deepwide.formats.readers.decoder import decoder
from deepwide.formats.readers.layers import DENSE, FULL
from deepwide.formats.readers.recurrent_mixers import divides, mamba, mamba2, no_ffn


def time_mix(c: Fields, kind: str) -> TimeMix:
    """RWKV's mixing over time, as wide as the hidden size unless given."""
    return TimeMix(inner=c.number("attention_hidden_size", c.number("hidden")))


def channel_mix(c: Fields, kind: str) -> Assembly:
    """RWKV's mixing over channels: a squared network, gated by a projection of its own input."""
    network = FeedForward(ffn=c.number("ffn", 4 * c.number("hidden")), gated=False, activation="relu2")
    mixes = tuple(Vector(name=f"{role}_mix", shape=(c.number("hidden"),), part="ffn") for role in ("key", "receptance"))
    return Assembly(parts=(network, Linear(name="receptance", part="ffn", split="column"), *mixes), name="ffn")


def matrix_lstm(c: Fields, kind: str) -> MatrixLSTM:
    """xLSTM's mixer: keys and values are shares of the hidden size."""
    key_width, value_width = scaled(c, "qk_dim_factor"), scaled(c, "v_dim_factor")
    divides(c, "heads", key_width, "width of the keys")
    return MatrixLSTM(
        heads=divides(c, "heads", value_width, "width of the values"),
        key_width=key_width,
        value_width=value_width,
        chunk=max(1, c.number("chunk_size", 64)),
        bias=c.flag("use_bias"),
    )


def scaled(c: Fields, name: str) -> Any:
    """The hidden size times a factor, cut to a whole number."""
    return whole(c.number("hidden") * c.ratio(name, most=MOST_TIMES))


def whole(value: Any) -> Any:
    """A positive number, or an array of them, without its fraction."""
    return value // 1 if hasattr(value, "dtype") else int(value)


def xlstm_ffn(c: Fields) -> Any:
    """xLSTM's feed-forward width: a factor of the hidden size, rounded up to a multiple."""
    multiple = max(1, c.number("ffn_round_up_to_multiple_of", 64))
    return whole(
        (c.number("hidden") * c.ratio("ffn_proj_factor", most=MOST_TIMES) + multiple - 1) // multiple * multiple
    )


def xlstm_layers(c: Fields) -> Any:
    """xLSTM's layers, under either of two names."""
    return c("num_blocks", c("num_hidden_layers"))


def xlstm_hidden(c: Fields) -> Any:
    """xLSTM's hidden size, under either of two names, which must agree."""
    embedding, hidden = c("embedding_dim"), c("hidden_size")
    if embedding is not None and hidden is not None and embedding != hidden:
        raise BadInput(f"{c.where}: embedding_dim={short(embedding)} must be hidden_size={short(hidden)}")
    return embedding if hidden is None else hidden


MOST_TIMES = 1000  # how many times the hidden size a width may be
# A stack of mixers with nothing between them but the residual stream.
PURE = {"reader": decoder, "positions": "none", "ffns": {DENSE: no_ffn}}
STATES = {
    **PURE,
    "state": read("state_size"),
    "kernel": read("conv_kernel"),
    "state_bias": read("use_bias"),
    "conv_bias": read("use_conv_bias"),
}


def padded_vocab(c: Fields) -> Any:
    """The authors' own Mamba configs round the vocabulary up to a multiple."""
    multiple = max(1, c.number("pad_vocab_size_multiple", 8))
    return -(-c.number("vocab_size") // multiple) * multiple


def published_state(c: Fields, kind: str) -> Mamba | Mamba2:
    """A block of the authors' own configs, which keep its settings in `ssm_cfg`; defaults as in their code."""
    if c("attn_layer_idx"):
        raise BadInput(f"{c.where}: attn_layer_idx is not read; only layers of state spaces are described")
    given = c.inside("ssm_cfg", rule={})
    width, second = c.number("hidden"), given.text("layer", "Mamba1") == "Mamba2"
    channels = given.number("expand", 2) * width
    state, kernel = given.number("d_state", 128 if second else 16), given.number("d_conv", 4)
    if not second:
        rank = given("dt_rank", "auto")
        step_rank = (width + 15) // 16 if rank == "auto" else given.checked("dt_rank", rank)
        return Mamba(inner=channels, state=state, kernel=kernel, step_rank=step_rank)
    heads = channels // max(1, given.number("headdim", 64))
    return Mamba2(inner=channels, heads=heads, state=state, groups=given.number("ngroups", 1), kernel=kernel)


FAMILIES: dict[str, Mapping[str, Any]] = {
    "mamba": {
        **STATES,
        "mixers": {FULL: mamba},
        "inner": read("intermediate_size"),
        "step_rank": read("time_step_rank"),
    },
    "falcon_mamba": {"like": "mamba"},
    "mamba_ssm": {
        **STATES,
        "vocab": padded_vocab,
        "tied": read("tie_embeddings", otherwise=True),
        "mixers": {FULL: published_state},
    },
    "mamba2": {
        **STATES,
        "mixers": {FULL: mamba2},
        "state_heads": read("num_heads"),
        "state_head_dim": read("head_dim"),
        "groups": read("n_groups"),
        "chunk": read("chunk_size"),
    },
    "rwkv": {
        "reader": decoder,
        "positions": "none",
        "norm": "layer",
        "embedding_norm": True,
        "mixers": {FULL: time_mix},
        "ffns": {DENSE: channel_mix},
        "context": read("context_length"),
    },
    "xlstm": {
        "reader": decoder,
        "positions": "none",
        "layers": xlstm_layers,
        "hidden": xlstm_hidden,
        "norm": lambda c: Norm(bias=c.flag("use_bias")),
        "final_norm": False,
        "after": (NormLayer(norm=RMS, name="final_norm"),),
        "mixers": {FULL: matrix_lstm},
        "ffn": xlstm_ffn,
        "ffn_bias": read("use_bias"),
        "tied": False,
    },
}
