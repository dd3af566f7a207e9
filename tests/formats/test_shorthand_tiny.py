"""Small models in shorthand are those that transformers builds from the same sizes."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from deepwide.answers.models import find_model
from deepwide.architecture.experts import Experts
from deepwide.architecture.sizes import bodies, sizes

# layers, hidden, heads, ffn, vocab
FIRST, SECOND = (4, 128, 4, 512, 256), (3, 96, 6, 384, 300)
# What the classes of transformers 5.23 build on the meta device.
BUILT = {
    ("bert", FIRST): 908_928,
    ("gpt2", FIRST): 957_184,
    ("t5", FIRST): 1_870_848,
    ("bloom", FIRST): 826_368,
    ("qwen3", FIRST): 1_115_520,
    ("mixtral", FIRST): 3_476_608,
    ("bert", SECOND): 423_660,
    ("gpt2", SECOND): 462_816,
    ("t5", SECOND): 804_960,
    ("bloom", SECOND): 364_704,
    ("qwen3", SECOND): 500_736,
    ("mixtral", SECOND): 1_497_120,
}
CASES = [pytest.param(*case, id=f"{case[0]}-{case[1][1]}") for case in BUILT]


def written(family: str, shape: tuple[int, ...]) -> int:
    named = zip(("layers", "hidden", "heads", "ffn", "vocab"), shape, strict=True)
    more = ",experts=4,active_experts=2" if family == "mixtral" else ""
    text = f"like={family}," + ",".join(f"{name}={size}" for name, size in named) + more
    return int(find_model(text).ledger.parameters())


def config(family: str, shape: tuple[int, ...]) -> dict[str, Any]:
    """The same sizes as transformers spells them for the family."""
    layers, hidden, heads, ffn, vocab = shape
    own = {
        "t5": {"num_layers": layers, "d_model": hidden, "num_heads": heads, "d_ff": ffn, "d_kv": hidden // heads},
        "gpt2": {"n_layer": layers, "n_embd": hidden, "n_head": heads, "n_inner": ffn},
        "bloom": {"n_layer": layers, "hidden_size": hidden, "n_head": heads},
    }
    usual = {
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "intermediate_size": ffn,
    }
    more = {"qwen3": {"head_dim": hidden // heads}, "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2}}
    ends = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    return {**own.get(family, usual), **more.get(family, {}), **ends, "vocab_size": vocab}


@pytest.mark.parametrize(("family", "shape"), CASES)
def test_a_small_model_has_as_many_parameters_as_its_class(family: str, shape: tuple[int, ...]) -> None:
    assert BUILT[family, shape] == written(family, shape)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "shape"), CASES)
def test_the_class_builds_as_many(family: str, shape: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other people's packages, while they are imported
        import transformers
    heads = {"bert": "AutoModelForMaskedLM", "t5": "AutoModelForSeq2SeqLM"}
    asked = transformers.AutoConfig.for_model(family, **config(family, shape))
    with torch.device("meta"):
        model = getattr(transformers, heads.get(family, "AutoModelForCausalLM")).from_config(asked)
    assert sum(p.numel() for p in model.parameters()) == written(family, shape)


@pytest.mark.parametrize("family", ["t5", "qwen3", "gemma", "gpt_oss"])
def test_heads_share_the_width_that_is_given(family: str) -> None:
    assert 32 == sizes(find_model(f"like={family},layers=2,hidden=128,heads=4").described()).head_dim
    assert 64 == sizes(find_model(f"like={family},layers=2,hidden=128,heads=4,head_dim=64").described()).head_dim


def expert_widths(text: str) -> set[int]:
    return {int(body.ffn) for body in bodies(find_model(text).described()) if isinstance(body, Experts)}


def test_experts_of_a_width_of_their_own_follow_the_hidden_size() -> None:
    text = "like=qwen3_moe,layers=2,hidden=512,heads=4,experts=4,active_experts=2"
    assert {192} == expert_widths(text)  # 768 at the family's own hidden size of 2048
    assert "expert_ffn=192 assumed: the family's own share of hidden" in find_model(text).notes
    assert {256} == expert_widths(f"{text},ffn=256") == expert_widths(f"{text},expert_ffn=256")


def test_layers_are_those_of_both_stacks() -> None:
    for family in ("t5", "bart"):
        stacks = find_model(f"like={family},layers=5,hidden=128,heads=4,vocab=256").described().stacks
        assert [5, 5] == [stack.layers for stack in stacks]


def test_a_size_that_the_family_has_no_part_for_is_said() -> None:
    found = find_model("like=llama,layers=2,hidden=128,heads=4,window=16")
    assert "window=16 changes nothing in this model" in found.notes
