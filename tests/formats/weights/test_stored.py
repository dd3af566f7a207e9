"""Ledgers from lists of tensors: which part a name belongs to, what is multiplied, and what the notes admit."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import pytest

from deepwide.architecture.flops import token_flops
from deepwide.architecture.ledger import lower
from deepwide.formats.huggingface import read_config
from deepwide.formats.weights.stored import part_of, stored_ledger, stored_notes
from deepwide.formats.weights.tensors import Container, StoredTensor

Shapes = Mapping[str, tuple[int, ...]]


def container(shapes: Shapes, dtype: str = "BF16") -> Container:
    tensors = (StoredTensor(name=n, shape=s, dtype=dtype, stored_bytes=2 * prod(s)) for n, s in shapes.items())
    return Container(path="", tensors=tuple(tensors), metadata={}, kind="safetensors")


@pytest.mark.parametrize(
    ("part", "names"),
    [
        (
            "embedding",
            "model.embed_tokens.weight transformer.wte.weight token_embd.weight gpt_neox.embed_in.weight shared.weight "
            "bert.embeddings.word_embeddings.weight bert.embeddings.token_type_embeddings.weight token_types.weight "
            "backbone.embeddings.weight tok_embeddings.weight transformer.word_embeddings.weight",
        ),
        (
            "position",
            "transformer.wpe.weight position_embd.weight bert.embeddings.position_embeddings.weight "
            "model.decoder.embed_positions.weight enc.blk.0.attn_rel_b.weight "
            "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
        ),
        (
            "attention",
            "model.layers.0.self_attn.q_proj.weight transformer.h.3.attn.c_attn.bias blk.7.attn_output.weight "
            "blk.7.attn_qkv.bias transformer.h.0.self_attention.query_key_value.weight blk.0.attn_sinks.weight "
            "bert.encoder.layer.0.attention.output.dense.weight decoder.block.1.layer.1.EncDecAttention.k.weight "
            "blk.0.attn_kv_a_mqa.weight transformer.blocks.0.norm_attn_norm.attn.Wqkv.weight "
            "layers.0.attention.wq.weight",
        ),
        (
            "ffn",
            "model.layers.0.mlp.gate_proj.weight transformer.h.3.mlp.c_fc.bias blk.7.ffn_down.weight "
            "blk.7.ffn_gate_exps.weight model.layers.0.mlp.experts.7.down_proj.weight "
            "model.layers.0.mlp.experts.gate_up_proj "
            "bert.encoder.layer.0.output.dense.weight encoder.block.0.layer.1.DenseReluDense.wi_0.weight "
            "bert.encoder.layer.0.intermediate.dense.weight model.decoder.layers.0.fc1.weight "
            "blk.0.ffn_up_shexp.weight "
            "transformer.h.0.mlp.dense_h_to_4h.weight layers.0.feed_forward.w1.weight",
        ),
        (
            "router",
            "model.layers.0.block_sparse_moe.gate.weight blk.7.ffn_gate_inp.weight model.layers.3.mlp.gate.weight "
            "model.layers.0.mlp.shared_expert_gate.weight model.layers.0.mlp.router.bias "
            "blk.1.ffn_gate_inp_shexp.weight",
        ),
        (
            "norm",
            "model.norm.weight model.layers.0.input_layernorm.weight transformer.h.0.ln_1.bias blk.0.attn_norm.weight "
            "output_norm.weight bert.embeddings.LayerNorm.weight model.layers.0.self_attn.q_norm.weight "
            "transformer.ln_f.weight blk.0.post_ffw_norm.weight cls.predictions.transform.LayerNorm.bias",
        ),
        (
            "head",
            "lm_head.weight output.weight embed_out.weight cls.predictions.bias cls.predictions.transform.dense.weight",
        ),
        (
            "recurrent",
            "backbone.layers.0.mixer.in_proj.weight model.layers.0.mamba.A_log blk.0.ssm_in.weight blk.0.ssm_a "
            "model.layers.0.linear_attn.in_proj_qkvz.weight blk.1.shortconv.conv.weight "
            "model.layers.0.conv.in_proj.weight",
        ),
    ],
)
def test_names_say_the_part(part: str, names: str) -> None:
    assert {part} == {part_of(name) for name in names.split()}


LLAMA = {"model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
LLAMA |= {"num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 300}
LAYER = {
    "self_attn.q_proj.weight": (64, 64),
    "self_attn.k_proj.weight": (32, 64),
    "self_attn.v_proj.weight": (32, 64),
    "self_attn.o_proj.weight": (64, 64),
    "mlp.gate_proj.weight": (96, 64),
    "mlp.up_proj.weight": (96, 64),
    "mlp.down_proj.weight": (64, 96),
    "input_layernorm.weight": (64,),
    "post_attention_layernorm.weight": (64,),
}
ENDS = {"model.embed_tokens.weight": (300, 64), "model.norm.weight": (64,)}
TENSORS = {**ENDS, **{f"model.layers.{i}.{name}": shape for i in range(2) for name, shape in LAYER.items()}}
HEAD = {"lm_head.weight": (300, 64)}


@pytest.mark.parametrize("tied", [True, False])
def test_parts_and_work_are_those_of_the_rules(tied: bool) -> None:
    ruled = lower(read_config({**LLAMA, "tie_word_embeddings": tied}))
    stored = stored_ledger(container({**TENSORS, **({} if tied else HEAD)}))
    assert {p: n for p, n in ruled.parameters_by(lambda w: w.part).items() if n} == {
        p: n for p, n in stored.parameters_by(lambda w: w.part).items() if n
    }
    assert token_flops(ruled) == token_flops(stored)


def test_equal_layers_are_one_row() -> None:
    row = next(w for w in stored_ledger(container(TENSORS)).weights if w.name.endswith("q_proj.weight"))
    assert ("model.layers.*.self_attn.q_proj.weight", "q_proj", 2) == (row.name, row.role, row.repeat)


TOGETHER = {"blk.0.ffn_up_exps.weight": (8, 96, 64), "blk.0.ffn_up_exps.bias": (8, 96)}
ONE_BY_ONE = {f"layers.{i}.mlp.experts.{e}.up_proj.weight": (96, 64) for i in range(2) for e in range(8)}


@pytest.mark.parametrize("shapes", [TOGETHER, ONE_BY_ONE])
def test_a_token_meets_all_experts_unless_their_number_is_known(shapes: Shapes) -> None:
    total = sum(prod(shape) for shape in shapes.values())
    unknown = stored_ledger(container(shapes))
    known = stored_ledger(container(shapes), experts=8, active_experts=2)
    assert (total, total) == (unknown.parameters(), unknown.active_parameters())
    assert (total, total // 4) == (known.parameters(), known.active_parameters())
    assert 4 * token_flops(known) == token_flops(unknown)


def test_what_cannot_be_known_of_experts_is_said() -> None:
    assert any("how many experts a token meets is not stored" in note for note in stored_notes(container(ONE_BY_ONE)))
    assert not any("experts" in note for note in stored_notes(container(ONE_BY_ONE), experts_known=True))
    assert not any("experts" in note for note in stored_notes(container({"mlp.shared_experts.up.weight": (96, 64)})))


def test_a_norm_per_head_and_a_bias_per_expert_are_not_multiplied() -> None:
    shapes = {"layers.0.self_attn.q_norm.weight": (4, 16), "layers.0.mlp.experts.gate_up_proj_bias": (8, 192)}
    assert () == stored_ledger(container(shapes)).ops


def test_buffers_are_left_out_and_named() -> None:
    shapes = {"h.0.attn.bias": (1, 1, 8, 8), "h.0.mlp.c_fc.weight": (64, 256)}
    assert 64 * 256 == stored_ledger(container(shapes)).parameters()
    assert "1 tensors (h.0.attn.bias first) of 64 numbers are no parameters, and left out" in stored_notes(
        container(shapes)
    )


def test_words_that_hold_several_weights_are_named() -> None:
    packed = container({"layers.0.mlp.up_proj.qweight": (8, 96)}, dtype="I32")
    assert any("hold several weights in a number" in note for note in stored_notes(packed))


def test_a_table_that_serves_as_head_is_named_unless_it_is_an_encoders() -> None:
    said = "no output head is stored: model.embed_tokens.weight is taken to serve as one"
    assert said in stored_notes(container(TENSORS))
    assert said not in stored_notes(container({**TENSORS, **HEAD}))
    encoder = {"token_embd.weight": (300, 64), "token_types.weight": (2, 64)}
    assert not any("no output head" in note for note in stored_notes(container(encoder)))
