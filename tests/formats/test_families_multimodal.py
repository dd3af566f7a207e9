"""Language models that see and hear: published counts, and the traps of configs inside configs."""

from __future__ import annotations

from typing import Any

import pytest

from deepwide.architecture.flops import Pass, forward_flops
from deepwide.architecture.ledger import Ledger, lower
from deepwide.architecture.rows import Op
from deepwide.errors import BadInput
from deepwide.formats.huggingface import read_config

SIGLIP_400M = {
    "model_type": "siglip_vision_model",
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_hidden_layers": 27,
    "num_attention_heads": 16,
    "image_size": 896,
    "patch_size": 14,
    "vision_use_head": False,
}
CLIP_LARGE = {
    "model_type": "clip_vision_model",
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "image_size": 336,
    "patch_size": 14,
}
GEMMA_3_4B = {
    "model_type": "gemma3",
    "text_config": {"hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34},
    "vision_config": SIGLIP_400M,
}
LLAMA_3_2_11B_VISION = {
    "model_type": "mllama",
    "vision_config": {"image_size": 560, "patch_size": 14, "vision_output_dim": 7680},
}
LLAVA_7B = {"model_type": "llava", "text_config": {"vocab_size": 32064}, "vision_config": CLIP_LARGE}
PALIGEMMA_3B = {
    "model_type": "paligemma",
    "text_config": {
        "hidden_size": 2048,
        "intermediate_size": 16384,
        "num_attention_heads": 8,
        "num_hidden_layers": 18,
        "num_key_value_heads": 1,
        "vocab_size": 257216,
    },
    "vision_config": {**SIGLIP_400M, "image_size": 224},
}
SMOLVLM = {
    "model_type": "idefics3",
    "scale_factor": 3,
    "text_config": {
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 24,
        "num_attention_heads": 32,
        "vocab_size": 49155,
    },
    "vision_config": {"image_size": 384, "intermediate_size": 4304, "num_hidden_layers": 27, "patch_size": 14},
}
# The first configs of Qwen2-VL have the language model's fields among their own.
QWEN2_VL_7B = {
    "model_type": "qwen2_vl",
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
    "vision_config": {"embed_dim": 1280, "hidden_size": 3584},
}
MISTRAL_SMALL_3_1 = {
    "model_type": "mistral3",
    "tie_word_embeddings": False,
    "vision_config": {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_attention_heads": 16,
        "patch_size": 14,
        "image_size": 1540,
    },
}
QWEN2_AUDIO_7B = {"model_type": "qwen2_audio", "text_config": {"intermediate_size": 11008, "vocab_size": 156032}}
LANGUAGE_PERCEIVER = {"model_type": "perceiver", "qk_channels": 256, "v_channels": 1280}
# The parameters of the checkpoints on the Hugging Face hub; where only the type is given, its defaults are the model's.
PUBLISHED = [
    (GEMMA_3_4B, 4_300_079_472),  # google/gemma-3-4b-pt
    (LLAMA_3_2_11B_VISION, 10_670_220_835),  # meta-llama/Llama-3.2-11B-Vision
    (LLAVA_7B, 7_063_427_072),  # llava-hf/llava-1.5-7b-hf
    (PALIGEMMA_3B, 2_923_466_480),  # google/paligemma-3b-pt-224
    (SMOLVLM, 2_246_272_880),  # HuggingFaceTB/SmolVLM-Instruct
    (QWEN2_VL_7B, 8_291_375_616),  # Qwen/Qwen2-VL-7B-Instruct
    (MISTRAL_SMALL_3_1, 24_011_361_280),  # mistralai/Mistral-Small-3.1-24B-Instruct-2503
    ({"model_type": "fuyu"}, 9_408_238_592),  # adept/fuyu-8b
    ({"model_type": "git"}, 176_619_066),  # microsoft/git-base
    ({"model_type": "got_ocr2"}, 560_528_640),  # stepfun-ai/GOT-OCR-2.0-hf
    (QWEN2_AUDIO_7B, 8_397_094_912),  # Qwen/Qwen2-Audio-7B-Instruct
    ({"model_type": "voxtral"}, 4_676_271_104),  # mistralai/Voxtral-Mini-3B-2507
    (LANGUAGE_PERCEIVER, 201_108_230),  # deepmind/language-perceiver
]


def ledger(config: dict[str, Any], **more: Any) -> Ledger:
    return lower(read_config(config, **more))


def parameters(config: dict[str, Any], **more: Any) -> Any:
    return ledger(config, **more).parameters()


def of_tower(ops: tuple[Op, ...]) -> list[Op]:
    return [op for op in ops if op.stream == "vision"]


@pytest.mark.parametrize(("config", "count"), PUBLISHED, ids=[str(c["model_type"]) for c, _ in PUBLISHED])
def test_published_counts_are_reproduced(config: dict[str, Any], count: int) -> None:
    assert count == parameters(config)


def test_gemma_3n_is_its_checkpoint_without_the_keys_that_its_shared_layers_never_read() -> None:
    shared, width, hidden, norm = 15, 2 * 256, 2048, 256
    published = 7_849_978_192  # google/gemma-3n-E4B
    assert published - shared * (2 * width * hidden + norm) == parameters({"model_type": "gemma3n"})


def test_a_class_for_text_alone_has_no_towers() -> None:
    whole, text = ledger(GEMMA_3_4B), ledger(GEMMA_3_4B, architecture="Gemma3ForCausalLM")
    towers = sum(w.parameters for w in whole.weights if w.name.startswith("vision."))
    assert whole.parameters() - towers == text.parameters()


def test_a_class_without_a_sibling_for_text_alone_stays_whole() -> None:
    assert parameters({"model_type": "fuyu"}) == parameters({"model_type": "fuyu"}, architecture="FuyuForCausalLM")


def test_layers_that_the_user_changes_are_those_of_the_language_model() -> None:
    changed = read_config(GEMMA_3_4B, changes={"layers": 2})
    assert [27, 2] == [stack.layers for stack in changed.stacks]


def test_a_config_inside_names_its_own_family() -> None:
    biased = {**LLAVA_7B, "text_config": {"vocab_size": 32064, "model_type": "qwen2", "intermediate_size": 11008}}
    layers, width = 32, 3 * 4096
    assert parameters(LLAVA_7B) + layers * width == parameters(biased)


def test_a_given_part_falls_back_to_its_own_class_and_a_missing_one_to_what_the_whole_says_of_it() -> None:
    missing, given = ({"model_type": "llava", **more} for more in ({}, {"vision_config": {}}))
    widths = [next(s for s in read_config(c).stacks if s.name == "vision").hidden for c in (missing, given)]
    assert [1024, 768] == widths


def test_voxtral_keeps_what_it_says_of_its_text_also_where_a_text_is_given() -> None:
    assert parameters({"model_type": "voxtral"}) == parameters({"model_type": "voxtral", "text_config": {}})


def test_the_outer_config_decides_whether_the_head_is_tied() -> None:
    untied = {**GEMMA_3_4B, "tie_word_embeddings": False}
    assert parameters(GEMMA_3_4B) + 262208 * 2560 == parameters(untied)


def test_a_class_that_never_ties_ignores_the_flag() -> None:
    assert parameters(QWEN2_AUDIO_7B) == parameters({**QWEN2_AUDIO_7B, "tie_word_embeddings": True})


def test_work_on_a_picture_does_not_grow_with_the_text() -> None:
    model = ledger(GEMMA_3_4B)
    assert {4096, 256} == {op.rows for op in of_tower(model.ops) if op.kind == "matmul"}
    short, long = (forward_flops(model, Pass(tokens=n, streams={"vision": 4096})) for n in (1, 2))
    assert long - short < short


def test_layers_that_look_at_a_picture_cache_its_tokens_once() -> None:
    caches = [c for c in ledger(LLAMA_3_2_11B_VISION).caches if c.fixed]
    tokens, widths, layers = 4 * 1601, 2 * 8 * 128, 8
    assert tokens * widths * layers == sum(c.elements * c.repeat for c in caches)


def test_a_t5gemma2_decoder_reads_its_encoder_by_the_matrices_it_has() -> None:
    model = ledger({"model_type": "t5gemma2"})
    across = [op.weight for op in model.ops if op.stream == "encoder" and op.name.startswith("decoder.")]
    assert across
    assert set(across) <= {weight.name for weight in model.weights}


@pytest.mark.parametrize(
    ("config", "architecture", "message"),
    [
        ({**GEMMA_3_4B, "vision_config": {"model_type": "vit_of_my_own"}}, "", "vit_of_my_own"),
        ({**GEMMA_3_4B, "vision_config": 3}, "", "vision_config=3"),
        ({**GEMMA_3_4B, "vision_config": {**SIGLIP_400M, "patch_size": 0}}, "", "patch_size=0"),
        ({"model_type": "gemma3n", "vision_config": {"architecture": "resnet50"}}, "", "resnet50"),
        ({"model_type": "seamless_m4t_v2"}, "SeamlessM4Tv2Model", "SeamlessM4Tv2ForTextToText"),
        ({"model_type": "encoder-decoder", "encoder": {"model_type": "t5"}}, "", "encoder.model_type='t5'"),
        ({"model_type": "perceiver"}, "PerceiverForOpticalFlow", "PerceiverForMaskedLM"),
        ({"model_type": "mllama", "vision_config": {"max_num_tiles": 3}}, "", "max_num_tiles=3"),
    ],
)
def test_what_is_not_described_is_refused_by_name(config: dict[str, Any], architecture: str, message: str) -> None:
    with pytest.raises(BadInput) as refused:
        read_config(config, architecture=architecture)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
