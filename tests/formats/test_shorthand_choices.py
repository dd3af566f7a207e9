"""Choices in shorthand: positions, norms, activations and flags, what follows from them, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from deepwide.answers.models import find_model
from deepwide.architecture.attention import Attention
from deepwide.architecture.ffn import FeedForward
from deepwide.architecture.model import Architecture, Branch
from deepwide.architecture.parts import LAYER, RMS, Positions
from deepwide.architecture.sizes import bodies
from deepwide.errors import BadInput
from deepwide.formats.shorthand import CHOICES, FLAGS

TINY = "layers=2,hidden=64,heads=4,ffn=96,vocab=300"


def described(text: str, rest: str = TINY) -> Architecture:
    return find_model(f"{text},{rest}").described()


def parameters(text: str, rest: str = TINY) -> int:
    return int(find_model(f"{text},{rest}").ledger.parameters())


def branches(architecture: Architecture) -> tuple[Branch, ...]:
    return architecture.main.runs[0].layer.branches


def positions(architecture: Architecture) -> list[Positions]:
    return [part for part in architecture.embedding if isinstance(part, Positions)]


def network(text: str) -> FeedForward:
    (found,) = (body for body in bodies(described(text)) if isinstance(body, FeedForward))
    return found


def attention(text: str) -> Attention:
    return next(body for body in bodies(described(text)) if isinstance(body, Attention))


def refusal(text: str) -> str:
    with pytest.raises(BadInput) as error:
        find_model(text)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_learned_positions_add_a_row_for_each_token_of_the_context() -> None:
    assert 128 * 64 == parameters("like=llama,positions=learned,context=128") - parameters("like=llama")


@pytest.mark.parametrize("kind", ["sinusoidal", "alibi", "none"])
def test_positions_that_are_computed_add_nothing(kind: str) -> None:
    assert parameters("like=llama") == parameters(f"like=llama,positions={kind},context=128")
    assert [kind] == [part.kind for part in positions(described(f"like=llama,positions={kind},context=128"))]


def test_rotary_positions_take_the_place_of_a_table() -> None:
    for family in ("gpt2", "bert"):
        assert 128 * 64 == parameters(f"like={family},context=128") - parameters(f"like={family},positions=rotary")


def test_a_family_that_stores_its_computed_positions_goes_on_storing_them() -> None:
    assert parameters("like=pegasus,context=128") == parameters("like=pegasus,positions=sinusoidal,context=128")


@pytest.mark.parametrize("family", ["t5", "umt5", "mpnet"])
def test_other_positions_leave_no_table_of_relative_ones(family: str) -> None:
    ledger = find_model(f"like={family},positions=rotary,{TINY}").ledger
    assert not [w.name for w in ledger.weights if w.part == "position"]


def test_a_context_that_is_assumed_for_a_table_is_said() -> None:
    assert "context=2048 assumed: the family's own" in find_model(f"like=llama,positions=learned,{TINY}").notes


def test_a_catalogue_model_can_be_given_other_parts() -> None:
    own, changed = (find_model(f"llama-3-8b{change}").described() for change in ("", ",norm=layer,norms=sandwich"))
    assert (RMS, None) == (branches(own)[0].before, branches(own)[0].after)
    assert (LAYER, LAYER) == (branches(changed)[0].before, branches(changed)[0].after)


@pytest.mark.parametrize(
    ("habit", "norms"),  # of two layers of two branches, and after them
    [("pre", 5), ("post", 4), ("sandwich", 9), ("after", 5), ("parallel", 3)],
)
@pytest.mark.parametrize("family", ["llama", "gpt_neox", "olmo2"])
def test_norms_stand_where_the_habit_says(family: str, habit: str, norms: int) -> None:
    ledger = find_model(f"like={family},norms={habit},no_qk_norm,{TINY}").ledger
    assert norms == sum(int(op.repeat) for op in ledger.ops if op.kind == "norm")


def test_the_norm_after_the_layers_comes_and_goes_with_post_norm() -> None:
    assert 64 == parameters("like=llama") - parameters("like=llama,norms=post")
    assert 2 * 64 == parameters("like=bert,norms=pre") - parameters("like=bert")
    assert "norms=post: no norm follows the last layer" in find_model(f"like=llama,norms=post,{TINY}").notes


def test_gates_and_activations_combine() -> None:
    reglu = network("like=bert,gated,activation=relu")
    assert (True, "relu", True) == (reglu.gated, reglu.activation, reglu.bias)
    assert (False, "relu2") == (network("like=llama,plain,activation=relu2").gated, "relu2")


def test_biases_come_and_go_with_all_matrices_of_a_layer() -> None:
    per_layer = 4 * 64 + 2 * 96 + 64
    assert 2 * per_layer == parameters("like=llama,biased") - parameters("like=llama")
    assert 2 * (4 * 64 + 96 + 64) == parameters("like=gpt2") - parameters("like=gpt2,unbiased")


def test_queries_and_keys_get_the_norm_of_the_model() -> None:
    assert RMS == attention("like=llama,qk_norm").qk_norm
    assert LAYER == attention("like=gpt2,qk_norm").qk_norm
    assert attention("like=qwen3,no_qk_norm").qk_norm is None
    assert attention("like=olmo2") == attention("like=olmo2,qk_norm")


def test_a_choice_of_what_the_family_does_anyway_changes_nothing() -> None:
    usual = "positions=rotary,norm=rms,norms=pre,activation=silu,gated,untied,no_qk_norm,unbiased"
    assert find_model(f"like=llama,{TINY}").ledger == find_model(f"like=llama,{usual},{TINY}").ledger


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"like=llama,positions=learnd,{TINY}", "did you mean learned?"),
        (f"like=llama,norms=pots,{TINY}", "did you mean post?"),
        (f"like=llama,activation=gleu,{TINY}", "did you mean gelu"),
        ("llama-3-8b,norm=rmsnorm", "known: rms, layer, layer_no_bias"),
        (f"like=llama,qknorm,{TINY}", "did you mean qk_norm"),
        (f"like=t5,positions=learned,{TINY}", "positions=learned needs a context"),
        (f"like=mamba,activation=relu,{TINY}", "activation=relu changes nothing in this model"),
        ("mamba-2.8b,qk_norm", "qk_norm changes nothing in this model"),
        (f"like=mamba,plain,{TINY}", "plain changes nothing in this model"),
        (f"like=mamba,positions=rotary,{TINY}", "positions=rotary act on attention, and this model has none"),
        (f"like=xlnet,positions=rotary,{TINY}", "relative positions are in its attention"),
        (f"like=mobilebert,norms=pre,{TINY}", "bring their own norms"),
    ],
)
def test_what_cannot_be_chosen_is_told_in_one_line(text: str, said: str) -> None:
    assert said in refusal(text)


@pytest.mark.parametrize("family", ["llama", "gpt2", "bert", "t5", "mixtral", "bloom", "qwen3", "bart"])
def test_every_choice_can_be_made_in_the_common_families(family: str) -> None:
    words = [f"{name}={value}" for name, values in CHOICES.items() for value in values] + [*FLAGS]
    counts: dict[str, Any] = {word: parameters(f"like={family},{word},context=128") for word in words}
    assert all(counts.values())
