"""Dense decoders: published counts to the last parameter, what the installed classes build, and the families' traps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deepwide.architecture.flops import Pass, forward_flops
from deepwide.architecture.ledger import Ledger, lower
from deepwide.errors import BadInput
from deepwide.formats.huggingface import read_config

OPT_350M = {
    "model_type": "opt",
    "hidden_size": 1024,
    "ffn_dim": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "word_embed_proj_dim": 512,
    "do_layer_norm_before": False,
}
LLAMA_2_7B = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "vocab_size": 32000,
}
GEMMA_2B = {
    "model_type": "gemma",
    "hidden_size": 2048,
    "intermediate_size": 16384,
    "num_attention_heads": 8,
    "num_hidden_layers": 18,
    "num_key_value_heads": 1,
    "vocab_size": 256000,
}
FALCON_180B = {
    "model_type": "falcon",
    "hidden_size": 14848,
    "new_decoder_architecture": True,
    "num_attention_heads": 232,
    "num_hidden_layers": 80,
    "num_kv_heads": 8,
    "vocab_size": 65024,
}
STARCODER = {
    "model_type": "gpt_bigcode",
    "vocab_size": 49152,
    "n_positions": 8192,
    "n_embd": 6144,
    "n_layer": 40,
    "n_head": 48,
    "n_inner": 24576,
}
COMMAND_R_PLUS = {
    "model_type": "cohere",
    "hidden_size": 12288,
    "intermediate_size": 33792,
    "num_hidden_layers": 64,
    "num_attention_heads": 96,
    "num_key_value_heads": 8,
    "use_qk_norm": True,
}
PHI_2 = {"model_type": "phi", "hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 32}
GPT2_XL = {"model_type": "gpt2", "n_embd": 1600, "n_layer": 48, "n_head": 25}
BLOOM = {"model_type": "bloom", "hidden_size": 14336, "n_layer": 70, "n_head": 112}
MPT_7B = {"model_type": "mpt", "vocab_size": 50432, "d_model": 4096, "n_heads": 32, "n_layers": 32}
GOPHER = {"n_layer": 80, "d_model": 16384, "n_heads": 128, "kv_size": 128, "vocab_size": 32000}
PALM = {"n_layer": 118, "d_model": 18432, "n_heads": 48, "head_dim": 256, "vocab_size": 256000}
GROK = {
    "model_type": "grok-1",
    "vocab_size": 131072,
    "hidden_size": 6144,
    "widening_factor": 8,
    "key_size": 128,
    "num_attention_heads": 48,
    "num_key_value_heads": 8,
    "num_hidden_layers": 64,
    "num_experts": 8,
    "num_experts_per_tok": 2,
}
ELMO = {
    "n_characters": 262,
    "char_dim": 16,
    "filters": [[1, 32], [2, 32], [3, 64], [4, 128], [5, 256], [6, 512], [7, 1024]],
    "n_highway": 2,
    "projection": 512,
    "lstm_cell": 4096,
    "lstm_layers": 2,
}

# Safetensors totals on huggingface.co, a tied tensor once; below them, sizes from the papers' own tables:
# Gopher arXiv:2112.11446 table 1, PaLM arXiv:2204.02311 table 1, ELMo's options file ("93.6M" on allennlp.org/elmo).
PUBLISHED = [
    (GPT2_XL, 1_557_611_200),
    (OPT_350M, 331_196_416),
    (BLOOM, 176_247_271_424),
    (MPT_7B, 6_649_286_656),
    (FALCON_180B, 178_557_088_768),
    (STARCODER, 15_517_456_384),
    (PHI_2, 2_779_683_840),
    (LLAMA_2_7B, 6_738_415_616),
    (GEMMA_2B, 2_506_172_416),
    (COMMAND_R_PLUS, 103_810_674_688),
    ({"model_type": "glm"}, 9_399_951_360),
    ({"model_type": "smollm3"}, 3_075_098_624),
    ({"model_type": "stablelm"}, 2_795_443_200),
    ({"model_type": "gopher", **GOPHER}, 279_711_596_544),
    ({"model_type": "chinchilla", **GOPHER, "d_model": 8192, "n_heads": 64}, 70_062_579_712),
    ({"model_type": "palm", **PALM}, 540_356_474_880),
    (GROK, 315_684_820_992),
    ({"model_type": "elmo", **ELMO}, 93_600_864),
]

SMALL = {"vocab_size": 320, "hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4}
GATED = {**SMALL, "intermediate_size": 112, "num_hidden_layers": 6, "num_key_value_heads": 2}
GEMMA = {
    **GATED,
    "head_dim": 12,
    "vocab_size_per_layer_input": 200,
    "hidden_size_per_layer_input": 6,
    "layer_types": ["sliding_attention", "full_attention"] * 3,
}
TWICE_AS_WIDE = {"num_kv_shared_layers": 2, "use_double_wide_mlp": True}
KEYS_AS_VALUES = {"attention_k_eq_v": True, "num_global_key_value_heads": 1}
EXPERTS = {"enable_moe_block": True, "num_experts": 6, "top_k_experts": 2, "moe_intermediate_size": 22}
WIDTHS = {"num_kv_shared_layers": 3, "laurel_rank": 5, "intermediate_size": [10, 20, 30, 10, 20, 30]}
BARE_OPT = {"ffn_dim": 99, "word_embed_proj_dim": 24, "layer_norm_elementwise_affine": False, "enable_bias": False}

# What the classes of transformers 5.23 build from these configs on the meta device.
BUILT = [
    ("falcon", {**SMALL, "new_decoder_architecture": True, "num_kv_heads": 2}, 92_064),
    ("falcon", {**SMALL, "parallel_attn": False, "alibi": True, "bias": True}, 89_688),
    ("opt", {**SMALL, **BARE_OPT, "max_position_embeddings": 64}, 69_312),
    ("stablelm", {**GATED, "qk_layernorm": True, "use_parallel_residual": True, "use_qkv_bias": True}, 170_640),
    ("helium", {**GATED, "head_dim": 20}, 188_016),
    ("doge", {**GATED, "is_moe": True, "num_experts": 50, "num_experts_per_tok": 4, "mlp_bias": True}, 205_068),
    ("hrm_text", {**GATED, "attention_bias": True, "head_dim": 20}, 459_120),
    ("modernbert-decoder", {**GATED, "norm_bias": True, "classifier_bias": True}, 171_440),
    ("apertus", {**GATED, "hidden_act": "xielu"}, 137_484),
    ("diffllama", GATED, 169_872),
    ("xlnet", {"vocab_size": 320, "d_model": 48, "n_layer": 3, "n_head": 4, "d_inner": 99}, 80_537),
    ("musicgen_decoder", {**SMALL, "vocab_size": 64, "ffn_dim": 99}, 109_536),
    ("gemma3n_text", {**GEMMA, **WIDTHS}, 100_386),
    ("gemma4_text", {**GEMMA, **TWICE_AS_WIDE, **KEYS_AS_VALUES}, 818_290),
    ("gemma4_text", {**GEMMA, **EXPERTS, "hidden_size_per_layer_input": 0}, 1_138_908),
]

REFUSED = [
    ({**LLAMA_2_7B, "num_attention_heads": 30}, "num_attention_heads=30 does not divide hidden_size=4096"),
    (
        {"model_type": "gemma3_text", "layer_types": ["full_attention"], "num_hidden_layers": 4},
        "1 entries for 4 layers",
    ),
    ({"model_type": "gemma3_text", "sliding_window_pattern": 0}, "sliding_window_pattern=0 must be at least 1"),
    ({"model_type": "gemma3n_text", "num_hidden_layers": 10}, "num_kv_shared_layers=15 must be at most"),
    ({"model_type": "gemma4_text", "per_layer_config": [1]}, "per_layer_config must give a table of fields"),
    ({"model_type": "gemma4_text", "per_layer_config": {"5": {"hidden_size": 64}}}, "expected head_dim or"),
    ({"model_type": "gpt_neo", "attention_types": [["global", 10**9]]}, "attention_types must look like"),
    ({"model_type": "gpt_neo", "attention_types": ["local"]}, "attention_types must look like"),
    ({"model_type": "diffllama", "num_key_value_heads": 1}, "num_key_value_heads=1 must be even"),
    ({"model_type": "moshi", "architectures": ["MoshiForConditionalGeneration"]}, "ask for MoshiForCausalLM"),
    ({"model_type": "chatglm", "position_encoding_2d": True}, "first ChatGLM"),
    ({"model_type": "elmo", **ELMO, "filters": [3]}, "must be a pair"),
]


def ledger(config: dict[str, Any], **more: Any) -> Ledger:
    """The rows of a config with some fields changed."""
    return lower(read_config({**config, **more}))


def cached(family: str, **more: Any) -> list[tuple[Any, Any]]:
    """How many layers of a family's default keep keys, and how far back."""
    return [(cache.repeat, cache.window) for cache in ledger({"model_type": family}, **more).caches]


@pytest.mark.parametrize("layers", [5, 9])
def test_changing_the_layers_of_gemma_3n_keeps_the_width_of_those_that_stay(layers: int) -> None:
    config = {"model_type": "gemma3n_text", **GEMMA, **WIDTHS, "intermediate_size": [10] * 6}
    changed = lower(read_config(config, changes={"layers": layers, "ffn": 10}))
    stated = {"num_hidden_layers": layers, "intermediate_size": [10] * layers}
    stated |= {"layer_types": (config["layer_types"] * 2)[:layers]}
    assert ledger(config, **stated).parameters() == changed.parameters()


def test_fewer_layers_of_gemma_3n_take_the_first_of_its_widths() -> None:
    config = {"model_type": "gemma3n_text", **GEMMA, **WIDTHS, "num_kv_shared_layers": 1}
    fewer = lower(read_config(config, changes={"layers": 4}))
    stated = {"num_hidden_layers": 4, "intermediate_size": [10, 20, 30, 10], "layer_types": config["layer_types"][:4]}
    assert ledger(config, **stated).parameters() == fewer.parameters()


@pytest.mark.parametrize(
    ("config", "published"), PUBLISHED, ids=lambda c: c["model_type"] if isinstance(c, dict) else ""
)
def test_published_counts_are_reproduced(config: dict[str, Any], published: int) -> None:
    assert published == ledger(config).parameters()


@pytest.mark.parametrize(("family", "config", "built"), BUILT, ids=[case[0] for case in BUILT])
def test_unusual_settings_count_what_the_class_builds(family: str, config: dict[str, Any], built: int) -> None:
    assert built == ledger({"model_type": family, **config}).parameters()


def test_a_token_meets_two_of_the_eight_experts_of_grok() -> None:
    assert 83_756_587_008 == ledger(GROK).active_parameters()


def test_a_doge_token_meets_few_of_its_experts() -> None:
    rows = ledger({"model_type": "doge", "is_moe": True})
    assert 2 * 1024 * (16384 - 64) * 32 == rows.parameters() - rows.active_parameters()


@pytest.mark.parametrize(("config", "message"), REFUSED)
def test_a_config_that_cannot_be_a_model_is_refused_in_one_line(config: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        ledger(config)
    assert "\n" not in str(caught.value)


def test_the_first_falcon_shares_one_key_among_all_heads() -> None:
    key = next(w for w in ledger({"model_type": "falcon"}).weights if w.role == "key")
    assert (4544, 64) == key.shape


def test_qwen_has_windows_only_where_they_are_switched_on() -> None:
    assert [(32, None)] == cached("qwen2", sliding_window=4096)
    upper = {"use_sliding_window": True, "sliding_window": 4096, "max_window_layers": 28}
    assert [(28, None), (4, 4096)] == cached("qwen2", **upper)


def test_gpt_neo_looks_back_256_tokens_in_every_other_layer() -> None:
    assert [(12, None), (12, 256)] == cached("gpt_neo")


def test_gemma_3n_caches_keys_in_the_layers_that_compute_them() -> None:
    assert [(16, 512), (4, None)] == cached("gemma3n_text")


def test_gemma_4_layers_given_one_by_one_are_its_full_layers_with_wide_heads() -> None:
    one_by_one = {"per_layer_config": {"05": {"head_dim": 512}, "11": {"head_dim": 512}}, "num_hidden_layers": 12}
    expected = ledger({"model_type": "gemma4_text"}, num_hidden_layers=12).parameters()
    assert expected == ledger({"model_type": "gemma4_text"}, **one_by_one).parameters()


def test_a_loop_adds_work_but_no_weights() -> None:
    one, two = (ledger({"model_type": "hrm_text"}, H_cycles=n) for n in (1, 2))
    head = 2 * 1536 * 151808
    assert one.parameters() == two.parameters()
    work = [forward_flops(rows, Pass(tokens=1)) - head for rows in (one, two)]
    assert 2 * work[0] == work[1]


def test_tying_follows_the_class_where_the_config_is_silent() -> None:
    tied = ledger({"model_type": "smollm3"}).parameters()
    assert 128256 * 2048 == ledger({"model_type": "smollm3"}, tie_word_embeddings=False).parameters() - tied


@pytest.mark.parametrize("family", ["llama", "gemma3_text", "olmo2", "gpt2", "falcon", "opt", "gopher"])
def test_many_shapes_at_once_count_as_one_by_one(family: str) -> None:
    shapes = [{"layers": 2, "hidden": 64, "heads": 4}, {"layers": 5, "hidden": 256, "heads": 8}]
    fixed = {"vocab": 1000, "kv_heads": 2, "head_dim": 16, "ffn": 100, "context": 64}

    def count(changes: dict[str, Any]) -> Any:
        return lower(read_config({"model_type": family}, changes={**fixed, **changes})).parameters()

    columns = {name: np.array([float(shape[name]) for shape in shapes]) for name in shapes[0]}
    assert [count(shape) for shape in shapes] == list(count(columns))
