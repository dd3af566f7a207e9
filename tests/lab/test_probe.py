"""Probes look from outside: they leave a model as it was, and their numbers are those of the definitions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from deepwide import lab
from deepwide.answers.models import find_model
from deepwide.errors import BadInput
from deepwide.lab.generation.tracing import checksum
from deepwide.lab.network import Transformer
from deepwide.lab.probe import (
    PlainDescent,
    attention_alone,
    attention_maps,
    gradient_norms,
    kernel,
    likeness,
    memories,
    most_rows,
    projected,
    with_weights_of,
)
from deepwide.lab.training import Recipe, next_token, train
from deepwide.lab.training.objective import summed_loss

TINY = "hidden=16,heads=2,ffn=24,vocab=32"


def model(text: str, layers: int = 2, seed: int = 0) -> Transformer:
    return lab.build(find_model(f"{text},layers={layers},{TINY}").described(), seed=seed)


def rows(sequences: int = 2, tokens: int = 9, seed: int = 3) -> Tensor:
    return torch.randint(0, 32, (sequences, tokens), generator=torch.Generator().manual_seed(seed))


def projections() -> Tensor:
    return torch.randn(32, 2, generator=torch.Generator().manual_seed(1))


LOOKS: dict[str, Callable[[Transformer], Any]] = {
    "gradients": lambda m: gradient_norms(m, next_token(rows())),
    "likeness": lambda m: likeness(m, rows()),
    "attention": lambda m: attention_maps(m, rows(1)),
    "memories": lambda m: memories(m, [rows()], most=2, layers=[1, 2]),
    "kernel": lambda m: kernel(m, rows(), projections(), most_bytes=2**24),
}


@pytest.mark.parametrize("look", LOOKS)
def test_a_probe_leaves_the_model_as_it_was(look: str) -> None:
    m = model("like=llama")
    m.train()
    before, attend = (checksum(m), m(rows()).detach()), m.attend
    LOOKS[look](m)
    assert before[0] == checksum(m)
    assert torch.equal(before[1], m(rows()))
    assert (attend, True) == (m.attend, m.training)
    assert all(p.grad is None for p in m.parameters())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in m.modules())


def test_a_probe_that_fails_leaves_no_hook_behind() -> None:
    m = model("like=gpt2,context=4")
    for look in ("gradients", "likeness", "attention", "memories"):
        with pytest.raises(BadInput):
            LOOKS[look](m)
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in m.modules())
    assert "fused" == m.attend.__name__


def test_gradient_norms_are_those_that_training_would_use() -> None:
    m, batch = model("like=llama"), next_token(rows())
    loss, layers = gradient_norms(m, batch)
    mean = summed_loss(m, batch) / batch.counted
    mean.backward()
    expected = [
        math.sqrt(sum(float(p.grad.square().sum()) for p in block.parameters() if p.grad is not None))
        for block in m.stack("decoder").blocks
    ]
    assert pytest.approx(float(mean.detach())) == loss
    assert pytest.approx(expected, rel=1e-5) == [layer.weights for layer in layers]


def test_tokens_that_are_all_the_same_are_of_rank_one() -> None:
    levels = likeness(model("like=llama"), torch.full((1, 8), 5))
    assert [0, 1, 2] == [level.layer for level in levels]
    assert all(
        level.cosine == pytest.approx(1) and level.effective_rank == pytest.approx(1, rel=1e-3) for level in levels
    )
    assert all(level.distance is not None and level.distance < 1e-6 for level in levels)


def test_a_stream_that_is_nothing_is_told_as_unknown() -> None:
    m = model("like=llama,no_norm,no_residual")
    torch.nn.init.zeros_(m.embedding.get_submodule("tokens").weight)
    assert (None, None, None) == tuple(
        getattr(likeness(m, rows())[-1], n) for n in ("cosine", "effective_rank", "distance")
    )


@pytest.mark.parametrize("text", ["like=llama", "like=gpt2", "like=llama,kv_heads=1", "like=llama,positions=alibi"])
def test_attention_weights_are_causal_shares(text: str) -> None:
    maps = attention_maps(model(text), rows(1))
    assert [(1, 1), (1, 2), (2, 1), (2, 2)] == [(head.layer, head.head) for head in maps]
    for head in maps:
        assert torch.allclose(head.weights.sum(-1), torch.ones(len(head.weights)))
        assert 0 == float(head.weights.triu(1).abs().max())
        assert 0 <= head.diagonal <= 1
        assert 0 <= head.entropy <= 1


def test_an_encoder_looks_both_ways() -> None:
    weights = attention_maps(model("like=bert,context=16"), rows(1))[0].weights
    assert float(weights.triu(1).max()) > 0


def test_the_maps_are_those_the_model_computes_with() -> None:
    m, tokens = model("like=llama", layers=1), rows(1)
    seen = attention_maps(m, tokens)
    attention, block = m.stack("decoder").blocks[0].attention, m.stack("decoder").blocks[0]
    caught: list[Tensor] = []
    hook = attention.output.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    x = m.embedding(tokens, torch.arange(9)[None], None, torch.float32)
    m(tokens)
    hook.remove()
    v = attention.value(block.attention_norm(x)).view(9, 2, 8)
    expected = torch.cat([head.weights @ v[:, i] for i, head in enumerate(seen)], dim=-1)
    assert torch.allclose(expected, caught[0][0], atol=1e-5)


@pytest.mark.parametrize("text", ["like=llama", "like=gpt2"])
def test_scores_of_one_shared_matrix_are_symmetric_whatever_the_positions(text: str) -> None:
    apart, shared = (attention_maps(model(f"{text}{more}"), rows(1, 24)) for more in ("", ",shared_qkv"))
    assert all(head.symmetry == pytest.approx(1, abs=1e-6) for head in shared)
    assert all(head.symmetry < 0.9 for head in apart)


def test_a_planted_memory_is_found() -> None:
    m = model("like=gpt2,context=16,activation=relu,untied", layers=1)
    network = m.stack("decoder").blocks[0].ffn
    head = m.head.get_submodule(m.head.order[-1]).weight
    centred = head[7] - head[7].mean()
    with torch.no_grad():
        network.down.weight[:, 3] = centred / centred.norm() * 4
        network.up.bias[3] = 9.0
    planted = memories(m, [rows()], most=3, layers=[1])[3]
    assert (1, 3, 7) == (planted.layer, planted.key, planted.promoted[0])


def test_triggers_are_the_places_where_a_key_fires_most() -> None:
    m, text = model("like=llama", layers=1), rows(4)
    caught: list[Tensor] = []
    hook = m.stack("decoder").blocks[0].ffn.down.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    m(text[:, :-1])
    hook.remove()
    fired = caught[0].detach().flatten(0, 1)[:, 5]
    first = memories(m, [text], most=3, layers=[1])[5].triggers[0]
    place = int(fired.abs().argmax())
    assert divmod(place, 8) == (first.window, first.place)
    assert pytest.approx(float(fired.abs().max()), rel=1e-5) == first.strength
    assert int(text[first.window, first.place + 1]) == first.following


def test_memories_do_not_depend_on_how_the_text_is_cut_into_batches() -> None:
    m, text = model("like=llama"), rows(6)
    whole, parts = (memories(m, list(text.split(size)), most=4, layers=[1, 2]) for size in (6, 2))
    assert [m.promoted for m in whole] == [m.promoted for m in parts]
    assert [[(t.window, t.place) for t in m.triggers] for m in whole] == [
        [(t.window, t.place) for t in m.triggers] for m in parts
    ]


def test_experts_hold_no_single_memory() -> None:
    m = lab.build(find_model(f"like=mixtral,layers=1,{TINY},experts=4,active_experts=2").described())
    with pytest.raises(BadInput, match=r"^layer=1 has no plain networks"):
        memories(m, [rows()], most=2, layers=[1])


def test_the_kernel_is_that_of_torch_func() -> None:
    m, tokens = model("like=llama"), rows()
    m.attend = lab.network.attend.plain
    names = dict(m.named_parameters())

    def outputs(weights: dict[str, Tensor]) -> Tensor:
        scores = torch.func.functional_call(m, weights, (tokens,))[:, -1]
        return ((scores - scores.mean(-1, keepdim=True)) @ projections()).flatten()

    jacobian = torch.func.jacrev(outputs)({name: p.detach() for name, p in names.items()})
    flat = torch.cat([part.flatten(1) for part in jacobian.values()], dim=1).double()
    assert torch.allclose(flat @ flat.T, kernel(m, tokens, projections(), most_bytes=2**24), rtol=1e-3, atol=1e-6)


def test_a_kernel_in_blocks_is_the_same_kernel() -> None:
    m = model("like=llama")
    row_bytes = 4 * sum(p.numel() for p in m.parameters())
    whole, blocks = (kernel(m, rows(3), projections(), most_bytes=n) for n in (100 * row_bytes, 3 * row_bytes))
    assert torch.equal(whole, blocks)
    assert torch.equal(whole, whole.T)


def test_a_jacobian_that_fits_nowhere_is_refused_before_it_is_made() -> None:
    with pytest.raises(BadInput, match="two rows of the Jacobian of 1,000,000,000,000 parameters take"):
        most_rows(10**12, 8, 2**30)
    assert 8 == most_rows(1000, 8, 2**30)


def test_plain_descent_goes_against_the_gradient() -> None:
    m, batch = model("like=llama"), next_token(rows())
    expected = projected(m, rows(), projections()).detach()
    worker = PlainDescent(m, 0.5)
    worker.gradients(batch)
    name, weight = next(iter(m.named_parameters()))
    moved = weight.detach() - 0.25 * weight.grad  # type: ignore[operator]
    worker.step(0.5)
    assert torch.equal(moved, dict(m.named_parameters())[name])
    assert not torch.equal(expected, projected(m, rows(), projections()))


def test_plain_descent_trains_in_the_loop() -> None:
    m, batch, losses = model("like=llama"), next_token(rows()), []
    recipe = Recipe(steps=5, batch=2, context=8, schedule="wsd", warmup_share=0.0, decay_share=0.0)
    train(
        m, recipe, batches=lambda _: batch, report=lambda row: losses.append(row["loss"]), worker=PlainDescent(m, 0.01)
    )
    assert losses == sorted(losses, reverse=True)


def test_a_variant_has_the_very_weights() -> None:
    m = model("like=llama", seed=4)
    alone = with_weights_of(m, attention_alone(m.architecture))
    there = dict(m.named_parameters())
    assert all(torch.equal(p, there[name]) for name, p in alone.named_parameters())
    assert not any("ffn" in name for name, _ in alone.named_parameters())
