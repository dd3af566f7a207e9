"""The families as GGUF files spell them: which model type each is, and what it says in words of its own.

To add a family that resembles a known one, add a line to MODEL_TYPES; one that llama.cpp calls as its config does
needs none. Where its config has fields beyond the usual, a function gives them, and its line stands in OWN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from deepwide.formats.readers.layers import FULL
from deepwide.formats.weights.gguf_described import Described

Config: TypeAlias = Mapping[str, object]
Fields: TypeAlias = dict[str, object]

# llama.cpp's word for a family -> the model type of its config, where the two differ.
MODEL_TYPES: Mapping[str, str] = {
    "chatglm": "glm",
    "command-r": "cohere",
    "dream": "qwen2",
    "ernie4_5-moe": "ernie4_5_moe",
    "exaone-moe": "exaone_moe",
    "falcon-h1": "falcon_h1",
    "gemma-embedding": "gemma3_text",
    "gemma3": "gemma3_text",
    "gemma3n": "gemma3n_text",
    "gemma4": "gemma4_text",
    "glm4moe": "glm4_moe",
    "gpt-oss": "gpt_oss",
    "gptneox": "gpt_neox",
    "granitehybrid": "granitemoehybrid",
    "hunyuan-dense": "hunyuan_v1_dense",
    "hunyuan-moe": "hunyuan_v1_moe",
    "lfm2moe": "lfm2_moe",
    "llada": "llama",
    "llama-embed": "llama",
    "llama4": "llama4_text",
    "minimax-m2": "minimax_m2",
    "mistral3": "ministral3",
    "modern-bert": "modernbert",
    "nemotron_h_moe": "nemotron_h",
    "nomic-bert": "nomic_bert",
    "phi2": "phi",
    "qwen2moe": "qwen2_moe",
    "qwen2vl": "qwen2",
    "qwen3moe": "qwen3_moe",
    "qwen3next": "qwen3_next",
    "qwen3vl": "qwen3",
    "qwen3vlmoe": "qwen3_moe",
    "qwen35": "qwen3_5_text",
    "qwen35moe": "qwen3_5_moe_text",
    "starcoder": "gpt_bigcode",
    "t5encoder": "t5",
}
HEADLESS = frozenset(("bert", "nomic-bert", "modern-bert", "gemma-embedding"))
SIGMOID = 2  # the expert_gating_func by which DeepSeek-V3 differs from V2


def llama(file: Described, config: Config) -> Fields:
    """A Llama with experts is a Mixtral."""
    return {"model_type": "mixtral"} if config.get("num_local_experts") else {}


def falcon(file: Described, config: Config) -> Fields:
    """The new architecture describes the old one too: one key/value head, one norm."""
    norms, groups = 2 if "attn_norm_2.weight" in file else 1, config.get("num_key_value_heads")
    return {"new_decoder_architecture": True, "num_kv_heads": groups, "num_ln_in_parallel_attn": norms}


def granitemoe(file: Described, config: Config) -> Fields:
    """Two model types, with and without a network beside the experts."""
    return {"model_type": "granitemoeshared"} if config.get("shared_intermediate_size") else {}


def olmo2(file: Described, config: Config) -> Fields:
    """OLMo 3 is OLMo 2 with windows."""
    return {"model_type": "olmo3"} if config.get("sliding_window") else {}


def deepseek2(file: Described, config: Config) -> Fields:
    """Latent attention. Files that hold it absorbed give the lengths of a head under keys of their own."""
    third = file("expert_gating_func") == SIGMOID or "exp_probs_b.bias" in file
    rope, key = file("rope.dimension_count"), file("attention.key_length_mla", file("attention.key_length"))
    return {
        "model_type": "deepseek_v3" if third else "deepseek_v2",
        "q_lora_rank": file("attention.q_lora_rank"),
        "kv_lora_rank": file("attention.kv_lora_rank"),
        "qk_nope_head_dim": key - rope if isinstance(key, int) and isinstance(rope, int) else None,
        "qk_rope_head_dim": rope,
        "v_head_dim": file("attention.value_length_mla", file("attention.value_length")),
        "num_key_value_heads": config.get("num_attention_heads"),
    }


def minicpm3(file: Described, config: Config) -> Fields:
    """Latent attention whose values are as wide as a head of the hidden size."""
    return {**deepseek2(file, config), "model_type": "minicpm3", "v_head_dim": None}


def gemma3n(file: Described, config: Config) -> Fields:
    """Vectors for each layer, and layers that take over the keys of earlier ones."""
    return {
        "num_kv_shared_layers": file("attention.shared_kv_layers", 0),
        "hidden_size_per_layer_input": file("embedding_length_per_layer_input"),
        "vocab_size_per_layer_input": file.rows("per_layer_token_embd.weight"),
        "altup_num_inputs": file("altup.num_inputs"),
        "laurel_rank": file.rows("laurel_l.weight"),
    }


def dbrx(file: Described, config: Config) -> Fields:
    """Its config holds attention and experts in tables of their own."""
    experts = {"moe_num_experts": "num_local_experts", "moe_top_k": "num_experts_per_tok"}
    ffn_config = {name: config.get(field) for name, field in experts.items()}
    return {
        "attn_config": {"kv_n_heads": config.get("num_key_value_heads")},
        "ffn_config": {**ffn_config, "ffn_hidden_size": config.get("intermediate_size")},
    }


def llama4(file: Described, config: Config) -> Fields:
    """The config's plain width is an expert's; that of the dense layers has a name of its own."""
    expert, dense = config.get("moe_intermediate_size"), config.get("intermediate_size")
    return {"intermediate_size": expert, "intermediate_size_mlp": dense}


def mamba(file: Described, config: Config) -> Fields:
    """A state space, whose step size has a rank."""
    return {
        "intermediate_size": file("ssm.inner_size"),
        "state_size": file("ssm.state_size"),
        "conv_kernel": file("ssm.conv_kernel"),
        "time_step_rank": file("ssm.time_step_rank"),
    }


def mamba2(file: Described, config: Config) -> Fields:
    """A state space with heads: their number stands where Mamba has a rank."""
    inner, hidden, heads = file("ssm.inner_size", 0), config.get("hidden_size"), file("ssm.time_step_rank", 0)
    return {
        "expand": inner // hidden if isinstance(hidden, int) and hidden else None,
        "state_size": file("ssm.state_size"),
        "conv_kernel": file("ssm.conv_kernel"),
        "num_heads": heads,
        "head_dim": inner // max(heads, 1),
        "n_groups": file("ssm.group_count"),
    }


def hybrid(file: Described, config: Config) -> Fields:
    """Mamba-2 in place of attention, or beside it; in which layers, the tensors say."""
    states, attends = mamba2(file, config), file.holders("attn_q.weight")
    return {
        "mamba_expand": states["expand"],
        "mamba_d_state": states["state_size"],
        "mamba_d_conv": states["conv_kernel"],
        "mamba_n_heads": states["num_heads"],
        "mamba_d_head": states["head_dim"],
        "mamba_n_groups": states["n_groups"],
        "mamba_d_ssm": file("ssm.inner_size"),
        "mamba_rms_norm": "ssm_norm.weight" in file,
        "layer_types": ["attention" if i in attends else "mamba" for i in range(file("block_count", 0))],
    }


def nemotron_h(file: Described, config: Config) -> Fields:
    """One mixer or one network per layer."""
    states, telling = mamba2(file, config), {"attn_q": "attention", "ffn_up": "mlp", "ffn_up_exps": "moe"}
    kinds = {i: kind for tensor, kind in telling.items() for i in file.holders(f"{tensor}.weight")}
    return {
        "layer_types": [kinds.get(i, "mamba") for i in range(file("block_count", 0))],
        "ssm_state_size": states["state_size"],
        "mamba_num_heads": states["num_heads"],
        "mamba_head_dim": states["head_dim"],
        "mamba_n_groups": states["n_groups"],
        "mamba_d_conv": states["conv_kernel"],
        "moe_shared_expert_intermediate_size": config.get("shared_expert_intermediate_size"),
        "moe_latent_size": file("moe_latent_size"),
    }


def jamba(file: Described, config: Config) -> Fields:
    """Which layers attend and which hold experts: one in a period, from an offset on."""
    fields: Fields = {
        "mamba_expand": mamba2(file, config)["expand"],
        "mamba_d_state": file("ssm.state_size"),
        "mamba_d_conv": file("ssm.conv_kernel"),
        "mamba_dt_rank": file("ssm.time_step_rank"),
    }
    for name, tensor in (("attn_layer", "attn_q.weight"), ("expert_layer", "ffn_gate_inp.weight")):
        found = sorted(file.holders(tensor))
        period = found[1] - found[0] if len(found) > 1 else file("block_count", 1)
        fields |= {f"{name}_period": period, f"{name}_offset": found[0] if found else 0}
    return fields


def lfm2(file: Described, config: Config) -> Fields:
    """Short convolutions where a layer does not attend. The width is given as it is after its adjustment."""
    attends = file.holders("attn_q.weight")
    kinds = [FULL if i in attends else "conv" for i in range(file("block_count", 0))]
    return {"layer_types": kinds, "conv_L_cache": file("shortconv.l_cache"), "block_auto_adjust_ff_dim": False}


def delta(file: Described, config: Config) -> Fields:
    """A gated delta rule in most layers of Qwen3-Next, its sizes under the keys of state spaces."""
    inner, heads = file("ssm.inner_size", 0), file("ssm.time_step_rank", 0)
    return {
        "linear_conv_kernel_dim": file("ssm.conv_kernel"),
        "linear_key_head_dim": file("ssm.state_size"),
        "linear_num_key_heads": file("ssm.group_count"),
        "linear_num_value_heads": heads,
        "linear_value_head_dim": inner // max(heads, 1),
        "full_attention_interval": file("full_attention_interval", 4),
    }


def t5(file: Described, config: Config) -> Fields:
    """Two stacks, or the encoder alone."""
    layers, encoder = config.get("num_hidden_layers"), file.architecture == "t5encoder"
    return {
        "architectures": ["T5EncoderModel" if encoder else "T5ForConditionalGeneration"],
        "d_kv": config.get("head_dim"),
        "d_ff": config.get("intermediate_size"),
        "num_layers": layers,
        "num_decoder_layers": file("decoder_block_count", layers),
        "relative_attention_num_buckets": file("attention.relative_buckets_count"),
        "feed_forward_proj": "gated-gelu" if "ffn_gate.weight" in file else "relu",
    }


OWN: Mapping[str, Callable[[Described, Config], Fields]] = {
    "dbrx": dbrx,
    "deepseek2": deepseek2,
    "falcon": falcon,
    "falcon-h1": hybrid,
    "gemma3n": gemma3n,
    "granitehybrid": hybrid,
    "granitemoe": granitemoe,
    "jamba": jamba,
    "lfm2": lfm2,
    "lfm2moe": lfm2,
    "llama": llama,
    "llama4": llama4,
    "mamba": mamba,
    "mamba2": mamba2,
    "minicpm3": minicpm3,
    "nemotron_h": nemotron_h,
    "nemotron_h_moe": nemotron_h,
    "olmo2": olmo2,
    "qwen3next": delta,
    "qwen35": delta,
    "qwen35moe": delta,
    "stablelm": lambda file, config: {"use_parallel_residual": "ffn_norm.weight" not in file},
    "starcoder": lambda file, config: {"multi_query": config.get("num_key_value_heads") == 1},
    "t5": t5,
    "t5encoder": t5,
}
