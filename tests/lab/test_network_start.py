"""Where a model starts and that it learns: the first loss, seeds, both kernels and dtypes alike, a batch by heart."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, cross_entropy

from deepwide.answers.models import find_model
from deepwide.lab.network import Transformer, build
from deepwide.lab.network.attend import KERNELS
from deepwide.lab.training import Recipe, Row, next_token, train

FAMILIES = ("llama", "gpt2", "bloom", "bert", "t5", "qwen3", "mixtral,experts=4,active_experts=2", "gptj", "opt")


def model_of(text: str, seed: int = 0) -> Transformer:
    return build(find_model(text).described(), seed=seed)


def random_loss(model: Transformer, tokens: int = 64) -> float:
    """The loss of a fresh model in guessing tokens that have nothing to do with what it reads."""
    vocab = int(model.architecture.vocab)
    text = torch.randint(0, vocab, (3, 4, tokens), generator=torch.Generator().manual_seed(0))
    given = {"sources_BS": text[2]} if len(model.stack_names) > 1 else {}
    with torch.no_grad():
        return float(cross_entropy(model(text[0], **given).flatten(0, 1), text[1].flatten()))


@pytest.mark.parametrize("vocab", [256, 4096])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tied", ["tied", "untied"])
def test_the_first_loss_is_that_of_a_guess(family: str, vocab: int, tied: str) -> None:
    for hidden in (32, 128):
        model = model_of(f"like={family},{tied},layers=2,hidden={hidden},heads=4,vocab={vocab},context=64")
        assert math.log(vocab) == pytest.approx(random_loss(model), rel=0.05)


@pytest.mark.parametrize(
    "text", ["like=llama,untied", "like=gpt2", "like=bert", "like=t5", "like=llama,no_norm", "like=llama,norms=post"]
)
def test_the_first_loss_of_a_wide_and_of_a_deep_model_is_that_of_a_guess(text: str) -> None:
    wide = model_of(f"{text},layers=2,hidden=512,heads=8,vocab=4096,context=64")
    deep = model_of(f"{text},layers=24,hidden=64,heads=4,vocab=256,context=64")
    assert math.log(4096) == pytest.approx(random_loss(wide), rel=0.05)
    assert math.log(256) == pytest.approx(random_loss(deep), rel=0.05)


@pytest.mark.parametrize("text", ["like=llama", "like=gpt2", "like=bloom", "like=bert"])
def test_the_first_loss_on_text_is_that_of_a_guess(text: str) -> None:
    """Tokens that come again are no easier, although a tied head reads the table that the stream begins with."""
    model = model_of(f"{text},layers=2,hidden=128,heads=4,vocab=256,context=128")
    written = torch.tensor([list((__doc__ or "").encode()[:96])])
    with torch.no_grad():
        loss = cross_entropy(model(written[:, :-1])[0], written[0, 1:])
    assert math.log(256) == pytest.approx(float(loss), rel=0.05)


def state(model: Transformer) -> dict[str, Tensor]:
    return {name: p for name, p in model.named_parameters() if p.dim() > 1 and p.requires_grad}


@pytest.mark.parametrize("family", ["llama", "bert", "t5", "mixtral"])
def test_a_seed_is_a_set_of_weights(family: str) -> None:
    text = f"like={family},layers=2,hidden=32,heads=4,ffn=48,vocab=64,context=16"
    first, again, other = model_of(text, 1), model_of(text, 1), model_of(text, 2)
    assert all(torch.equal(p, state(again)[name]) for name, p in state(first).items())
    assert not [name for name, p in state(first).items() if torch.equal(p, state(other)[name])]


def test_weights_do_not_depend_on_what_was_drawn_before() -> None:
    text = "like=llama,layers=1,hidden=32,heads=4,ffn=48,vocab=64"
    torch.manual_seed(1)
    first, before = model_of(text), torch.get_rng_state()
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    assert all(torch.equal(p, state(model_of(text))[name]) for name, p in state(first).items())


def seen_by(module: torch.nn.Module, model: Transformer) -> Tensor:
    """What a part of the model reads of random tokens, in fp32 [B, T, D]."""
    seen: list[Tensor] = []
    handle = module.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    random_loss(model)
    handle.remove()
    return seen[0]


@pytest.mark.parametrize("text", ["like=llama", "like=llama,untied", "like=gpt2", "like=gptj", "like=bloom"])
def test_a_token_is_heard_at_any_depth(text: str) -> None:
    """What the branches add is as large as what the tables begin with: neither drowns the other."""
    for layers, hidden in ((2, 64), (32, 64), (4, 256)):
        model = model_of(f"{text},layers={layers},hidden={hidden},heads=4,vocab=256,context=64")
        stack = model.stack("decoder")
        first, last = seen_by(stack.blocks[0], model), seen_by(stack.get_submodule("final_norm"), model)
        assert float(last.norm() / first.norm()) == pytest.approx(math.sqrt(2), rel=0.35)
        assert 0.45 < float(cosine_similarity(first.flatten(), last.flatten(), dim=0)) < 0.95


@pytest.mark.parametrize("ablated", ["no_residual", "no_norm", "norms=post"])
def test_a_stream_without_its_norms_or_skips_is_kept_alive(ablated: str) -> None:
    model = model_of(f"like=llama,{ablated},layers=12,hidden=64,heads=4,vocab=256,context=64")
    last = seen_by(model.head, model)
    assert 1e-6 < float(last.square().mean().sqrt()) < 10


@pytest.mark.parametrize(
    "text", ["like=llama,kv_heads=2", "like=bloom", "like=t5", "like=bert", "like=mistral,window=5"]
)
def test_both_kernels_and_both_dtypes_agree(text: str) -> None:
    model = model_of(f"{text},layers=2,hidden=64,heads=4,ffn=96,vocab=128,context=64")
    tokens = torch.randint(0, 128, (2, 40), generator=torch.Generator().manual_seed(0))
    given = {"sources_BS": tokens} if len(model.stack_names) > 1 else {}
    with torch.no_grad():
        model.head.get_submodule("output").weight.mul_(10)
        found = {}
        for name, attend in KERNELS.items():
            for dtype in (torch.float32, torch.bfloat16):
                model.attend, model.compute_dtype = attend, dtype
                found[name, dtype] = model(tokens, **given)
    spread = float(found["sdpa", torch.float32].std())
    assert all(scores.dtype == torch.float32 for scores in found.values())
    assert torch.allclose(found["sdpa", torch.float32], found["bmm", torch.float32], atol=1e-5)
    for name in KERNELS:
        error = (found[name, torch.bfloat16] - found["sdpa", torch.float32]).abs()
        assert float(error.mean()) < 0.02 * spread
        assert float(error.max()) < 0.1 * spread


@pytest.mark.parametrize(
    ("text", "kernel", "dtype"),
    [
        *(("like=llama", kernel, dtype) for kernel in KERNELS for dtype in (torch.float32, torch.bfloat16)),
        ("like=gpt2", "bmm", torch.float32),
        ("like=mixtral,experts=4,active_experts=2", "bmm", torch.float32),
    ],
)
def test_one_batch_is_learned_by_heart(text: str, kernel: str, dtype: torch.dtype) -> None:
    model = model_of(f"{text},layers=2,hidden=64,heads=4,ffn=128,vocab=64,context=32")
    model.compute_dtype, model.attend = dtype, KERNELS[kernel]
    batch = torch.randint(0, 64, (4, 17), generator=torch.Generator().manual_seed(0))
    batch[:, 0] = torch.arange(4)  # by which they can be told apart
    rows: list[Row] = []
    recipe = Recipe(steps=60, batch=4, context=16, weight_decay=0.0, learning_rate=1e-2, optimizer="adamw")
    train(model, recipe, batches=lambda step: next_token(batch), report=rows.append)
    assert rows[0]["loss"] == pytest.approx(math.log(64), rel=0.05)
    assert rows[-1]["loss"] < 0.05
