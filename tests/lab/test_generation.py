"""Token after token: the cache changes nothing, padding changes nothing, and the same seed gives the same text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from deepwide.answers.models import find_model
from deepwide.errors import BadInput
from deepwide.lab import build
from deepwide.lab.generation import ENDED, filled, generate, left_padded, room
from deepwide.lab.generation import generating as generating_file
from deepwide.lab.network import Transformer
from deepwide.lab.network.attend import KERNELS
from deepwide.lab.network.cache import Cache

SIZE = "layers=2,hidden=32,heads=4,ffn=48,vocab=37"
DECODERS = {
    "rotary, grouped": f"like=llama,{SIZE},kv_heads=2",
    "learned": f"like=gpt2,{SIZE},context=40",
    "alibi": f"like=llama,{SIZE},kv_heads=4,positions=alibi",
    "sinusoidal": f"like=llama,{SIZE},kv_heads=4,positions=sinusoidal,context=40",
    "no positions": f"like=llama,{SIZE},kv_heads=4,positions=none",
    "window": f"like=mistral,{SIZE},kv_heads=2,window=5",
    "norms of queries": f"like=llama,{SIZE},kv_heads=2,qk_norm",
    "experts": f"like=mixtral,{SIZE},kv_heads=2,experts=4,active_experts=2",
    "one projection": f"like=llama,{SIZE},kv_heads=4,shared_qkv",
}
T5, BERT = f"like=t5,{SIZE}", f"like=bert,{SIZE},context=40"
CLOSE = {"rtol": 0.0, "atol": 1e-5}


def model_of(text: str, seed: int = 0) -> Transformer:
    model = build(find_model(text).described(), seed=seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed)) * 0.1)
    return model.eval()


def tokens_of(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 37, shape, generator=torch.Generator().manual_seed(seed))


def rows(steps: Iterator[Tensor]) -> list[list[int]]:
    return torch.stack(list(steps), dim=1).tolist()


def greedy(model: Transformer, tokens: list[int], count: int, **more: Any) -> list[int]:
    """What follows, every token by a pass over the whole text."""
    start = len(tokens)
    for _ in range(count):
        tokens = [*tokens, int(model(torch.tensor([tokens]), **more)[0, -1].argmax())]
    return tokens[start:]


@pytest.mark.parametrize("kind", DECODERS)
@torch.inference_mode()
def test_scores_with_a_cache_are_those_without(kind: str) -> None:
    model, text_BT = model_of(DECODERS[kind]), tokens_of(4, 23)
    whole, cache = model(text_BT), Cache(23)
    parts = [model(text_BT[:, :9], cache=cache), model(text_BT[:, 9:12], cache=cache)]
    parts += [model(text_BT[:, i : i + 1], cache=cache) for i in range(12, 23)]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, **CLOSE)


@torch.inference_mode()
def test_an_encoder_decoder_reads_its_source_once() -> None:
    model, text_BT, sources_BS = model_of(T5), tokens_of(2, 9), tokens_of(2, 6, seed=1)
    kept_BS = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
    whole, cache = model(text_BT, sources_BS=sources_BS, source_kept_BS=kept_BS), Cache(9)
    parts = [model(text_BT[:, :1], sources_BS=sources_BS, source_kept_BS=kept_BS, cache=cache)]
    parts += [model(text_BT[:, i : i + 1], source_kept_BS=kept_BS, cache=cache) for i in range(1, 9)]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, **CLOSE)


@pytest.mark.parametrize("kind", DECODERS)
def test_the_best_tokens_are_those_of_whole_passes(kind: str) -> None:
    model, prompt = model_of(DECODERS[kind]), tokens_of(7).tolist()
    assert [greedy(model, prompt, 12)] == rows(generate(model, torch.tensor([prompt]), tokens=12, temperature=0))


@pytest.mark.parametrize("kind", DECODERS)
def test_a_prompt_among_longer_ones_is_continued_as_alone(kind: str) -> None:
    model = model_of(DECODERS[kind])
    prompts = [tokens_of(length, seed=length).tolist() for length in (3, 9, 1)]
    prompt_BT, kept = left_padded(prompts, pad=0)
    alone = [greedy(model, prompt, 8) for prompt in prompts]
    assert alone == rows(generate(model, prompt_BT, tokens=8, temperature=0, kept=kept))


@pytest.mark.parametrize("kind", DECODERS)
def test_plain_attention_writes_what_the_fused_one_does(kind: str) -> None:
    model = model_of(DECODERS[kind])
    prompt_BT, kept = left_padded([tokens_of(3).tolist(), tokens_of(9).tolist()], pad=0)
    fused = rows(generate(model, prompt_BT, tokens=8, temperature=0, kept=kept))
    model.attend = KERNELS["bmm"]
    assert fused == rows(generate(model, prompt_BT, tokens=8, temperature=0, kept=kept))


def test_activations_in_16_bits_are_cached_in_16_bits() -> None:
    model, cache = model_of(DECODERS["rotary, grouped"]), Cache(9)
    model.compute_dtype = torch.bfloat16
    assert torch.float32 == model(tokens_of(1, 9), cache=cache).dtype
    kept = cache.kept(0, "keys")
    assert kept is not None
    assert torch.bfloat16 == kept.dtype
    assert 5 == len(list(generate(model, tokens_of(1, 9), tokens=5)))


def test_prompts_of_equal_length_need_no_padding() -> None:
    prompt_BT, kept = left_padded([[1, 2], [3, 4]], pad=0)
    assert ([[1, 2], [3, 4]], None) == (prompt_BT.tolist(), kept)


def test_sources_of_different_lengths_are_answered_as_alone() -> None:
    model = model_of(T5)
    sources = [tokens_of(length, seed=length).tolist() for length in (6, 4)]
    sources_BS = torch.tensor([sources[0], [*sources[1], 0, 0]])
    source_kept = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
    start_B1 = torch.ones(2, 1, dtype=torch.int64)
    written = generate(model, start_B1, tokens=8, temperature=0, sources=sources_BS, source_kept=source_kept)
    assert [greedy(model, [1], 8, sources_BS=torch.tensor([source])) for source in sources] == rows(written)


def test_a_long_prompt_is_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    model, prompt_BT = model_of(DECODERS["learned"]), tokens_of(2, 30)
    at_once = rows(generate(model, prompt_BT, tokens=5, temperature=0))
    monkeypatch.setattr(generating_file, "READ_AT_ONCE", 8)
    assert at_once == rows(generate(model, prompt_BT, tokens=5, temperature=0))


def test_the_same_seed_gives_the_same_text_and_another_one_another() -> None:
    model, prompt_BT = model_of(DECODERS["rotary, grouped"]), tokens_of(2, 4)
    texts = [rows(generate(model, prompt_BT, tokens=20, seed=seed, top_k=30, top_p=0.9)) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_a_row_ends_with_a_stop_and_the_text_with_its_last_row() -> None:
    model, prompt_BT = model_of(DECODERS["rotary, grouped"]), tokens_of(3, 4)
    free = rows(generate(model, prompt_BT, tokens=40, seed=3))
    stop = free[0][2]
    ends = [row.index(stop) + 1 if stop in row else 40 for row in free]
    expected = [row[:end] + [ENDED] * (max(ends) - end) for row, end in zip(free, ends, strict=True)]
    assert expected == rows(generate(model, prompt_BT, tokens=40, seed=3, stop=[stop]))


def test_a_table_of_positions_ends_a_text_and_angles_do_not() -> None:
    learned, rotary = model_of(DECODERS["learned"]), model_of(DECODERS["rotary, grouped"])
    assert (4, None) == (room(learned, 37), room(rotary, 37))
    prompt_BT = tokens_of(1, 37)
    assert 4 == len(list(generate(learned, prompt_BT, tokens=100, temperature=0)))
    assert 100 == len(list(generate(rotary, prompt_BT, tokens=100, temperature=0)))
    assert [greedy(learned, prompt_BT[0].tolist(), 4)] == rows(generate(learned, prompt_BT, tokens=9, temperature=0))


def test_numbers_that_fill_up_the_table_are_never_written() -> None:
    model, prompt_BT = model_of(DECODERS["rotary, grouped"]), tokens_of(4, 3)
    written = rows(generate(model, prompt_BT, tokens=30, temperature=5.0, vocab=6))
    assert set(range(6)) == {token for row in written for token in row}


def test_no_gradient_is_kept_and_no_weight_changes() -> None:
    model, prompt_BT = model_of(DECODERS["rotary, grouped"]), tokens_of(1, 3)
    before = [parameter.clone() for parameter in model.parameters()]
    steps = list(generate(model, prompt_BT, tokens=3))
    assert all(step.is_inference() for step in steps)
    assert all(torch.equal(a, b) and b.grad is None for a, b in zip(before, model.parameters(), strict=True))


@torch.inference_mode()
def test_gaps_are_filled_the_surest_first_each_seen_by_the_next() -> None:
    model, mask = model_of(BERT), 36
    tokens = [5, mask, 7, mask, mask, 3]
    gaps = filled(model, torch.tensor(tokens), mask=mask, never=[0, 1])
    expected = []
    while mask in tokens:
        scores_TV = model(torch.tensor([tokens]))[0]
        scores_TV[:, [0, 1, mask]] = -torch.inf
        shares = scores_TV.softmax(-1)
        place = max((i for i, token in enumerate(tokens) if token == mask), key=lambda i: float(shares[i].max()))
        tokens[place] = int(shares[place].argmax())
        expected.append((place, tokens[place]))
    assert expected == gaps


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"prompt_BT": torch.zeros(1, 0, dtype=torch.int64)}, "prompt is empty"),
        ({"prompt_BT": torch.tensor([[37]])}, "token 37"),
        ({"prompt_BT": torch.tensor([[-1]])}, "token -1"),
        ({"prompt_BT": torch.zeros(1, 41, dtype=torch.int64)}, "40 positions"),
        ({"tokens": 0}, "tokens=0"),
        ({"seed": -5}, "seed=-5"),
        ({"temperature": -1.0}, "temperature=-1.0"),
        ({"kept": torch.tensor([[True, False]])}, "padding stands to its left"),
        ({"kept": torch.tensor([[True, False, True]])}, "padding stands to its left"),
    ],
)
def test_what_cannot_be_continued_is_refused_before_the_first_token(asked: dict[str, Any], said: str) -> None:
    kept = asked.get("kept")
    usual = {"prompt_BT": tokens_of(1, 3 if kept is None else kept.shape[1]), "tokens": 2}
    with pytest.raises(BadInput, match=said):
        generate(model_of(DECODERS["learned"]), **{**usual, **asked})


def test_a_masked_model_writes_no_text_and_a_decoder_fills_no_gap() -> None:
    with pytest.raises(BadInput, match=r"masked model .* \[MASK\]"):
        generate(model_of(BERT), tokens_of(1, 3), tokens=2)
    with pytest.raises(BadInput, match="no masked model"):
        filled(model_of(DECODERS["learned"]), tokens_of(3), mask=1)


def test_a_model_that_has_diverged_says_so() -> None:
    model = model_of(DECODERS["learned"])
    with torch.no_grad():
        model.embedding.get_submodule("tokens").weight.fill_(torch.nan)  # type: ignore[union-attr, operator]
    with pytest.raises(BadInput, match="not finite"):
        next(generate(model, tokens_of(1, 3), tokens=2))
