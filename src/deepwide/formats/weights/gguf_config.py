"""The config.json that a GGUF file stands for: its metadata and tensors, in the words of published configs.

The metadata give most sizes. What they leave out, the tensors say: whether the head is tied, which projections have
a bias, which layers hold experts, how many words the vocabulary has. So such a config is read by the same rules as
any other, and its total can be held against the tensors'.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from deepwide.architecture.model import Architecture
from deepwide.errors import BadInput
from deepwide.formats.fields import MOST_LAYERS
from deepwide.formats.huggingface import read_config
from deepwide.formats.readers.layers import DENSE, FULL, SLIDING, SPARSE
from deepwide.formats.weights.gguf import Skipped
from deepwide.formats.weights.gguf_described import Described, described
from deepwide.formats.weights.gguf_families import HEADLESS, MODEL_TYPES, OWN
from deepwide.formats.weights.tensors import Container

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
    "num_dense_layers": "leading_dense_block_count",
    "moe_layer_start_index": "leading_dense_block_count",
}
# Fields by which families say that matrices have biases or that queries and keys are normed -> the tensor that tells.
FLAGS: Mapping[str, str] = {
    **dict.fromkeys(("attention_bias", "qkv_bias", "use_qkv_bias", "use_bias", "bias"), "attn_q.bias"),
    "mlp_bias": "ffn_up.bias",
    "lm_head_bias": "output.bias",
    **dict.fromkeys(("use_qk_norm", "qk_layernorm"), "attn_q_norm.weight"),
}


def architecture(container: Container, config: Mapping[str, object], where: str) -> Architecture:
    """The architecture that a file describes; `config` is what `as_config` made of it."""
    found = read_config(config, where=where)
    if container.metadata.get("general.architecture") not in HEADLESS:
        return found
    return replace(found, head=(), notes=(*found.notes, "such files leave the language head out"))


def as_config(container: Container) -> dict[str, object]:
    """The fields of a config. A family without another name here keeps llama.cpp's as its `model_type`."""
    file = described(container)
    for key in ("block_count", "embedding_length"):  # without these, a family's defaults would describe another model
        if file(key) is None:
            raise BadInput(f"{file.architecture}.{key} is missing from the metadata; give the model's config.json")
    if (layers := file("block_count")) > MOST_LAYERS:
        raise BadInput(f"{file.architecture}.block_count={layers} must lie between 0 and {MOST_LAYERS}")
    config: dict[str, object] = {"model_type": MODEL_TYPES.get(file.architecture, file.architecture)}
    config |= {field: value for field, key in KEYS.items() if (value := file(key)) is not None}
    config |= {field: tensor in file for field, tensor in FLAGS.items()}
    config["tie_word_embeddings"] = "output.weight" not in file.shapes
    config |= _tables(file, config)
    config |= _heads(config)
    config |= _experts(file, config)
    config |= _windows(file)
    if drafting := file("nextn_predict_layers"):
        config["num_hidden_layers"] = max(0, layers - drafting)
    return config | (OWN[file.architecture](file, config) if file.architecture in OWN else {})


def _tables(file: Described, config: Mapping[str, object]) -> dict[str, object]:
    """Rows of the tables of words, positions and token types, by the tables themselves where they are there."""
    words = file.metadata.get("tokenizer.ggml.tokens")
    stated = config.get("vocab_size", words.length if isinstance(words, Skipped) else None)
    positions = file.rows("position_embd.weight") or config.get("max_position_embeddings")
    return {
        "vocab_size": file.rows("token_embd.weight") or stated,
        "max_position_embeddings": positions,
        "type_vocab_size": file.rows("token_types.weight"),
    }


def _heads(config: Mapping[str, object]) -> dict[str, object]:
    """What the documentation fills in: kv_heads = heads, head_dim = hidden / heads."""
    heads, hidden = config.get("num_attention_heads"), config.get("hidden_size")
    fields = {"num_key_value_heads": config.get("num_key_value_heads", heads)}
    if isinstance(heads, int) and isinstance(hidden, int) and heads and hidden % heads == 0:
        fields["head_dim"] = config.get("head_dim", hidden // heads)
    return fields


def _experts(file: Described, config: Mapping[str, object]) -> dict[str, object]:
    """Which layers hold experts, unless it is all from a stated one on; and the network beside the experts."""
    sparse, layers = file.holders("ffn_gate_inp.weight"), config.get("num_hidden_layers")
    if not sparse or not isinstance(layers, int):
        return {}
    fields: dict[str, object] = {}
    if sparse != set(range(file("leading_dense_block_count", 0), layers)):
        fields["mlp_layer_types"] = [SPARSE if i in sparse else DENSE for i in range(layers)]
    one = config.get("moe_intermediate_size")
    shared = file.rows("ffn_up_shexp.weight")
    fields |= {"shared_expert_intermediate_size": shared, "shared_intermediate_size": shared}
    return {**fields, "n_shared_experts": shared // one} if isinstance(one, int) and one else fields


def _windows(file: Described) -> dict[str, object]:
    """Which layers look through a window, where the file lists them or gives a period."""
    pattern = file.metadata.get(f"{file.architecture}.attention.sliding_window_pattern")
    if isinstance(pattern, tuple):
        return {"layer_types": [SLIDING if slides else FULL for slides in pattern]}
    return {"sliding_window_pattern": pattern} if type(pattern) is int else {}
