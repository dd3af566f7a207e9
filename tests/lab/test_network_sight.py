"""Who sees whom: later tokens, padding, windows, and the other stack."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor

from deepwide.answers.models import find_model
from deepwide.errors import BadInput
from deepwide.lab.network import Numerics, Transformer, build
from deepwide.lab.network.attend import KERNELS

TINY = "hidden=32,heads=4,ffn=48,vocab=64,context=64"
DECODERS = {
    "llama": "like=llama,kv_heads=2,layers=2",
    "gpt2": "like=gpt2,layers=2",
    "alibi": "like=bloom,layers=2",
    "experts": "like=mixtral,experts=4,active_experts=2,layers=2",
    "parallel": "like=gptj,layers=2",
    "window": "like=mistral,window=4,layers=2",
    "normed": "like=qwen3,layers=2",
    "after": "like=olmo2,layers=2",
    "one": "like=llama,shared_qkv,layers=2",
    "sinusoidal": "like=llama,positions=sinusoidal,layers=2",
    "t5": "like=t5,layers=2",
    "bart": "like=bart,layers=2",
}
ENCODERS = ("like=bert,layers=1", "like=albert,layers=2", "like=bert,positions=alibi,layers=1")
COMPUTING = [("sdpa", torch.float32), ("bmm", torch.float32), ("sdpa", torch.bfloat16), ("bmm", torch.bfloat16)]
EXPERTS_ROUND = {torch.float32: 1e-4, torch.bfloat16: 0.2}
ROWS, TOKENS = 3, 24  # more than 64 vectors: matrices on one input are joined, as while training


@cache
def model_of(text: str) -> Transformer:
    """A model whose scores differ by much, so that a leak shows: its head is not small."""
    model = build(find_model(f"{text},{TINY}").described())
    with torch.no_grad():
        model.head.get_submodule("output").weight.mul_(20)
    return model.eval()


def text_of(tokens: int = TOKENS, seed: int = 0, rows: int = ROWS) -> Tensor:
    return torch.randint(0, 64, (rows, tokens), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def scores(
    model: Transformer, tokens: Tensor, kernel: str = "sdpa", dtype: torch.dtype = torch.float32, **more: Tensor
) -> Tensor:
    model.attend, model.compute_dtype = KERNELS[kernel], dtype
    if len(model.stack_names) > 1 and "sources_BS" not in more:
        more["sources_BS"] = text_of(9, seed=5, rows=len(tokens))
    return model(tokens, **more)


@pytest.mark.parametrize(("kernel", "dtype"), COMPUTING)
@pytest.mark.parametrize("name", DECODERS)
def test_a_later_token_never_changes_an_earlier_score(name: str, kernel: str, dtype: torch.dtype) -> None:
    model, text = model_of(DECODERS[name]), text_of()
    before = scores(model, text, kernel, dtype)
    for place in (TOKENS - 1, 13, 1):
        changed = text.clone()
        changed[:, place:] = (changed[:, place:] + 17) % 64
        after = scores(model, changed, kernel, dtype)
        moved = (before[:, :place] - after[:, :place]).abs().max()
        # How many tokens come to an expert moves the rounding of its products, and no more.
        assert float(moved) <= (EXPERTS_ROUND[dtype] if name == "experts" else 0.0)
        assert bool((before[:, place] != after[:, place]).any())


@pytest.mark.parametrize("name", DECODERS)
def test_no_gradient_reaches_a_later_token(name: str) -> None:
    model = model_of(DECODERS[name])
    model.attend, model.compute_dtype = KERNELS["sdpa"], torch.float32
    table = model.embedding.get_submodule("tokens")
    seen: list[Tensor] = []

    def keep(module: object, inputs: object, y: Tensor) -> Tensor:
        seen.append(y.detach().clone().requires_grad_())
        return seen[-1]

    handle = table.register_forward_hook(keep)
    try:
        more = {"sources_BS": text_of(9, rows=1)} if len(model.stack_names) > 1 else {}
        model(text_of(rows=1), **more)[0, 10].pow(2).sum().backward()
    finally:
        handle.remove()
    reached = seen[-1].grad[0].abs().sum(-1) > 0
    assert not bool(reached[11:].any())
    assert bool(reached[10])


@pytest.mark.parametrize("text", ENCODERS)
@pytest.mark.parametrize("kernel", ["sdpa", "bmm"])
def test_an_encoder_sees_both_sides(text: str, kernel: str) -> None:
    model, tokens = model_of(text), text_of()
    before = scores(model, tokens, kernel)
    for place in (0, TOKENS - 1):
        changed = tokens.clone()
        changed[:, place] = (changed[:, place] + 17) % 64
        assert bool((scores(model, changed, kernel) != before).any(-1).all())


@pytest.mark.parametrize(("kernel", "dtype"), COMPUTING)
@pytest.mark.parametrize("text", [*ENCODERS, *(DECODERS[name] for name in ("llama", "alibi", "window", "t5", "one"))])
def test_what_stands_at_padding_never_changes_a_real_score(text: str, kernel: str, dtype: torch.dtype) -> None:
    model, tokens = model_of(text), text_of()
    kept = torch.arange(TOKENS).expand(ROWS, TOKENS) < torch.tensor([[TOKENS], [10], [3]])
    other = torch.where(kept, tokens, (tokens + 17) % 64)
    first, second = (scores(model, x, kernel, dtype, kept_BT=kept) for x in (tokens, other))
    assert torch.equal(first[kept], second[kept])


@pytest.mark.parametrize("kernel", ["sdpa", "bmm"])
@pytest.mark.parametrize("text", [*ENCODERS, DECODERS["llama"], DECODERS["alibi"]])
def test_a_padded_text_scores_as_it_does_alone(text: str, kernel: str) -> None:
    model, tokens = model_of(text), text_of()
    kept = torch.arange(TOKENS).expand(ROWS, TOKENS) < torch.tensor([[TOKENS], [10], [3]])
    together = scores(model, tokens, kernel, kept_BT=kept)
    for row, length in enumerate((TOKENS, 10, 3)):
        alone = scores(model, tokens[row : row + 1, :length], kernel)
        assert torch.allclose(alone[0], together[row, :length], atol=1e-5)


@pytest.mark.parametrize("kernel", ["sdpa", "bmm"])
@pytest.mark.parametrize("text", [DECODERS["llama"], DECODERS["gpt2"], DECODERS["alibi"], DECODERS["one"]])
def test_padding_in_front_changes_nothing_where_positions_say_so(text: str, kernel: str) -> None:
    model, tokens, before = model_of(text), text_of(10), 5
    padded = torch.cat((text_of(before, seed=9), tokens), dim=1)
    kept = torch.arange(10 + before).expand(ROWS, -1) >= before
    positions = (torch.arange(10 + before) - before).clamp(min=0).expand(ROWS, -1)
    found = scores(model, padded, kernel, kept_BT=kept, positions_BT=positions)
    assert torch.allclose(scores(model, tokens, kernel), found[:, before:], atol=1e-5)


@pytest.mark.parametrize("kernel", ["sdpa", "bmm"])
@pytest.mark.parametrize("layers", [1, 2])
def test_a_window_limits_sight_layer_by_layer(layers: int, kernel: str) -> None:
    """Each layer looks back over window - 1 tokens, itself not counted."""
    model, text = model_of(f"like=mistral,window=4,layers={layers}"), text_of()
    before, place = scores(model, text, kernel), 6
    changed = text.clone()
    changed[:, place] = (changed[:, place] + 17) % 64
    moved = (scores(model, changed, kernel) != before).any(-1)
    reach = place + 3 * layers
    assert not bool(moved[:, :place].any())
    assert bool(moved[:, place : reach + 1].all())
    assert not bool(moved[:, reach + 1 :].any())


def test_a_window_of_the_whole_text_is_none() -> None:
    wide, text = model_of("like=mistral,window=64,layers=2"), text_of()
    assert torch.equal(scores(model_of("like=mistral,layers=2"), text), scores(wide, text))


@pytest.mark.parametrize(("kernel", "dtype"), COMPUTING)
@pytest.mark.parametrize("name", ["t5", "bart"])
def test_a_decoder_sees_all_of_a_source_but_its_padding(name: str, kernel: str, dtype: torch.dtype) -> None:
    model, text, sources = model_of(DECODERS[name]), text_of(), text_of(9, seed=5)
    kept = torch.arange(9).expand(ROWS, 9) < 6
    given = {"sources_BS": sources, "source_kept_BS": kept}
    before = scores(model, text, kernel, dtype, **given)
    hidden = scores(model, text, kernel, dtype, **{**given, "sources_BS": torch.where(kept, sources, 3)})
    assert torch.equal(before, hidden)
    seen = scores(model, text, kernel, dtype, **{**given, "sources_BS": torch.where(kept, (sources + 9) % 64, sources)})
    assert bool((before != seen).any(-1).all())


@pytest.mark.parametrize("name", ["t5", "bart"])
def test_a_padded_source_is_read_as_it_is_alone(name: str) -> None:
    model, text, sources = model_of(DECODERS[name]), text_of(), text_of(9, seed=5)
    kept = torch.arange(9).expand(ROWS, 9) < 6
    padded = scores(model, text, sources_BS=sources, source_kept_BS=kept)
    assert torch.allclose(scores(model, text, sources_BS=sources[:, :6]), padded, atol=1e-5)


def test_the_order_of_tokens_matters_only_where_positions_tell_it() -> None:
    text = text_of(8)
    shuffled = text[:, torch.tensor([3, 1, 0, 2, 5, 6, 4, 7])]
    for positions, matters in (("none", False), ("rotary", True), ("learned", True), ("alibi", True)):
        model = model_of(f"like=llama,positions={positions},layers=1")
        same = torch.allclose(scores(model, text)[:, -1], scores(model, shuffled)[:, -1], atol=1e-5)
        assert matters == (not same)


def test_rotary_and_alibi_go_by_distance_alone() -> None:
    for positions in ("rotary", "alibi"):
        model, text = model_of(f"like=llama,positions={positions},layers=2"), text_of()
        moved = torch.arange(TOKENS)[None] + 30
        assert torch.allclose(scores(model, text), scores(model, text, positions_BT=moved), atol=1e-4)


def test_token_types_are_read() -> None:
    model, text = model_of("like=bert,layers=1"), text_of()
    zeros = torch.zeros_like(text)
    assert torch.equal(scores(model, text), scores(model, text, types_BT=zeros))
    assert not torch.allclose(scores(model, text), scores(model, text, types_BT=zeros + 1), atol=1e-3)


def test_a_text_longer_than_the_table_of_positions_is_refused_in_one_line() -> None:
    with pytest.raises(BadInput, match="context=65 exceeds the 64 tokens"):
        scores(model_of(DECODERS["gpt2"]), text_of(65))


def test_an_encoder_decoder_without_a_source_is_refused_in_one_line() -> None:
    with pytest.raises(BadInput, match="sources are missing"):
        model_of(DECODERS["t5"])(text_of())


def test_constants_that_no_tensor_shows_are_obeyed() -> None:
    architecture = find_model(f"{DECODERS['llama']},{TINY}").described()
    text, usual = text_of(), build(architecture)(text_of())
    assert torch.allclose(2 * usual, build(architecture, numerics=Numerics(logit_scale=2.0))(text), atol=1e-5)
    for other in (Numerics(score_scale=2.0), Numerics(rotary_base=100.0), Numerics(norm_eps=0.1)):
        assert not torch.allclose(usual, build(architecture, numerics=other)(text), atol=1e-3)
