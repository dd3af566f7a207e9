"""Encoder-decoders: published counts, and the traps of BART's and T5's kin."""

from __future__ import annotations

from typing import Any

import pytest

from deepwide.architecture.flops import Pass, forward_flops
from deepwide.architecture.ledger import Ledger, lower
from deepwide.errors import BadInput
from deepwide.formats.huggingface import read_config

T5_BASE = {"model_type": "t5", "vocab_size": 32128, "d_model": 768, "d_kv": 64, "d_ff": 3072, "num_layers": 12}
T5_BASE = {**T5_BASE, "num_heads": 12, "feed_forward_proj": "relu"}
FLAN = {**T5_BASE, "d_ff": 2048, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
BART_BASE = {"model_type": "bart", "d_model": 768, "encoder_layers": 6, "decoder_layers": 6, "encoder_ffn_dim": 3072}
BART_BASE = {**BART_BASE, "decoder_ffn_dim": 3072, "encoder_attention_heads": 12, "decoder_attention_heads": 12}
WHISPER = {"model_type": "whisper"}
MARIAN = {"model_type": "marian", "decoder_vocab_size": 40_000, "share_encoder_decoder_embeddings": False}

# Totals of the safetensors files on huggingface.co; the others as transformers 5.23 builds them.
PUBLISHED = {
    "t5-base": (T5_BASE, 222_903_552),
    "google/flan-t5-base": (FLAN, 247_577_856),
    "facebook/bart-base": (BART_BASE, 139_420_416),
    "facebook/bart-large": ({"model_type": "bart"}, 406_291_456),
    "openai/whisper-tiny": (WHISPER, 37_760_640),
    "facebook/mbart-large defaults": ({"model_type": "mbart"}, 406_295_552),
    "facebook/nllb-moe defaults": ({"model_type": "nllb-moe"}, 6_880_712_704),
    "google/umt5 defaults": ({"model_type": "umt5"}, 172_122_112),
    "google/t5gemma-2b defaults": ({"model_type": "t5gemma"}, 5_596_853_760),
}


def ledger(config: dict[str, Any], **asked: Any) -> Ledger:
    return lower(read_config(config, **asked))


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_counts_are_reproduced(name: str) -> None:
    config, total = PUBLISHED[name]
    assert total == ledger(config).parameters()


def test_untied_t5_has_one_more_table_and_says_that_transformers_ties_it() -> None:
    untied, tied = read_config(FLAN), read_config({**FLAN, "tie_word_embeddings": True})
    assert 32128 * 768 == lower(untied).parameters() - lower(tied).parameters()
    assert any("tie_word_embeddings" in note for note in untied.notes)
    assert () == tied.notes


def test_t5_has_one_relative_bias_per_stack_and_umt5_one_per_layer() -> None:
    rows = {
        t: [w.repeat for w in ledger({"model_type": t}).weights if w.role == "relative_bias"] for t in ("t5", "umt5")
    }
    assert {"t5": [1, 1], "umt5": [8, 8]} == rows


def test_decoder_layers_follow_the_encoder_only_where_the_config_leaves_them_out() -> None:
    def layers(**fields: Any) -> list[int]:
        return [stack.layers for stack in read_config({"model_type": "t5", "num_layers": 3, **fields}).stacks]

    assert [3, 3] == layers(num_decoder_layers=None)
    assert [3, 5] == layers(num_decoder_layers=5)


def test_a_causal_class_is_the_decoder_alone_with_its_cross_attention() -> None:
    half = ledger({"model_type": "bart"}, architecture="BartForCausalLM")
    assert 254_084_096 == half.parameters()
    assert any("cross_attention" in w.name for w in half.weights)


def test_an_encoder_class_has_neither_decoder_nor_head() -> None:
    assert {"embedding", "encoder"} == {
        w.name.split(".")[0] for w in ledger(T5_BASE, architecture="T5EncoderModel").weights
    }


def test_bigbird_pegasus_alone_leaves_its_head_untied() -> None:
    assert 469_630_976 == ledger({"model_type": "bigbird_pegasus"}, task="causal").parameters()


def test_marian_with_two_vocabularies_ties_its_head_to_the_decoder() -> None:
    (head,) = (w for w in ledger(MARIAN).weights if w.part == "head")
    assert ("decoder.tokens", (1024, 40_000)) == (head.tied, head.shape)


def test_untied_bart_keeps_a_shared_table_that_nothing_reads() -> None:
    tied, untied = ledger(BART_BASE), ledger({**BART_BASE, "tie_word_embeddings": False})
    assert 3 * 50265 * 768 == untied.parameters() - tied.parameters()
    assert "embedding.shared" not in {op.weight for op in untied.ops}


@pytest.mark.parametrize(("sparse", "layers"), [(3, [1, 5, 9]), (12, list(range(12))), (0, [1])])
def test_switch_puts_experts_in_the_second_layer_of_each_group(sparse: int, layers: list[int]) -> None:
    encoder = read_config({"model_type": "switch_transformers", "num_sparse_encoder_layers": sparse}).stacks[0]
    names = [encoder.runs[i].name for i in encoder.order] or ["sparse"] * 12
    assert layers == [i for i, name in enumerate(names) if name == "sparse"]


# PyTorch's FlopCounterMode, 512 tokens in each stack.
@pytest.mark.parametrize(("config", "flops"), [(T5_BASE, 257_194_721_280), (BART_BASE, 155_494_121_472)])
def test_forward_work_equals_the_counter(config: dict[str, Any], flops: int) -> None:
    assert flops == forward_flops(ledger(config), Pass(tokens=512), "counter")


def test_keys_across_are_made_of_the_encoders_tokens() -> None:
    ops = {op.name: op.stream for op in ledger(BART_BASE).ops}
    assert "encoder" == ops["decoder.cross_attention.key"]
    assert "decoder" == ops["decoder.cross_attention.query"]


def test_whisper_hears_a_fixed_number_of_tokens() -> None:
    across = next(c for c in ledger(WHISPER).caches if "cross" in c.name)
    assert (True, 1500 * 2 * 384) == (across.fixed, across.elements)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({**T5_BASE, "feed_forward_proj": "gated-gelu-new"}, "feed_forward_proj='gated-gelu-new' must be"),
        ({**BART_BASE, "decoder_attention_heads": 7}, "decoder_attention_heads=7 does not divide d_model=768"),
        ({"model_type": "longt5", "encoder_attention_type": "global"}, "encoder_attention_type='global' must be"),
        ({"model_type": "led", "attention_window": [512]}, "attention_window has 1 entries for 12 layers"),
        ({"model_type": "t5gemma", "encoder": 3}, "encoder=3 must be a table of fields"),
    ],
)
def test_a_config_that_cannot_be_a_model_is_refused_in_one_line(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput) as refusal:
        read_config(fields)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)
