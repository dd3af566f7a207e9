"""GGUF files as models: tensors as llama.cpp's converter writes them, for all of which the metadata must account.

Sizes are small; names and shapes follow conversion and tensor_mapping of ggml-org/llama.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path

import pytest

from deepwide.answers.models import Model, find_model
from deepwide.errors import BadInput
from deepwide.formats.weights.gguf import Skipped
from deepwide.formats.weights.gguf_config import as_config
from deepwide.formats.weights.tensors import Container, StoredTensor

Shapes = Mapping[str, tuple[int, ...]]
Metadata = Mapping[str, int | Sequence[int]]

VOCAB, HIDDEN, FFN, LAYERS = 300, 64, 160, 3
SIZES = {
    "block_count": LAYERS,
    "context_length": 128,
    "embedding_length": HIDDEN,
    "feed_forward_length": FFN,
    "attention.head_count": 4,
    "attention.head_count_kv": 2,
}
TABLE = {"token_embd.weight": (VOCAB, HIDDEN), "output_norm.weight": (HIDDEN,)}
HEAD = {"output.weight": (VOCAB, HIDDEN)}


def weights(**shapes: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": shape for name, shape in shapes.items()}


def biases(**sizes: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.bias": (size,) for name, size in sizes.items()}


def blocks(shapes: Shapes, layers: Sequence[int] = range(LAYERS)) -> dict[str, tuple[int, ...]]:
    return {f"blk.{layer}.{name}": shape for layer in layers for name, shape in shapes.items()}


def experts(number: int, ffn: int) -> dict[str, tuple[int, ...]]:
    up, down = (number, ffn, HIDDEN), (number, HIDDEN, ffn)
    return weights(ffn_gate_inp=(number, HIDDEN), ffn_gate_exps=up, ffn_up_exps=up, ffn_down_exps=down)


NORMS = weights(attn_norm=(HIDDEN,), ffn_norm=(HIDDEN,))
ATTENTION = weights(attn_q=(64, 64), attn_k=(32, 64), attn_v=(32, 64), attn_output=(64, 64))
GATED = weights(ffn_gate=(FFN, HIDDEN), ffn_up=(FFN, HIDDEN), ffn_down=(HIDDEN, FFN))
PLAIN = weights(ffn_up=(256, HIDDEN), ffn_down=(HIDDEN, 256))
LLAMA = {**NORMS, **ATTENTION, **GATED}
QKV = biases(attn_q=64, attn_k=32, attn_v=32)
WIDE = weights(attn_q=(128, 64), attn_k=(64, 64), attn_v=(64, 64), attn_output=(64, 128))  # heads of 32, not of 64 / 4
QK_NORM = weights(attn_q_norm=(32,), attn_k_norm=(32,))
MOE = {"expert_count": 8, "expert_used_count": 2}
LATENT = {
    "attention.head_count_kv": 1,
    "attention.kv_lora_rank": 32,
    "attention.key_length": 32 + 8,
    "attention.value_length": 32,
    "attention.key_length_mla": 16 + 8,
    "attention.value_length_mla": 24,
    "rope.dimension_count": 8,
    "expert_feed_forward_length": 48,
    "expert_shared_count": 2,
    "leading_dense_block_count": 1,
}
LATENT_ATTENTION = weights(
    attn_kv_a_mqa=(40, 64), attn_kv_a_norm=(32,), attn_k_b=(4, 32, 16), attn_v_b=(4, 24, 32), attn_output=(64, 96)
)
SHARED = weights(ffn_gate_shexp=(96, 64), ffn_up_shexp=(96, 64), ffn_down_shexp=(64, 96))
LATENT_EXPERTS = {**NORMS, **LATENT_ATTENTION, **experts(8, 48), **SHARED}
LATENT_DENSE = {**NORMS, **LATENT_ATTENTION, **GATED}
NARROW_QUERY = weights(attn_q_a=(48, 64), attn_q_a_norm=(48,), attn_q_b=(96, 48))
LAYER_NORMS = {**NORMS, **biases(attn_norm=64, ffn_norm=64)}
FUSED = weights(attn_qkv=(192, 64), attn_output=(64, 64))
STATES = {"ssm.conv_kernel": 4, "ssm.inner_size": 128, "ssm.state_size": 16, "ssm.time_step_rank": 4}
MIXER = {
    **weights(attn_norm=(64,), ssm_in=(256, 64), ssm_conv1d=(128, 4), ssm_x=(36, 128), ssm_dt=(128, 4)),
    **weights(ssm_out=(64, 128)),
    **biases(ssm_conv1d=128, ssm_dt=128),
    "ssm_a": (128, 16),
    "ssm_d": (128,),
}

# llama.cpp's word, the family it is, what the metadata say beyond SIZES, the tensors.
CASES: dict[str, tuple[str, str, Metadata, Shapes]] = {
    "llama, untied": ("llama", "llama", {}, {**TABLE, **HEAD, **blocks(LLAMA), "rope_freqs.weight": (8,)}),
    "llama, tied": ("llama", "llama", {}, {**TABLE, **blocks(LLAMA)}),
    "llama, wide heads": (
        "llama",
        "llama",
        {"attention.key_length": 32, "attention.value_length": 32},
        {**TABLE, **HEAD, **blocks({**NORMS, **WIDE, **GATED})},
    ),
    "llama, biases": (
        "llama",
        "llama",
        {},
        {**TABLE, **HEAD, **blocks({**LLAMA, **QKV, **biases(attn_output=64)})},
    ),
    "mixtral": (
        "llama",
        "mixtral",
        MOE,
        {**TABLE, **HEAD, **blocks({**NORMS, **ATTENTION, **experts(8, FFN)})},
    ),
    "qwen2": ("qwen2", "qwen2", {}, {**TABLE, **blocks({**LLAMA, **QKV})}),
    "qwen2moe": (
        "qwen2moe",
        "qwen2_moe",
        {**MOE, "expert_feed_forward_length": 48, "expert_shared_feed_forward_length": 96},
        {
            **TABLE,
            **HEAD,
            **blocks({**NORMS, **ATTENTION, **QKV, **experts(8, 48), **SHARED, **weights(ffn_gate_inp_shexp=(64,))}),
        },
    ),
    "qwen3": (
        "qwen3",
        "qwen3",
        {"attention.key_length": 32},
        {**TABLE, **blocks({**NORMS, **WIDE, **GATED, **QK_NORM})},
    ),
    "gemma2": (
        "gemma2",
        "gemma2",
        {"attention.key_length": 32, "attention.sliding_window": 64},
        {
            **TABLE,
            **blocks({**NORMS, **WIDE, **GATED, **weights(post_attention_norm=(64,), post_ffw_norm=(64,))}),
        },
    ),
    "phi3": (
        "phi3",
        "phi3",
        {"attention.sliding_window": 64},
        {
            **TABLE,
            **HEAD,
            **blocks(
                {
                    **NORMS,
                    **weights(attn_qkv=(128, 64), attn_output=(64, 64), ffn_up=(2 * FFN, 64), ffn_down=(64, FFN)),
                }
            ),
            "rope_factors_long.weight": (8,),
            "rope_factors_short.weight": (8,),
        },
    ),
    "gpt2": (
        "gpt2",
        "gpt2",
        {"feed_forward_length": 256, "attention.head_count_kv": 4},
        {
            **TABLE,
            **blocks(
                {**LAYER_NORMS, **FUSED, **PLAIN, **biases(attn_qkv=192, attn_output=64, ffn_up=256, ffn_down=64)}
            ),
            "output_norm.bias": (64,),
            "position_embd.weight": (128, 64),
        },
    ),
    "falcon, one key": (
        "falcon",
        "falcon",
        {"feed_forward_length": 256, "attention.head_count_kv": 1},
        {
            **TABLE,
            **HEAD,
            **blocks(
                {
                    **weights(attn_norm=(64,), attn_qkv=(96, 64), attn_output=(64, 64)),
                    **biases(attn_norm=64),
                    **PLAIN,
                }
            ),
            "output_norm.bias": (64,),
        },
    ),
    "falcon, two norms": (
        "falcon",
        "falcon",
        {"feed_forward_length": 256},
        {
            **TABLE,
            **blocks(
                {
                    **weights(attn_norm=(64,), attn_norm_2=(64,), attn_qkv=(128, 64), attn_output=(64, 64)),
                    **biases(attn_norm=64, attn_norm_2=64),
                    **PLAIN,
                }
            ),
            "output_norm.bias": (64,),
        },
    ),
    "deepseek2, V2 Lite": (
        "deepseek2",
        "deepseek_v2",
        {**MOE, **LATENT},
        {
            **TABLE,
            **HEAD,
            **blocks({**LATENT_DENSE, **weights(attn_q=(96, 64))}, [0]),
            **blocks({**LATENT_EXPERTS, **weights(attn_q=(96, 64))}, [1, 2]),
        },
    ),
    "deepseek2, V3": (
        "deepseek2",
        "deepseek_v3",
        {**MOE, **LATENT, "attention.q_lora_rank": 48, "expert_gating_func": 2},
        {
            **TABLE,
            **HEAD,
            **blocks({**LATENT_DENSE, **NARROW_QUERY}, [0]),
            **blocks({**LATENT_EXPERTS, **NARROW_QUERY, "exp_probs_b.bias": (8,)}, [1, 2]),
        },
    ),
    "gpt-oss": (
        "gpt-oss",
        "gpt_oss",
        {**MOE, "expert_feed_forward_length": FFN, "attention.sliding_window": 128},
        {
            **TABLE,
            **HEAD,
            **blocks(
                {
                    **weights(attn_norm=(64,), post_attention_norm=(64,)),
                    **ATTENTION,
                    **QKV,
                    **biases(attn_output=64, ffn_gate_inp=8),
                    **experts(8, FFN),
                    "attn_sinks.weight": (4,),
                    "ffn_gate_exps.bias": (8, FFN),
                    "ffn_up_exps.bias": (8, FFN),
                    "ffn_down_exps.bias": (8, 64),
                }
            ),
        },
    ),
    "mamba": (
        "mamba",
        "mamba",
        {**STATES, "feed_forward_length": 0, "attention.head_count": 0},
        {**TABLE, **blocks(MIXER)},
    ),
    "jamba": (
        "jamba",
        "jamba",
        {**MOE, **STATES, "block_count": 4, "attention.head_count_kv": [0, 0, 2, 0]},
        {
            **TABLE,
            **HEAD,
            **blocks({**NORMS, **ATTENTION, **GATED}, [2]),
            **blocks({**MIXER, **weights(ssm_dt_norm=(4,), ssm_b_norm=(16,), ssm_c_norm=(16,))}, [0, 1, 3]),
            **blocks({**weights(ffn_norm=(64,)), **GATED}, [0]),
            **blocks({**weights(ffn_norm=(64,)), **experts(8, FFN)}, [1, 3]),
        },
    ),
    "bert": (
        "bert",
        "bert",
        {"attention.head_count_kv": 4, "feed_forward_length": 256},
        {
            "token_embd.weight": (VOCAB, HIDDEN),
            "position_embd.weight": (128, HIDDEN),
            "token_types.weight": (2, HIDDEN),
            **weights(token_embd_norm=(64,)),
            **biases(token_embd_norm=64),
            **blocks(
                {
                    **weights(attn_q=(64, 64), attn_k=(64, 64), attn_v=(64, 64), attn_output=(64, 64)),
                    **biases(attn_q=64, attn_k=64, attn_v=64, attn_output=64, ffn_up=256, ffn_down=64),
                    **PLAIN,
                    **weights(attn_output_norm=(64,), layer_output_norm=(64,)),
                    **biases(attn_output_norm=64, layer_output_norm=64),
                }
            ),
        },
    ),
}
NOT_LEARNED = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight", "exp_probs_b.bias")


def learned(tensors: Shapes) -> int:
    return sum(prod(shape) for name, shape in tensors.items() if not name.endswith(NOT_LEARNED))


def written(folder: Path, word: str, metadata: Metadata, tensors: Shapes) -> Path:
    numpy = pytest.importorskip("numpy")
    package = pytest.importorskip("gguf")
    writer = package.GGUFWriter(folder / "model.gguf", word)
    for key, value in {**SIZES, **metadata}.items():
        add = writer.add_uint32 if isinstance(value, int) else writer.add_array
        add(f"{word}.{key}", value)
    writer.add_token_list([f"word {n}" for n in range(VOCAB)])
    for name, shape in tensors.items():
        writer.add_tensor(name, numpy.zeros(shape, numpy.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return folder / "model.gguf"


def found(folder: Path, case: str, metadata: Metadata | None = None, tensors: Shapes | None = None) -> Model:
    word, _, own, shapes = CASES[case]
    return find_model(str(written(folder, word, {**own, **(metadata or {})}, {**shapes, **(tensors or {})})))


@pytest.mark.parametrize("case", CASES)
def test_the_metadata_account_for_every_tensor(case: str, tmp_path: Path) -> None:
    model = found(tmp_path, case)
    assert model.architecture is not None
    assert CASES[case][1] == model.architecture.family
    assert learned(CASES[case][3]) == model.ledger.parameters()
    assert not [note for note in model.notes if "the tensors are counted" in note]


@pytest.mark.parametrize(
    ("case", "active_share"), [("mixtral", 2 / 8), ("qwen2moe", 2 / 8), ("deepseek2, V3", 2 / 8), ("gpt-oss", 2 / 8)]
)
def test_a_token_meets_as_many_experts_as_the_metadata_say(case: str, active_share: float, tmp_path: Path) -> None:
    ledger = found(tmp_path, case).ledger
    routed = sum(prod(shape) for name, shape in CASES[case][3].items() if "_exps." in name)
    assert ledger.parameters() - ledger.active_parameters() == routed * (1 - active_share)


def test_a_file_keeps_its_family_through_changes(tmp_path: Path) -> None:
    path = written(tmp_path, *CASES["qwen2"][:1], *CASES["qwen2"][2:])
    wider = find_model(f"{path},layers=6")
    assert 2 * sum(prod(s) for s in {**LLAMA, **QKV}.values()) * LAYERS + 301 * HIDDEN == wider.ledger.parameters()


def test_where_metadata_and_tensors_disagree_the_tensors_count(tmp_path: Path) -> None:
    model = found(tmp_path, "llama, tied", tensors={"blk.3.nextn.eh_proj.weight": (64, 10)})
    total = learned(CASES["llama, tied"][3])
    assert total + 640 == model.ledger.parameters()
    both = f"its tensors hold {total + 640:,} parameters and its description says {total:,}: the tensors are counted"
    assert both in model.notes
    assert model.architecture is not None
    assert LAYERS == model.ledger.caches[0].repeat


def test_metadata_of_another_model_are_not_believed(tmp_path: Path) -> None:
    model = found(tmp_path, "llama, tied", metadata={"block_count": 30})
    assert learned(CASES["llama, tied"][3]) == model.ledger.parameters()
    assert model.architecture is None


def test_an_unknown_family_is_counted_by_its_tensors(tmp_path: Path) -> None:
    tensors = CASES["mixtral"][3]
    model = find_model(str(written(tmp_path, "gollum", MOE, tensors)))
    assert learned(tensors) == model.ledger.parameters()
    assert model.ledger.active_parameters() < learned(tensors)
    assert "model_type='gollum' is an unknown family; --like FAMILY reads it as a known one" in model.notes[0]


def test_an_unknown_family_can_be_read_as_a_known_one(tmp_path: Path) -> None:
    path = written(tmp_path, "gollum", {}, CASES["llama, tied"][3])
    model = find_model(str(path), like="llama")
    assert model.architecture is not None
    assert learned(CASES["llama, tied"][3]) == model.ledger.parameters()


def test_a_head_stored_where_the_family_ties_it_is_pointed_out(tmp_path: Path) -> None:
    model = found(tmp_path, "gpt2", tensors=HEAD)
    assert learned(CASES["gpt2"][3]) + VOCAB * HIDDEN == model.ledger.parameters()
    assert any("19,200 fewer if it is the same matrix" in note for note in model.notes)


def contents(metadata: Mapping[str, object], **shapes: tuple[int, ...]) -> Container:
    tensors = (
        StoredTensor(name=name.replace("__", "."), shape=shape, dtype="F32", stored_bytes=4 * prod(shape))
        for name, shape in shapes.items()
    )
    return Container(path="", tensors=tuple(tensors), metadata=metadata, kind="gguf")


TINY = {"general.architecture": "x", "x.block_count": 2, "x.embedding_length": 64, "x.attention.head_count": 4}


def test_what_the_metadata_leave_out_is_filled_in() -> None:
    config = as_config(contents({**TINY, "tokenizer.ggml.tokens": Skipped(length=9)}))
    assert (16, 4, 9) == (config["head_dim"], config["num_key_value_heads"], config["vocab_size"])


def test_what_is_given_wins_over_what_is_derived() -> None:
    given = {"x.attention.key_length": 32, "x.vocab_size": 10, "tokenizer.ggml.tokens": Skipped(length=9)}
    config = as_config(contents({**TINY, **given}))
    assert (32, 10) == (config["head_dim"], config["vocab_size"])


def test_the_embedding_knows_the_vocabulary_best() -> None:
    assert 12 == as_config(contents({**TINY, "x.vocab_size": 10}, token_embd__weight=(12, 64)))["vocab_size"]


def test_layers_for_drafting_are_not_layers_of_the_model() -> None:
    assert 1 == as_config(contents({**TINY, "x.nextn_predict_layers": 1}))["num_hidden_layers"]


def test_a_zero_in_a_list_only_says_that_a_layer_has_none() -> None:
    assert 2 == as_config(contents({**TINY, "x.attention.head_count_kv": (0, 2)}))["num_key_value_heads"]
    assert (1, 2) == as_config(contents({**TINY, "x.attention.head_count_kv": (1, 2)}))["num_key_value_heads"]


@pytest.mark.parametrize(
    ("metadata", "named"),
    [
        ({}, "general.architecture"),
        ({"general.architecture": 3}, "general.architecture=3"),
        ({"general.architecture": "x"}, "x.block_count is missing"),
        ({**TINY, "x.block_count": -1}, "x.block_count=-1"),
        ({**TINY, "x.block_count": True}, "x.block_count=True"),
        ({**TINY, "x.block_count": 2.0}, "x.block_count=2.0"),
        ({**TINY, "x.block_count": ()}, r"x.block_count=\(\)"),
        ({**TINY, "x.attention.head_count": Skipped(length=3)}, "x.attention.head_count"),
    ],
)
def test_metadata_that_make_no_model_are_named(metadata: dict[str, object], named: str) -> None:
    with pytest.raises(BadInput, match=named):
        as_config(contents(metadata))
