"""Encoders: published counts to the last parameter, and the traps of the families."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deepwide.architecture.flops import Pass, forward_flops
from deepwide.architecture.ledger import Ledger, lower
from deepwide.architecture.sizes import sizes
from deepwide.errors import BadInput
from deepwide.formats.huggingface import read_config

DEBERTA = {"model_type": "deberta-v2", "relative_attention": True, "position_biased_input": False}
SHARED = {"pos_att_type": ["p2c", "c2p"], "share_att_key": True, "position_buckets": 256, "norm_rel_ebd": "layer_norm"}
DEBERTA_V3_BASE = {
    **DEBERTA,
    **SHARED,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
}
DEBERTA_V2_XLARGE = {**DEBERTA, **SHARED, "attention_head_size": 64, "conv_kernel_size": 3, "conv_act": "gelu"}
ALBERT_BASE = {"model_type": "albert", "hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072}
ROBERTA_BASE = {"model_type": "roberta", "max_position_embeddings": 514, "type_vocab_size": 1}

# Counts of the published checkpoints with their language head, a tied tensor once (numel over the safetensors headers
# on huggingface.co, and what transformers 5.23 builds from the same config).
PUBLISHED = [
    ({"model_type": "bert"}, 109_514_298),
    (ROBERTA_BASE, 124_697_433),
    ({"model_type": "distilbert"}, 66_985_530),
    ({"model_type": "electra"}, 13_546_682),
    (ALBERT_BASE, 11_221_680),
    (DEBERTA_V3_BASE, 184_551_780),
    (DEBERTA_V2_XLARGE, 887_085_156),
    ({"model_type": "modernbert"}, 149_655_232),
    ({"model_type": "mobilebert"}, 36_596_538),
    ({"model_type": "squeezebert"}, 51_712_314),
    ({"model_type": "convbert"}, 106_303_170),
    ({"model_type": "funnel"}, 131_003_706),
    ({"model_type": "luke"}, 314_445_435),
    ({"model_type": "reformer"}, 5_975_872),
]

# torch.utils.flop_counter.FlopCounterMode over the same classes, one sequence of 512 tokens (ModernBERT 2048).
COUNTED = [
    ({"model_type": "bert"}, 512, 121_244_221_440),
    (ROBERTA_BASE, 512, 136_770_748_416),
    ({"model_type": "distilbert"}, 512, 72_925_839_360),
    (ALBERT_BASE, 512, 100_770_250_752),
    (DEBERTA_V3_BASE, 512, 222_141_874_176),
    ({"model_type": "modernbert"}, 2048, 896_104_660_992),
]


def named(value: Any) -> str:
    """What a case is called: its family."""
    return value["model_type"] if isinstance(value, dict) else ""


def ledger(config: dict[str, Any], **more: Any) -> Ledger:
    """The rows of a config with some fields changed."""
    return lower(read_config({**config, **more}))


def parameters(model_type: str, **more: Any) -> Any:
    """The count of a family's default with some fields changed."""
    return ledger({"model_type": model_type}, **more).parameters()


@pytest.mark.parametrize(("config", "published"), PUBLISHED, ids=named)
def test_published_counts_are_reproduced(config: dict[str, Any], published: int) -> None:
    assert published == ledger(config).parameters()


@pytest.mark.parametrize(("config", "tokens", "counted"), COUNTED, ids=named)
def test_forward_work_equals_what_a_counter_sees(config: dict[str, Any], tokens: int, counted: int) -> None:
    assert counted == forward_flops(ledger(config), Pass(tokens=tokens), "counter")


def test_a_deeper_albert_works_more_with_the_same_weights() -> None:
    base, deeper = ledger(ALBERT_BASE), ledger(ALBERT_BASE, num_hidden_layers=24)
    assert base.parameters() == deeper.parameters()
    assert forward_flops(base, Pass(tokens=512)) < forward_flops(deeper, Pass(tokens=512))


def test_albert_groups_own_weights_of_their_own() -> None:
    group = ledger(ALBERT_BASE, num_hidden_groups=2).parameters() - ledger(ALBERT_BASE).parameters()
    assert ledger(ALBERT_BASE, num_hidden_groups=3).parameters() == ledger(ALBERT_BASE).parameters() + 2 * group


def test_an_untied_bert_keeps_the_head_bias_twice() -> None:
    vocab, hidden = 30_522, 768
    assert parameters("bert") + vocab * hidden + vocab == parameters("bert", tie_word_embeddings=False)
    assert parameters("electra") + vocab * 128 == parameters("electra", tie_word_embeddings=False)


def test_the_causal_twin_has_the_same_weights_and_a_cache() -> None:
    twin = lower(read_config({"model_type": "bert"}, task="causal"))
    assert parameters("bert") == twin.parameters()
    assert not ledger({"model_type": "bert"}).caches
    assert [1536] == [cache.elements for cache in twin.caches]


def test_cross_attention_adds_one_attention_and_norm_to_each_layer() -> None:
    attention = 4 * (768 * 768 + 768) + 2 * 768
    assert parameters("bert") + 12 * attention == parameters("bert", is_decoder=True, add_cross_attention=True)


def test_cross_attention_in_an_encoder_is_refused() -> None:
    with pytest.raises(BadInput, match="add_cross_attention=true needs is_decoder=true"):
        parameters("bert", add_cross_attention=True)


def test_modernberts_first_attention_has_no_norm() -> None:
    one, two = (parameters("modernbert", num_hidden_layers=n) for n in (1, 2))
    assert two - one == 768 * (2304 + 768 + 2304 + 1152) + 2 * 768
    assert one == parameters("modernbert", num_hidden_layers=0) + two - one - 768


def test_a_text_of_one_language_meets_one_of_xmods_adapters() -> None:
    rows = ledger({"model_type": "xmod"}, languages=["en_XX", "de_DE", "vi_VN"])
    assert parameters("xmod") == rows.active_parameters()
    assert rows.active_parameters() < rows.parameters()


def test_heads_that_do_not_divide_are_refused_in_one_line() -> None:
    with pytest.raises(
        BadInput, match="num_attention_heads=7 does not divide the family's default hidden_size=768"
    ) as refused:
        parameters("bert", num_attention_heads=7)
    assert "\n" not in str(refused.value)


def test_a_config_that_names_another_head_is_told_what_was_counted() -> None:
    read = read_config({"model_type": "bert", "architectures": ["BertForSequenceClassification"]})
    assert ("counted with its language-model head, not as BertForSequenceClassification",) == read.notes


@pytest.mark.parametrize(
    ("model_type", "fields"),
    [
        ("longformer", {"attention_window": 5}),
        ("longformer", {"attention_window": [4, 8]}),
        ("reformer", {"attn_layers": []}),
        ("reformer", {"axial_pos_embds_dim": [16, 16]}),
        ("squeezebert", {"q_groups": 5}),
        ("squeezebert", {"embedding_size": 20}),
        ("funnel", {"block_sizes": [2, 3], "block_repeats": [1]}),
        ("deberta-v2", {"attention_head_size": 13}),
        ("esmc", {"num_key_value_heads": 2}),
        ("mobilebert", {"num_feedforward_networks": 10**9}),
        ("neomme", {"layer_types": ["sliding_attention"] * 17}),
        ("neomme", {"per_layer_config": {"01": {"sliding_window": 2048}}}),
        ("xlm", {"is_encoder": False}),
    ],
)
def test_what_no_class_can_build_is_refused(model_type: str, fields: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        parameters(model_type, **fields)


def test_sizes_are_found_inside_a_body_of_several_parts() -> None:
    found = sizes(read_config({"model_type": "mobilebert"}))
    assert (4, 32, 512) == (found.heads, found.head_dim, found.ffn)


@pytest.mark.parametrize("model_type", ["bert", "distilbert", "megatron-bert", "gte", "eurobert"])
def test_many_designs_equal_one_at_a_time(model_type: str) -> None:
    names = ("layers", "hidden", "heads", "ffn")
    designs = [dict(zip(names, shape, strict=True)) for shape in ((7, 240, 5, 512), (3, 120, 4, 99))]
    columns = {name: np.array([float(design[name]) for design in designs]) for name in designs[0]}
    config = {"model_type": model_type}
    single = [lower(read_config(config, changes=design)).parameters() for design in designs]
    assert single == list(lower(read_config(config, changes=columns)).parameters())
