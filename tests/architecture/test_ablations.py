"""Ablations: what they leave out of the ledger, and what they leave alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deepwide.answers.models import find_model
from deepwide.architecture.attention import Attention
from deepwide.architecture.flops import Pass, forward_flops
from deepwide.architecture.ledger import Ledger, lower
from deepwide.architecture.symbols import symbolic
from deepwide.errors import BadInput

LAYERS, HIDDEN, HEADS, HEAD_DIM, FFN, VOCAB = 3, 64, 4, 16, 96, 300
TINY = f"layers={LAYERS},hidden={HIDDEN},heads={HEADS},ffn={FFN},vocab={VOCAB}"


def ledger(text: str) -> Ledger:
    return find_model(f"{text},{TINY}").ledger


def names(rows: Ledger, part: str) -> list[str]:
    return [w.name for w in rows.weights if w.part == part]


def test_a_model_without_residuals_has_the_same_rows() -> None:
    for family in ("llama", "bert", "t5", "cohere"):
        assert ledger(f"like={family}") == ledger(f"like={family},no_residual")


def test_none_of_its_branches_is_added_to_the_stream() -> None:
    stacks = find_model(f"like=t5,no_residual,{TINY}").described().stacks
    branches = [branch for stack in stacks for run in stack.runs for branch in run.layer.branches]
    assert 5 == len(branches)
    assert not [branch for branch in branches if branch.residual]


@pytest.mark.parametrize("family", ["llama", "bert", "t5", "qwen3", "bloom", "olmo2", "mixtral", "deepseek_v3"])
def test_a_model_without_norms_has_none_and_all_else(family: str) -> None:
    whole, bare = ledger(f"like={family}"), ledger(f"like={family},no_norm")
    assert not [op.name for op in bare.ops if op.kind == "norm"]
    assert [w for w in whole.weights if w.part != "norm"] == list(bare.weights)


def test_norms_asked_for_with_none_are_none() -> None:
    assert ledger("like=llama,no_norm") == ledger("like=llama,qk_norm,norms=sandwich,no_norm")


def test_a_model_of_one_projection_has_query_and_output_alone() -> None:
    projections = 2 * HIDDEN * HEADS * HEAD_DIM
    expected = LAYERS * (projections + 3 * HIDDEN * FFN + 2 * HIDDEN) + HIDDEN + 2 * VOCAB * HIDDEN
    rows = ledger("like=llama,shared_qkv")
    assert expected == rows.parameters()
    assert ["decoder.attention.query", "decoder.attention.output"] == names(rows, "attention")


def test_its_cache_keeps_the_projection_once() -> None:
    (cache,) = ledger("like=llama,shared_qkv").caches
    (usual,) = ledger("like=llama").caches
    assert (HEADS * HEAD_DIM, 2 * HEADS * HEAD_DIM) == (cache.elements, usual.elements)
    assert (HEADS, None, LAYERS) == (cache.heads, cache.window, cache.repeat)


def test_its_flops_are_less_by_two_projections() -> None:
    step = Pass(tokens=10)
    less = forward_flops(ledger("like=llama"), step) - forward_flops(ledger("like=llama,shared_qkv"), step)
    assert 2 * 10 * 2 * HIDDEN * HEADS * HEAD_DIM * LAYERS == less


def test_one_bias_serves_all_three() -> None:
    width = HEADS * HEAD_DIM
    less = ledger("like=gpt2").parameters() - ledger("like=gpt2,shared_qkv").parameters()
    assert LAYERS * 2 * (HIDDEN * width + width) == less


def test_attention_across_keeps_its_keys_and_values() -> None:
    rows = ledger("like=t5,shared_qkv")
    across = [name for name in names(rows, "attention") if "cross" in name]
    assert ["query", "key", "value", "output"] == [name.rpartition(".")[2] for name in across]
    assert 2 * LAYERS * 2 * HIDDEN**2 == ledger("like=t5").parameters() - rows.parameters()  # in both stacks


@pytest.mark.parametrize("text", ["like=llama,shared_qkv", "like=t5,no_norm,shared_qkv", "like=bert,no_residual"])
def test_its_formulae_give_the_same_count(text: str) -> None:
    architecture = find_model(f"{text},{TINY}").described()
    assert lower(architecture).parameters() == int(lower(symbolic(architecture)).parameters())


def test_a_model_of_the_catalogue_can_lose_parts_too() -> None:
    whole, bare = find_model("llama-2-7b").ledger, find_model("llama-2-7b,no_norm,shared_qkv").ledger
    assert 2 * 4096 * 32 + 32 * 2 * 4096**2 + 4096 == whole.parameters() - bare.parameters()


def test_what_an_ablation_puts_in_doubt_is_said() -> None:
    assert [n for n in find_model(f"like=llama,no_norm,{TINY}").notes if n.startswith("no_norm: laws of loss")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("llama-3-8b,shared_qkv", "add kv_heads=32"),
        (f"like=mamba,shared_qkv,{TINY}", "mamba has nothing that it could change"),
        (f"like=deepseek_v3,shared_qkv,{TINY}", "deepseek_v3 has nothing that it could change"),
        ("qwen3-next-80b-a3b,no_norm", "has norms inside its parts, which they need (decoder."),
        (f"like=llama,no_residuals,{TINY}", "did you mean no_residual"),
    ],
)
def test_what_cannot_be_left_out_is_told_in_one_line(text: str, said: str) -> None:
    with pytest.raises(BadInput) as error:
        find_model(text)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_window_and_the_norms_of_queries_and_keys_stay() -> None:
    (run,) = find_model(f"like=qwen3,{TINY}").described().main.runs
    body = run.layer.branches[0].body
    assert isinstance(body, Attention)
    shared = find_model(f"like=qwen3,shared_qkv,{TINY}").described().main.runs[0].layer.branches[0].body
    assert replace(body, one_projection=True) == shared
    assert 2 * HEAD_DIM * LAYERS + (2 * LAYERS + 1) * HIDDEN == sum(
        w.parameters for w in ledger("like=qwen3,shared_qkv").weights if w.part == "norm"
    )
