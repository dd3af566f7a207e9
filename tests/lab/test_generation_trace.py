"""What happens to a token inside: its row stays, its state moves with its place and with the text before it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from deepwide.answers.models import find_model
from deepwide.errors import BadInput
from deepwide.lab import build
from deepwide.lab.generation import checksum, generate, repeated, trace
from deepwide.lab.generation.tracing import states
from deepwide.lab.network import Transformer

SIZE = "layers=3,hidden=32,heads=4,ffn=48,vocab=37"
MODELS = {
    "rotary": f"like=llama,{SIZE},kv_heads=4",
    "learned": f"like=gpt2,{SIZE},context=40",
    "encoder": f"like=bert,{SIZE},context=40",
    "both": f"like=t5,{SIZE}",
}
TEXT = [7, 3, 9, 4, 7, 11, 2, 7, 5]


def model_of(kind: str) -> Transformer:
    return build(find_model(MODELS[kind]).described()).eval()


@pytest.mark.parametrize("kind", MODELS)
def test_the_row_of_a_token_is_the_same_and_its_state_is_not(kind: str) -> None:
    seen = trace(model_of(kind), TEXT)
    row, *_, last = seen.levels
    assert (7, (0, 7)) == (seen.token, seen.places)
    assert (0.0, 0.0) == (row.place.distance, row.context.distance)
    assert row.place.cosine == row.context.cosine == pytest.approx(1.0)
    assert ["embedding row", "first layer reads"] == [level.name for level in seen.levels[:2]]
    assert [f"after layer {i}" for i in (1, 2, 3)] == [level.name for level in seen.levels[2:]]
    assert last.place.distance > 1e-3
    assert last.context.distance > 1e-3


def test_positions_that_are_added_change_what_the_first_layer_reads_and_rotary_ones_do_not() -> None:
    added, turned = trace(model_of("learned"), TEXT).levels[1], trace(model_of("rotary"), TEXT).levels[1]
    assert added.place.distance > 0.1
    assert (0.0, 0.0, 0.0) == (added.context.distance, turned.place.distance, turned.context.distance)


def test_states_are_those_that_the_model_computes() -> None:
    model = model_of("learned")
    seen = states(model, TEXT)
    table = model.embedding.get_submodule("tokens").weight
    assert torch.equal(table[torch.tensor(TEXT)], seen["embedding row"])  # type: ignore[index]
    normed = model.stack("decoder").get_submodule("final_norm")(seen["after layer 3"])
    assert torch.allclose(model.head(normed), model(torch.tensor([TEXT]))[0], atol=1e-5)


def test_distances_are_told_in_lengths_and_angles() -> None:
    model = model_of("rotary")
    a, b = states(model, TEXT)["after layer 2"][[7, 0]].double()
    change = trace(model, TEXT).levels[3].place
    assert change.cosine == pytest.approx(float(torch.cosine_similarity(a, b, dim=0)))
    assert change.distance == pytest.approx(float((a - b).norm() / ((a.norm() + b.norm()) / 2)))


def test_another_text_is_another_one_even_where_it_reads_the_same_backwards() -> None:
    seen = trace(model_of("rotary"), [7, 3, 7, 7])  # before the last place 7 3 7, backwards the same
    assert seen.levels[-1].context.distance > 0.01


def test_layers_that_share_a_block_are_all_told() -> None:
    model = build(find_model(f"like=albert,{SIZE},context=40").described())
    assert 5 == len(trace(model, TEXT).levels)


def test_no_hook_is_left_behind_even_after_an_error() -> None:
    model = model_of("learned")
    trace(model, TEXT)
    with pytest.raises(BadInput):
        trace(model, TEXT * 10)  # longer than its positions
    hooks: list[dict[Any, Any]] = [{**m._forward_hooks, **m._forward_pre_hooks} for m in model.modules()]
    assert not any(hooks)


def test_the_checksum_stays_while_writing_and_changes_with_the_last_bit_of_a_weight() -> None:
    model = model_of("rotary")
    before = checksum(model)
    list(generate(model, torch.tensor([TEXT]), tokens=5))
    assert before == checksum(model)
    weight = next(model.parameters())
    with torch.no_grad():
        weight[3, 5] = torch.nextafter(weight[3, 5], torch.tensor(9.0))
    assert before != checksum(model)


def test_tokens_that_come_twice_are_found_the_most_frequent_first() -> None:
    assert {7: [0, 4, 7]} == repeated(TEXT)
    assert [7, 3] == list(repeated([3, 7, 7, 3, 7]))
    assert {} == repeated([1, 2, 3])


@pytest.mark.parametrize(("tokens", "token"), [([1, 2, 3], None), (TEXT, 3)])
def test_a_token_that_stands_once_cannot_be_traced(tokens: list[int], token: int | None) -> None:
    with pytest.raises(BadInput, match="twice"):
        trace(model_of("rotary"), tokens, token)
