"""The `model_config` of a nanotron run, as YAML: its Llama, or its Qwen 2 where the shape needs it.

Names are those of src/nanotron/config/models_config.py of nanotron 0.4 (https://github.com/huggingface/nanotron).
"""

from __future__ import annotations

from typing import Any

from deepwide.architecture.model import Architecture
from deepwide.formats.constants import Said
from deepwide.formats.export.plain import Plain, Refusal, biases, gated_by, plain, scalar

ENGINE = "nanotron"


def written(architecture: Architecture, said: Said) -> str:
    """The YAML, under the keys where a run's config has it."""
    p, refuse = plain(architecture, said, ENGINE), Refusal(architecture.name, ENGINE)
    _refuse(p, refuse)
    lines = "".join(f"    {name}: {scalar(value)}\n" for name, value in _fields(p, refuse).items())
    return f"model:\n  model_config:\n{lines}"


def _refuse(p: Plain, refuse: Refusal) -> None:
    if p.experts is not None:
        raise refuse("this mixture of experts")
    if p.norm.kind != "rms" or not p.norm.scale or not gated_by(p, "silu", "swish", "swiglu"):
        raise refuse("anything but RMS norms and a network gated by silu")
    if p.positions != "rotary" or p.attention.qk_norm is not None:
        raise refuse("positions that are not rotary, or norms of queries and keys")
    if not p.joined:
        raise refuse(f"head_dim={p.attention.head_dim} with {p.attention.heads} heads over hidden={p.hidden}")
    if p.said.rotary_scaling is not None:
        raise refuse("stretched rotary positions")


def _fields(p: Plain, refuse: Refusal) -> dict[str, Any]:
    """A bias of queries, keys and values, and a window, are what its Qwen 2 has beyond its Llama."""
    where = biases(p, refuse)
    if where == "all":
        raise refuse("biases of every matrix")
    is_qwen = bool(where) or p.attention.window is not None
    return {
        "is_qwen2_config" if is_qwen else "is_llama_config": True,
        "hidden_act": "silu",
        "hidden_size": p.hidden,
        "intermediate_size": p.network.ffn,
        **({"max_position_embeddings": p.context} if p.context else {}),
        "num_attention_heads": p.attention.heads,
        "num_hidden_layers": p.layers,
        "num_key_value_heads": p.attention.kv_heads,
        **({} if p.said.norm_eps is None else {"rms_norm_eps": p.said.norm_eps}),
        **({} if p.said.rotary_base is None else {"rope_theta": p.said.rotary_base}),
        "rope_interleaved": False,
        "tie_word_embeddings": p.tied,
        "vocab_size": p.vocab,
        **({"attention_bias": bool(where)} if is_qwen else {}),
        **({"sliding_window_size": p.attention.window} if p.attention.window is not None else {}),
    }
