"""A model_config.yaml of LitGPT: the fields of its Config.

Names are those of litgpt/config.py of LitGPT 0.5.11 (https://github.com/Lightning-AI/litgpt). Whether head and table
are tied is an argument of its training there, not a field: `--train.tie_embeddings true`.
"""

from __future__ import annotations

from typing import Any

from deepwide.architecture.model import Architecture
from deepwide.formats.constants import Said
from deepwide.formats.export.plain import GELU, TANH_GELU, Plain, Refusal, biases, gated_by, plain, scalar

ENGINE = "LitGPT"
QK_NORM = {"head": "default", "width": "olmo2"}


def written(architecture: Architecture, said: Said) -> str:
    """The YAML."""
    p, refuse = plain(architecture, said, ENGINE), Refusal(architecture.name, ENGINE)
    fields = {**_size(p), **_norms(p, refuse), **_attention(p, refuse), **_network(p, refuse)}
    tied = "# train with --train.tie_embeddings true\n" if p.tied else ""
    return tied + "".join(f"{name}: {_value(value)}\n" for name, value in fields.items())


def _value(value: Any) -> str:
    """A scalar, or a table in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {scalar(each)}" for name, each in value.items()) + "}"
    return scalar(value)


def _size(p: Plain) -> dict[str, Any]:
    return {
        "name": p.name,
        **({"block_size": p.context} if p.context else {}),
        "n_layer": p.layers,
        "n_embd": p.hidden,
        "vocab_size": p.vocab,
        "padded_vocab_size": p.vocab,
        "parallel_residual": False,
    }


def _norms(p: Plain, refuse: Refusal) -> dict[str, Any]:
    if not p.norm.scale or (p.norm.kind == "layer") != p.norm.bias:
        raise refuse("norms without a gain, or LayerNorms without a bias")
    kind = "RMSNorm" if p.norm.kind == "rms" else "LayerNorm"
    eps = p.said.norm_eps
    return {"norm_class_name": kind, **({} if eps is None else {"norm_eps": eps})}


def _attention(p: Plain, refuse: Refusal) -> dict[str, Any]:
    a = p.attention
    if p.positions != "rotary":
        raise refuse(f"{p.positions} positions")
    fields: dict[str, Any] = {"n_head": a.heads, "head_size": a.head_dim, "n_query_groups": a.kv_heads}
    if a.qk_norm is not None:
        if a.qk_norm != p.norm or a.qk_norm_over not in QK_NORM:
            raise refuse("norms of queries and keys that are not those of the layers")
        fields |= {"norm_qk": True, "norm_qk_type": QK_NORM[a.qk_norm_over]}
    if a.window is not None:
        fields["sliding_window_size"] = a.window
    return {**fields, **_rotary(p, refuse)}


def _rotary(p: Plain, refuse: Refusal) -> dict[str, Any]:
    """Its base is a whole number; linear scaling divides positions by a whole number as well."""
    scaling, base = p.said.rotary_scaling, p.said.rotary_base
    fields: dict[str, Any] = {"rotary_percentage": 1.0, **({} if base is None else {"rope_base": round(base)})}
    if scaling is None:
        return fields
    if scaling.kind == "linear":
        if scaling.factor != round(scaling.factor):
            raise refuse(f"rotary positions stretched {scaling.factor} times")
        return {**fields, "rope_condense_ratio": round(scaling.factor)}
    ramp = {"factor": scaling.factor, "low_freq_factor": scaling.low, "high_freq_factor": scaling.high}
    return {**fields, "rope_adjustments": {**ramp, "original_max_seq_len": scaling.original}}


def _network(p: Plain, refuse: Refusal) -> dict[str, Any]:
    where = biases(p, refuse)
    fields: dict[str, Any] = {"bias": where == "all", "attn_bias": where == "qkv", "intermediate_size": p.network.ffn}
    fields["mlp_class_name"] = _class(p, refuse)
    if p.network.activation in TANH_GELU:
        fields["gelu_approximate"] = "tanh"
    if p.experts is not None:
        fields |= {"moe_intermediate_size": p.experts.ffn, "n_expert": p.experts.experts}
        fields["n_expert_per_token"] = p.experts.active_experts
    return fields


def _class(p: Plain, refuse: Refusal) -> str:
    gated_silu = gated_by(p, "silu", "swish", "swiglu")
    if p.experts is not None:
        if not gated_silu or p.experts.shared is not None:
            raise refuse("shared experts, or ones that are not gated by silu")
        return "LLaMAMoE"
    if gated_silu:
        return "LLaMAMLP"
    if gated_by(p, *GELU, "geglu"):
        return "GemmaMLP"
    if not p.network.gated and p.network.activation in GELU:
        return "GptNeoxMLP"
    raise refuse(f"a {'gated ' if p.network.gated else ''}network with {p.network.activation}")
