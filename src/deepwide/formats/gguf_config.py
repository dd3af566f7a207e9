"""The config.json that a GGUF file stands for: its metadata and tensors, in the words of published configs.

A GGUF names its family in llama.cpp's own word (`general.architecture`) and its sizes under keys that begin with it.
What the keys leave out, the tensors say: whether the head is tied, which projections have a bias, which layers hold
experts, how many words the vocabulary has. (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from deepwide.architecture.model import Architecture
from deepwide.errors import BadInput
from deepwide.formats.gguf import Skipped
from deepwide.formats.huggingface import read_config
from deepwide.formats.tensors import Container, shown

FULL, SLIDING = "full_attention", "sliding_attention"
# Where llama.cpp's word for a family is not the model type of its config.
MODEL_TYPES: Mapping[str, str] = {
    "chatglm": "glm",
    "command-r": "cohere",
    "deepseek2": "deepseek_v2",
    "ernie4_5-moe": "ernie4_5_moe",
    "exaone-moe": "exaone_moe",
    "falcon-h1": "falcon_h1",
    "gemma-embedding": "gemma3_text",
    "gemma3": "gemma3_text",
    "glm4moe": "glm4_moe",
    "gpt-oss": "gpt_oss",
    "gptneox": "gpt_neox",
    "granitehybrid": "granitemoehybrid",
    "hunyuan-dense": "hunyuan_v1_dense",
    "hunyuan-moe": "hunyuan_v1_moe",
    "lfm2moe": "lfm2_moe",
    "llama4": "llama4_text",
    "minimax-m2": "minimax_m2",
    "mistral3": "ministral3",
    "modern-bert": "modernbert",
    "nomic-bert": "nomic_bert",
    "phi2": "phi",
    "qwen2moe": "qwen2_moe",
    "qwen3moe": "qwen3_moe",
    "qwen3next": "qwen3_next",
    "starcoder": "gpt_bigcode",
    "t5encoder": "t5",
}
HEADLESS = ("bert", "nomic-bert", "modern-bert", "gemma-embedding")  # converted without the language head
# A field of a config -> the key of the metadata, after "ARCHITECTURE.".
KEYS: Mapping[str, str] = {
    "num_hidden_layers": "block_count",
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length",
    "sliding_window": "attention.sliding_window",
    "max_position_embeddings": "context_length",
    "vocab_size": "vocab_size",
    "num_local_experts": "expert_count",
    "num_experts_per_tok": "expert_used_count",
    "moe_intermediate_size": "expert_feed_forward_length",
    "shared_expert_intermediate_size": "expert_shared_feed_forward_length",
    "n_shared_experts": "expert_shared_count",
    "first_k_dense_replace": "leading_dense_block_count",
}
# Fields by which families say that projections have biases or that queries and keys are normed -> the tensor.
FLAGS: Mapping[str, str] = {
    **dict.fromkeys(("attention_bias", "qkv_bias", "use_qkv_bias", "use_bias", "bias"), "attn_q.bias"),
    "mlp_bias": "ffn_up.bias",
    **dict.fromkeys(("use_qk_norm", "qk_layernorm"), "attn_q_norm.weight"),
}
SIGMOID = 2  # the expert_gating_func by which DeepSeek-V3 differs from V2
_BLOCK = re.compile(r"(?:(?:enc|dec)\.)?blk\.(\d+)\.(.+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What a GGUF says: sizes under short keys, shapes of tensors, and the layers in which a tensor occurs."""

    architecture: str
    metadata: Mapping[str, object]
    shapes: Mapping[str, tuple[int, ...]]
    layers: Mapping[str, frozenset[int]]

    def __contains__(self, tensor: str) -> bool:
        """Whether some layer has a tensor of that name."""
        return tensor in self.layers

    def __call__(self, key: str, otherwise: Any = None) -> Any:
        """A whole number of the metadata, or one for each layer where they differ; `otherwise` where it is absent."""
        name = f"{self.architecture}.{key}"
        value = self.metadata.get(name)
        return otherwise if value is None else _whole(name, value)

    def rows(self, tensor: str) -> int | None:
        """The length of the first dimension of a tensor, in the first layer that has one of that name."""
        shape = self.shapes.get(tensor) or next((s for n, s in self.shapes.items() if n.endswith(f".{tensor}")), ())
        return shape[0] if shape else None


def architecture(container: Container, config: Mapping[str, object], where: str) -> Architecture:
    """The architecture that a GGUF describes; `config` is what `as_config` made of it."""
    found = read_config(config, where=where)
    if container.metadata.get("general.architecture") in HEADLESS:
        return replace(found, head=(), notes=(*found.notes, "an encoder without a language head, as such files are"))
    return found


def as_config(container: Container) -> dict[str, object]:
    """The fields of a config; `model_type` is an architecture that is not known here, as it stands."""
    file = _described(container)
    config: dict[str, object] = {"model_type": MODEL_TYPES.get(file.architecture, file.architecture)}
    config |= {field: value for field, key in KEYS.items() if (value := file(key)) is not None}
    config |= {field: tensor in file for field, tensor in FLAGS.items()}
    config["tie_word_embeddings"] = "output.weight" not in file.shapes
    config |= _completed(file, config)
    config |= OWN[file.architecture](file, config) if file.architecture in OWN else {}
    return config


def _described(container: Container) -> Described:
    """The names of a container, sorted by layer. A tensor of queries, keys and values together is each of them."""
    word = container.metadata.get("general.architecture")
    if not isinstance(word, str) or not word:
        raise BadInput(f"general.architecture={shown(word)} must name the model's family; give its config.json")
    layers: dict[str, set[int]] = {}
    for tensor in container.tensors:
        if found := _BLOCK.fullmatch(tensor.name):
            layers.setdefault(found[2].replace("attn_qkv", "attn_q"), set()).add(int(found[1]))
    return Described(
        architecture=word,
        metadata=container.metadata,
        shapes={tensor.name: tensor.shape for tensor in container.tensors},
        layers={name: frozenset(found) for name, found in layers.items()},
    )


def _whole(key: str, value: object) -> int | tuple[int, ...]:
    """A whole number of at least 0, or one for each layer where they differ; layers without any do not count."""
    values = value if isinstance(value, tuple) else (value,)
    whole = tuple(v for v in values if type(v) is int and v >= 0)
    if not whole or len(whole) != len(values):
        raise BadInput(f"{key}={shown(value)} must be a whole number, or one for each layer; give the config.json")
    distinct = set(whole) - {0} or {0}
    return whole if len(distinct) > 1 else distinct.pop()


def _completed(file: Described, config: Mapping[str, object]) -> dict[str, object]:
    """What the metadata may leave out, and what the tensors know better: vocabulary, positions, experts by layer."""
    fields: dict[str, object] = {}
    words = file.metadata.get("tokenizer.ggml.tokens")
    vocab = file.rows("token_embd.weight") or config.get("vocab_size")
    fields["vocab_size"] = words.length if vocab is None and isinstance(words, Skipped) else vocab
    if rows := file.rows("position_embd.weight"):
        fields["max_position_embeddings"] = rows
    fields["type_vocab_size"] = file.rows("token_types.weight") or 0
    heads, hidden, layers = (config.get(k) for k in ("num_attention_heads", "hidden_size", "num_hidden_layers"))
    fields["num_key_value_heads"] = config.get("num_key_value_heads", heads)
    if isinstance(heads, int) and isinstance(hidden, int) and heads and hidden % heads == 0:
        fields["head_dim"] = config.get("head_dim", hidden // heads)
    if isinstance(layers, int) and (drafting := file("nextn_predict_layers", 0)):
        fields["num_hidden_layers"] = layers - drafting
    return fields | _experts(file, config) | _windows(file)


def _experts(file: Described, config: Mapping[str, object]) -> dict[str, object]:
    """Which layers hold experts, and how wide the network is that every token passes beside them."""
    sparse, layers = file.layers.get("ffn_gate_inp.weight", frozenset()), config.get("num_hidden_layers")
    if not sparse or not isinstance(layers, int):
        return {}
    fields: dict[str, object] = {}
    if sparse != set(range(config.get("first_k_dense_replace") or 0, layers)):  # type: ignore[call-overload]
        fields["mlp_layer_types"] = ["sparse" if i in sparse else "dense" for i in range(layers)]
    width = file.rows("ffn_up_shexp.weight")
    fields["shared_expert_intermediate_size"] = fields["shared_intermediate_size"] = width or 0
    one = config.get("moe_intermediate_size")
    if width and isinstance(one, int) and one:
        fields["n_shared_experts"] = width // one
    return fields


def _windows(file: Described) -> dict[str, object]:
    """Which layers look through a window, where the file lists them or gives a period."""
    pattern = file.metadata.get(f"{file.architecture}.attention.sliding_window_pattern")
    if isinstance(pattern, tuple):
        return {"layer_types": [SLIDING if slides else FULL for slides in pattern]}
    return {"sliding_window_pattern": pattern} if type(pattern) is int else {}


def _llama(file: Described, config: Mapping[str, object]) -> dict[str, object]:
    return {"model_type": "mixtral"} if config.get("num_local_experts") else {}


def _falcon(file: Described, config: Mapping[str, object]) -> dict[str, object]:
    """The new architecture describes the old one too: one key/value head, one norm."""
    norms = 2 if "attn_norm_2.weight" in file else 1
    groups = config.get("num_key_value_heads")
    return {"new_decoder_architecture": True, "num_kv_heads": groups, "num_ln_in_parallel_attn": norms}


def _granitemoe(file: Described, config: Mapping[str, object]) -> dict[str, object]:
    return {"model_type": "granitemoeshared"} if "ffn_up_shexp.weight" in file else {}


def _olmo2(file: Described, config: Mapping[str, object]) -> dict[str, object]:
    return {"model_type": "olmo3"} if config.get("sliding_window") else {}


def _deepseek2(file: Described, config: Mapping[str, object]) -> dict[str, object]:
    """Latent attention. Files that hold it absorbed give the lengths of a head under keys of their own."""
    third = file("expert_gating_func") == SIGMOID or "exp_probs_b.bias" in file
    key = file("attention.key_length_mla", file("attention.key_length", 0))
    rope = file("rope.dimension_count", 0)
    return {
        "model_type": "deepseek_v3" if third else "deepseek_v2",
        "q_lora_rank": file("attention.q_lora_rank"),
        "kv_lora_rank": file("attention.kv_lora_rank"),
        "qk_nope_head_dim": key - rope,
        "qk_rope_head_dim": rope,
        "v_head_dim": file("attention.value_length_mla", file("attention.value_length")),
        "num_key_value_heads": config.get("num_attention_heads"),
    }


def _minicpm3(file: Described, config: Mapping[str, object]) -> dict[str, object]:
    """Latent attention whose values are as wide as a head of the hidden size."""
    return {**_deepseek2(file, config), "model_type": "minicpm3", "v_head_dim": None}


def _states(file: Described, config: Mapping[str, object]) -> dict[str, object]:
    """The state space of Mamba, under the names of the pure models and of the hybrids."""
    inner, hidden, heads = file("ssm.inner_size", 0), config.get("hidden_size"), file("ssm.time_step_rank", 0)
    expand = inner // hidden if isinstance(hidden, int) and hidden else 0
    kernel, state, groups = file("ssm.conv_kernel"), file("ssm.state_size"), file("ssm.group_count")
    return {
        "state_size": state,
        "conv_kernel": kernel,
        "time_step_rank": heads,
        "expand": expand,
        "n_groups": groups,
        "mamba_d_state": state,
        "mamba_d_conv": kernel,
        "mamba_dt_rank": heads,
        "mamba_expand": expand,
        "mamba_n_groups": groups,
    }


def _mamba(file: Described, config: Mapping[str, object]) -> dict[str, object]:
    return {**_states(file, config), "intermediate_size": file("ssm.inner_size")}


def _mamba2(file: Described, config: Mapping[str, object]) -> dict[str, object]:
    inner, heads = file("ssm.inner_size", 0), file("ssm.time_step_rank", 0)
    return {**_states(file, config), "num_heads": heads, "head_dim": inner // max(heads, 1)}


def _hybrid2(file: Described, config: Mapping[str, object]) -> dict[str, object]:
    """Mamba-2 beside attention or in its place; in which layers, the tensors say."""
    inner, heads = file("ssm.inner_size", 0), file("ssm.time_step_rank", 0)
    attends = file.layers.get("attn_q.weight", frozenset())
    kinds = ["attention" if i in attends else "mamba" for i in range(file("block_count", 0))]
    own = {"mamba_n_heads": heads, "mamba_d_head": inner // max(heads, 1), "mamba_d_ssm": inner}
    return {**_states(file, config), **own, "layer_types": kinds, "mamba_rms_norm": "ssm_norm.weight" in file}


def _jamba(file: Described, config: Mapping[str, object]) -> dict[str, object]:
    """Which layers attend and which hold experts: one in a period, from an offset on."""
    fields = _states(file, config)
    for name, tensor in (("attn_layer", "attn_q.weight"), ("expert_layer", "ffn_gate_inp.weight")):
        found = sorted(file.layers.get(tensor, ()))
        period = found[1] - found[0] if len(found) > 1 else file("block_count", 1)
        fields |= {f"{name}_period": period, f"{name}_offset": found[0] if found else 0}
    return fields


def _lfm2(file: Described, config: Mapping[str, object]) -> dict[str, object]:
    """Short convolutions where a layer does not attend; the width is given as it is after its adjustment."""
    attends = file.layers.get("attn_q.weight", frozenset())
    kinds = [FULL if i in attends else "conv" for i in range(file("block_count", 0))]
    kernel = file("shortconv.l_cache")
    return {"layer_types": kinds, "conv_L_cache": kernel, "block_auto_adjust_ff_dim": False}


def _qwen3next(file: Described, config: Mapping[str, object]) -> dict[str, object]:
    """A gated delta rule in most layers, its sizes under the keys of state spaces."""
    inner, heads = file("ssm.inner_size", 0), file("ssm.time_step_rank", 0)
    return {
        "linear_conv_kernel_dim": file("ssm.conv_kernel"),
        "linear_key_head_dim": file("ssm.state_size"),
        "linear_num_key_heads": file("ssm.group_count"),
        "linear_num_value_heads": heads,
        "linear_value_head_dim": inner // max(heads, 1),
        "full_attention_interval": file("full_attention_interval", 4),
    }


def _llama4(file: Described, config: Mapping[str, object]) -> dict[str, object]:
    """The config's plain width is an expert's; that of the dense layers has a name of its own."""
    return {
        "intermediate_size": config.get("moe_intermediate_size"),
        "intermediate_size_mlp": config.get("intermediate_size"),
    }


def _t5(file: Described, config: Mapping[str, object]) -> dict[str, object]:
    encoder_only = file.architecture == "t5encoder"
    return {
        "architectures": ["T5EncoderModel" if encoder_only else "T5ForConditionalGeneration"],
        "d_kv": config.get("head_dim"),
        "d_ff": config.get("intermediate_size"),
        "num_layers": config.get("num_hidden_layers"),
        "num_decoder_layers": file("decoder_block_count", config.get("num_hidden_layers")),
        "relative_attention_num_buckets": file("attention.relative_buckets_count"),
        "feed_forward_proj": "gated-gelu" if "ffn_gate.weight" in file else "relu",
    }


# What a family needs besides, or says in words of its own.
OWN: Mapping[str, Callable[[Described, Mapping[str, object]], dict[str, object]]] = {
    "llama": _llama,
    "deepseek2": _deepseek2,
    "falcon": _falcon,
    "falcon-h1": _hybrid2,
    "granitehybrid": _hybrid2,
    "granitemoe": _granitemoe,
    "jamba": _jamba,
    "lfm2": _lfm2,
    "lfm2moe": _lfm2,
    "llama4": _llama4,
    "mamba": _mamba,
    "mamba2": _mamba2,
    "minicpm3": _minicpm3,
    "olmo2": _olmo2,
    "qwen3next": _qwen3next,
    "stablelm": lambda file, config: {"use_parallel_residual": "ffn_norm.weight" not in file},
    "starcoder": lambda file, config: {"multi_query": config.get("num_key_value_heads") == 1},
    "t5": _t5,
    "t5encoder": _t5,
}
