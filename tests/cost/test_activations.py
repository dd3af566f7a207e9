"""Activations: measured runs to the byte, published formulas, and one equals many."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepwide.architecture.model import Architecture
from deepwide.cost.activations.habits import NO_DROPOUT, Dropout, dropout
from deepwide.cost.activations.megatron import Sharding, layer_activation_bytes_megatron, megatron_activation_bytes
from deepwide.cost.activations.saved import saved_activation_bytes
from deepwide.cost.activations.tape import Tape, linear, multiplied, softmax, view
from deepwide.errors import BadInput
from deepwide.formats.huggingface import read_config

REFERENCE = Path(os.environ.get("DEEPWIDE_REFERENCE", Path(__file__).parents[3] / "shared" / "reference"))

TINY = {"vocab_size": 1000, "hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 8}
LLAMA = {**TINY, "model_type": "llama", "intermediate_size": 688, "num_key_value_heads": 2}
MIXTRAL = {**TINY, "model_type": "mixtral", "intermediate_size": 512, "num_key_value_heads": 2, "num_local_experts": 8}
GEMMA2 = {**TINY, "model_type": "gemma2", "intermediate_size": 768, "num_key_value_heads": 4, "head_dim": 32}
OPT = {**TINY, "model_type": "opt", "ffn_dim": 1024, "word_embed_proj_dim": 256, "max_position_embeddings": 512}
BERT = {"model_type": "bert", "num_hidden_layers": 6}
GPT2 = {"model_type": "gpt2"}
PYTHIA = {
    "model_type": "gpt_neox",
    "vocab_size": 50304,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
}
T5 = {
    "model_type": "t5",
    "vocab_size": 1000,
    "d_model": 256,
    "d_kv": 32,
    "d_ff": 1024,
    "num_layers": 4,
    "num_heads": 8,
    "feed_forward_proj": "gated-gelu",
}

# Bytes that torch 2.13 keeps for transformers 5.23's classes on a CPU (torch.autograd.graph.saved_tensors_hooks,
# distinct storages without parameters and buffers): config, batch, tokens, attention, dtype, recompute, dropout, bytes.
MEASURED = [
    (LLAMA, 2, 128, "eager", "fp32", "none", False, 27_808_772),
    (LLAMA, 1, 128, "sdpa", "fp32", "none", False, 11_053_580),
    (LLAMA, 2, 128, "sdpa", "bf16", "none", False, 12_751_876),
    (LLAMA, 2, 128, "sdpa", "bf16", "full", False, 2_077_700),
    (MIXTRAL, 2, 128, "eager", "bf16", "none", False, 24_765_572),
    (GEMMA2, 2, 128, "eager", "bf16", "none", False, 28_461_060),
    (OPT, 2, 128, "sdpa", "fp32", "none", True, 16_285_700),
    (BERT, 2, 64, "eager", "fp32", "none", False, 57_717_252),
    (BERT, 2, 128, "sdpa", "fp32", "none", True, 149_251_076),
    (GPT2, 1, 128, "eager", "fp32", "none", False, 168_104_460),
    (GPT2, 2, 128, "eager", "bf16", "full", False, 57_039_876),
    (GPT2, 2, 128, "sdpa", "fp32", "none", True, 393_617_412),
    (PYTHIA, 2, 128, "sdpa", "bf16", "none", False, 137_417_732),
    (T5, 2, 128, "eager", "bf16", "none", False, 57_161_730),
    (T5, 2, 64, "sdpa", "fp32", "full", False, 2_743_300),
]


def read(config: dict[str, Any], **more: Any) -> Architecture:
    return read_config({**config, **more})


def saved(architecture: Architecture, batch: Any = 2, tokens: Any = 64, **how: Any) -> Any:
    return saved_activation_bytes(architecture, batch=batch, tokens=tokens, **how)


@pytest.mark.parametrize(
    ("config", "batch", "tokens", "attention", "dtype", "recompute", "dropped", "measured_bytes"),
    MEASURED,
    ids=lambda value: value["model_type"] if isinstance(value, dict) else str(value),
)
def test_what_a_run_keeps_is_known_to_the_byte(
    config: dict[str, Any],
    batch: int,
    tokens: int,
    attention: str,
    dtype: str,
    recompute: str,
    dropped: bool,
    measured_bytes: int,
) -> None:
    on = dropout(config) if dropped else NO_DROPOUT
    kept = saved(read(config), batch, tokens, attention=attention, dtype=dtype, recompute=recompute, dropout=on)
    assert measured_bytes == kept


def test_every_measured_run_of_the_reference_is_within_one_percent() -> None:
    if not (REFERENCE / "activations_reference.csv").exists():
        pytest.skip(f"no activations_reference.csv in {REFERENCE}; name its folder with DEEPWIDE_REFERENCE")
    configs = json.loads((REFERENCE / "activations_configs.json").read_text("utf-8"))
    models = {name: read(config) for name, config in configs.items()}
    with (REFERENCE / "activations_reference.csv").open(encoding="utf-8") as file:
        runs = [row for row in csv.DictReader(file) if row["row"] == "total"]
    wrong = [run for run in runs if abs(_predicted(models[run["model"]], run, configs) / int(run["bytes"]) - 1) > 0.01]
    assert runs
    assert [] == wrong


def _predicted(model: Architecture, run: dict[str, str], configs: dict[str, Any]) -> Any:
    return saved(
        model,
        int(run["B"]),
        int(run["S"]),
        attention=run["attn"],
        dtype=run["dtype"],
        recompute="full" if run["ckpt"] == "1" else "none",
        dropout=NO_DROPOUT if run["dropout"] == "0" else dropout(configs[run["model"]]),
    )


def test_a_layer_of_llama_keeps_the_closed_form() -> None:
    hidden, ffn, heads, keys = 256, 688, 8, 2 * 32
    per_token = 2 * (8 * hidden + 4) + (2 * hidden + 2 * keys) * 2 + 4 * heads + 8 * ffn
    one, two = (saved(read(LLAMA, num_hidden_layers=n), attention="sdpa", dtype="bf16") for n in (1, 2))
    assert 2 * 64 * per_token == two - one


def test_each_layer_adds_the_same() -> None:
    sizes = [saved(read(GPT2, n_layer=n), attention="eager") for n in (1, 2, 3)]
    assert sizes[1] - sizes[0] == sizes[2] - sizes[1]


def test_many_lengths_at_once_equal_one_at_a_time() -> None:
    tokens = np.array([16, 48, 100])
    for config in (LLAMA, GPT2, MIXTRAL, T5):
        model = read(config)
        many = saved(model, 3, tokens, attention="eager")
        assert [saved(model, 3, int(n), attention="eager") for n in tokens] == many.tolist()


def test_a_window_needs_a_mask_once_tokens_pass_it() -> None:
    # Mistral with 4 heads, 2 of them for keys, of width 16, measured like the runs above.
    small = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    mistral = {**small, "model_type": "mistral", "head_dim": 16, "intermediate_size": 100, "vocab_size": 101}
    assert 564_484 == saved(read(mistral, sliding_window=32), 2, 48, dtype="bf16")


def test_selective_recomputation_keeps_no_scores() -> None:
    kept = [saved(read(LLAMA), 2, n, attention="eager", recompute="selective") for n in (64, 128, 192)]
    assert kept[2] - kept[1] == kept[1] - kept[0]


def test_flash_keeps_no_scores_even_with_dropout() -> None:
    on = Dropout(scores=True)
    spelled, fused = (saved(read(LLAMA), attention=how, dropout=on) for how in ("sdpa", "flash"))
    assert fused < spelled


def test_a_config_says_where_dropout_acts() -> None:
    assert dropout(LLAMA) == NO_DROPOUT
    assert dropout(GPT2) == Dropout(embedding=True, scores=True, output=True)
    assert dropout(OPT) == Dropout(output=True)
    assert dropout({**OPT, "dropout": 0.0, "attention_dropout": 0.1}) == Dropout(scores=True)
    assert dropout(T5) == Dropout(embedding=True, scores=True, output=True, inner=True, final=True)


def test_parts_without_a_rule_of_their_own_are_priced_by_their_operations() -> None:
    mamba = read({"model_type": "mamba", "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 211})
    states = 2 * 64 * (2 * 64) * 16 * 4 * 2  # tokens, channels, numbers each, bytes, layers
    assert 3 * states < saved(mamba, dtype="fp32") < 6 * states


def test_a_storage_counts_once_and_a_view_keeps_all_of_it() -> None:
    tape = Tape(element_bytes=2)
    x = tape.tensor(10, 6)
    linear(tape, x, 4)
    linear(tape, view(x, 3), 4)
    multiplied(tape, view(x, 1), x)
    assert 10 * 6 * 2 == tape.kept_bytes


def test_a_softmax_in_float32_keeps_four_bytes_and_returns_two() -> None:
    tape = Tape(element_bytes=2)
    assert 2 == softmax(tape, tape.tensor(5, 5), 4).element_bytes
    assert 5 * 5 * 4 == tape.kept_bytes


# Korthikanti et al. 2022 (arXiv:2205.05198): GPT-3 175B and MT-NLG 530B, width, heads, layers.
GPT3, MT_NLG = (12288, 96), (20480, 128)


def _gpt(shape: tuple[int, int], **how: Any) -> Any:
    hidden, heads = shape
    layer = layer_activation_bytes_megatron(batch=1, tokens=2048, hidden=hidden, heads=heads, ffn=4 * hidden, **how)
    return layer / (2048 * hidden)


def test_bytes_per_layer_follow_table_2_of_korthikanti() -> None:
    tensor, sequence = Sharding(tp=8), Sharding(tp=8, sequence_parallel=True)
    assert 34 + 80 == _gpt(GPT3)
    assert 34 + 64 == _gpt(MT_NLG)
    assert 10 + 24 / 8 + 80 / 8 == _gpt(GPT3, sharding=tensor)
    assert (34 + 80) / 8 == _gpt(GPT3, sharding=sequence)
    assert 10 + 24 / 8 == _gpt(GPT3, sharding=tensor, recompute="selective")
    assert 34 / 8 == _gpt(GPT3, sharding=sequence, recompute="selective")
    assert 2 == _gpt(GPT3, recompute="full")


def test_selective_recomputation_saves_70_and_65_percent() -> None:
    shares = [1 - _gpt(shape, recompute="selective") / _gpt(shape) for shape in (GPT3, MT_NLG)]
    assert [0.70, 0.65] == [round(share, 2) for share in shares]


def test_many_layers_at_once_equal_one_at_a_time() -> None:
    columns = {"batch": [1, 2, 4], "tokens": [128, 4096, 512], "hidden": [256, 4096, 512], "heads": [4, 32, 8]}
    columns |= {"ffn": [1024, 14336, 1376], "kv_heads": [4, 8, 1], "routed": [0, 2, 8]}
    degrees, how = [1, 8, 2], {"gated": True, "dropout": False}
    sharding = Sharding(tp=np.array(degrees), sequence_parallel=True)
    arrays: Any = {name: np.array(values, dtype=float) for name, values in columns.items()}
    many = layer_activation_bytes_megatron(**arrays, sharding=sharding, **how)
    for i, tp in enumerate(degrees):
        sizes: Any = {name: values[i] for name, values in columns.items()}
        one = layer_activation_bytes_megatron(**sizes, sharding=Sharding(tp=tp, sequence_parallel=True), **how)
        assert one == pytest.approx(many[i], rel=1e-12)


def test_a_flash_kernel_and_shared_keys_keep_less() -> None:
    sizes: Any = {"batch": 1, "tokens": 4096, "hidden": 4096, "heads": 32, "ffn": 14336, "dropout": False}
    plain, grouped = (layer_activation_bytes_megatron(**sizes, kv_heads=k, flash=True) for k in (32, 8))
    assert 4096 * 2 * 2 * 24 * 128 == plain - grouped
    assert 4096 * 32 * (4096 * 2 - 4) == layer_activation_bytes_megatron(**sizes) - plain


def test_a_whole_model_is_its_layers_and_its_two_ends() -> None:
    model = read(GPT2)
    layer = layer_activation_bytes_megatron(batch=2, tokens=256, hidden=768, heads=12, ffn=3072)
    ends = 2 * 256 * (5 * 768 + 4 * 50257)
    assert 12 * layer + ends == megatron_activation_bytes(model, batch=2, tokens=256)
    asked = saved(model, 2, 256, attention="eager", dropout=dropout(GPT2), convention="megatron")
    assert 12 * layer + ends == asked


@pytest.mark.parametrize("wrong", [{"attention": "flsh"}, {"dtype": "fp8"}, {"recompute": "some"}, {"convention": "x"}])
def test_an_unknown_word_is_refused_by_name(wrong: dict[str, str]) -> None:
    name, value = next(iter(wrong.items()))
    with pytest.raises(BadInput, match=f"^{name}='{value}' is not known.*expected one of"):
        saved(read(LLAMA), **wrong)
