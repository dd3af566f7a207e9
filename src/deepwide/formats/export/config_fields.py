"""What the configs of the common families say beside sizes: activations, biases, tying, windows, constants."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

from deepwide.architecture.attention import Attention
from deepwide.architecture.experts import Experts
from deepwide.architecture.extras import Table
from deepwide.architecture.ffn import FeedForward
from deepwide.architecture.model import Architecture
from deepwide.architecture.parts import Head
from deepwide.architecture.sizes import bodies, int_or_none
from deepwide.formats.constants import Constants

Fields = dict[str, Any]
NAMED = {"swish": "silu", "swiglu": "silu", "geglu": "gelu"}  # ours that transformers does not know
EPSILON = {"gpt2": "layer_norm_epsilon", "t5": "layer_norm_epsilon", "bert": "layer_norm_eps"}


def structure_fields(architecture: Architecture, family: str) -> Fields:
    """The fields that say how it is built, as far as the family has any that are known here."""
    fields: Fields = {}
    heads = [part for part in architecture.head if isinstance(part, Head)]
    if heads:
        fields["tie_word_embeddings"] = heads[0].tied
    writer = WRITERS.get(family)
    return fields | (writer(architecture) if writer else {})


def constant_fields(family: str, constants: Constants) -> Fields:
    """The fields that state constants. Scales are the format's own and have none."""
    fields: Fields = {EPSILON.get(family, "rms_norm_eps"): constants.norm_eps}
    if family == "t5":
        return fields | {"relative_attention_max_distance": constants.farthest}
    if family in ("gpt2", "bert"):
        return fields
    fields["rope_theta"] = constants.rotary_base
    scaling = constants.rotary_scaling
    if scaling is not None:
        table: Fields = {"rope_type": scaling.kind, "factor": scaling.factor}
        if scaling.kind == "llama3":
            table |= {"low_freq_factor": scaling.low, "high_freq_factor": scaling.high}
            table |= {"original_max_position_embeddings": scaling.original}
        fields["rope_scaling"] = table
    return fields


def said_of(architecture: Architecture, name: str) -> Any:
    """What the first part of a layer that has such a field says."""
    return next((getattr(body, name) for body in bodies(architecture) if hasattr(body, name)), None)


def _activation(architecture: Architecture) -> str:
    """The function of its networks, as transformers calls it."""
    name = str(said_of(architecture, "activation"))
    return NAMED.get(name, name)


def _attention_bias(architecture: Architecture) -> bool:
    return any(body.bias == "qkvo" for body in bodies(architecture) if isinstance(body, Attention))


def _llama(architecture: Architecture) -> Fields:
    networks = [body for body in bodies(architecture) if isinstance(body, FeedForward | Experts)]
    return {
        "hidden_act": _activation(architecture),
        "attention_bias": _attention_bias(architecture),
        "mlp_bias": any(network.bias for network in networks),
    }


def _mistral(architecture: Architecture) -> Fields:
    return {"hidden_act": _activation(architecture), "sliding_window": int_or_none(said_of(architecture, "window"))}


def _qwen2(architecture: Architecture) -> Fields:
    """Windows of upper layers begin after the last one without."""
    stack = architecture.main
    windowed = [getattr(run.layer.branches[0].body, "window", None) is not None for run in stack.runs]
    if not any(windowed):
        return {"hidden_act": _activation(architecture), "use_sliding_window": False}
    order = stack.order or chain.from_iterable([i] * int(run.layers) for i, run in enumerate(stack.runs))
    first = next(i for i, run in enumerate(order) if windowed[run])
    return {"hidden_act": _activation(architecture), "use_sliding_window": True, "max_window_layers": first}


def _qwen3(architecture: Architecture) -> Fields:
    return _qwen2(architecture) | {"attention_bias": _attention_bias(architecture)}


def _gpt2(architecture: Architecture) -> Fields:
    return {"activation_function": _activation(architecture)}


def _bert(architecture: Architecture) -> Fields:
    types = [int(part.rows) for part in architecture.embedding if isinstance(part, Table) and part.name == "types"]
    causal = {"is_decoder": True} if architecture.main.causal else {}
    return {"hidden_act": _activation(architecture), "type_vocab_size": sum(types), **causal}


def _t5(architecture: Architecture) -> Fields:
    """The layers of the lower stack are num_layers; `gated-gelu` is the gated network with the tanh form of gelu."""
    gated, act = bool(said_of(architecture, "gated")), _activation(architecture)
    word = "gelu" if gated and act == "gelu_new" else act
    tables = [part for stack in architecture.stacks for part in stack.before if isinstance(part, Table)]
    return {
        "num_layers": int(architecture.stacks[0].layers),
        "num_decoder_layers": int(architecture.main.layers),
        "feed_forward_proj": f"gated-{word}" if gated else word,
        "relative_attention_num_buckets": int(tables[0].rows) if tables else None,
        "is_encoder_decoder": True,
    }


WRITERS: dict[str, Callable[[Architecture], Fields]] = {
    "llama": _llama,
    "mistral": _mistral,
    "qwen2": _qwen2,
    "qwen3": _qwen3,
    "gpt2": _gpt2,
    "bert": _bert,
    "t5": _t5,
}
